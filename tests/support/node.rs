//! The Node environment of the tests: Microsoft's own language service for KQL, at a pinned version.
//!
//! It is installed once, on first use, inside Cargo's target folder, and needs `node` and `npm` with whatever registry npm
//! is set up for. What the scripts in `tests/node` check is theirs to say.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::child;

const MANIFEST: &str = include_str!("../node/package.json");
const LOCK: &str = include_str!("../node/package-lock.json");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/node");
/// A file in the environment that says that nothing is missing from it.
const WHOLE: &str = "whole";
const NO_NODE: &str =
    "node cannot be run; it is needed for the tests with Microsoft's language service (Debian: nodejs)";
const NO_NPM: &str = "npm cannot be run; it is needed for the tests with Microsoft's language service (Debian: npm)";
const NO_PACKAGES: &str = "npm cannot install tests/node/package-lock.json from where it is set up to look";

/// Runs a script of `tests/node` with a text as its input, and returns what it printed.
///
/// # Panics
///
/// Where the environment cannot be installed, or the script fails; with its words.
pub(crate) fn node(script: &str, stdin: &str) -> String {
    let mut command = Command::new("node");
    command.arg(Path::new(SCRIPTS).join(script)).env("NODE_PATH", environment().join("node_modules"));
    let output = child::run(&mut command, stdin.as_bytes()).unwrap_or_else(|error| panic!("{NO_NODE}: {error}"));
    checked(&output, script)
}

/// Returns the environment, installed if it is not there.
fn environment() -> &'static Path {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        (MANIFEST, LOCK).hash(&mut hasher);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
        let environment = target.join(format!("node-{:016x}", hasher.finish()));
        install_once(&environment);
        environment
    })
}

/// Installs the packages where they are missing or were left half done. Only one process at a time does.
fn install_once(environment: &Path) {
    let whole = environment.join(WHOLE);
    let lock = File::create(environment.with_extension("lock")).expect("the target folder can be written");
    lock.lock().expect("the file system of the target folder knows locks");
    if whole.exists() {
        return;
    }
    fs::create_dir_all(environment).expect("the target folder can be written");
    for (name, text) in [("package.json", MANIFEST), ("package-lock.json", LOCK)] {
        fs::write(environment.join(name), text).expect("the environment can be written");
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"])
        .current_dir(environment);
    let output = npm.output().unwrap_or_else(|error| panic!("{NO_NPM}: {error}"));
    checked(&output, NO_PACKAGES);
    fs::write(whole, "").expect("the environment can be written");
}

/// Returns what a command printed, or panics with what it complained of.
fn checked(output: &Output, what: &str) -> String {
    let [printed, complaint] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{what}: {}\n{printed}{complaint}", output.status);
    printed
}
