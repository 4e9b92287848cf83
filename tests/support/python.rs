//! The Python environment of the tests: clients and servers that others wrote, at pinned versions.
//!
//! It is built once, on first use, inside Cargo's target folder, and needs `python3` (3.11 or newer) with `venv` and
//! whatever package source pip is set up for. What the scripts in `tests/python` check is theirs to say.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use super::child;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/python");
/// A file in the environment that says that nothing is missing from it.
const WHOLE: &str = "whole";
const NO_PYTHON: &str =
    "python3 cannot be run; it is needed for the tests with other people's clients (Debian: python3)";
const NO_VENV: &str =
    "python3 has no venv; it is needed for the tests with other people's clients (Debian: python3-venv)";
const NO_PACKAGES: &str =
    "pip cannot install tests/python/requirements.txt (for Python 3.11 or newer) from where it is set up to look";

/// Runs a script of `tests/python` with a text as its input, and returns what it printed.
///
/// # Panics
///
/// Where the environment cannot be built, or the script fails; with its words.
pub(crate) fn python(script: &str, args: &[&str], stdin: &str) -> String {
    let mut command = interpreter();
    command.arg(Path::new(SCRIPTS).join(script)).args(args);
    let output = child::run(&mut command, stdin.as_bytes()).expect("the environment has an interpreter");
    checked(&output, script)
}

/// A server of moto, the AWS fake that others wrote; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Moto {
    server: Child,
    endpoint: String,
}

impl Moto {
    /// Starts it on a free port of the loopback address, and returns when it answers.
    ///
    /// # Panics
    ///
    /// Where it ends before it answers; with its words.
    pub(crate) fn start() -> Moto {
        let host = Ipv4Addr::LOCALHOST.to_string();
        let mut command = interpreter();
        command.args(["-m", "moto.server", "-H", &host, "-p", "0"]);
        let mut server = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the environment has an interpreter");
        let log = BufReader::new(server.stderr.take().expect("it is piped"));
        // From here on the server is ended whatever happens.
        let mut moto = Moto { server, endpoint: String::new() };
        moto.endpoint = endpoint_in(log);
        moto
    }

    /// The endpoint URL to give to an SDK.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Reads the log up to the line that names the address, which is written when the server listens.
fn endpoint_in(mut log: BufReader<ChildStderr>) -> String {
    let mut said = String::new();
    loop {
        let from = said.len();
        if log.read_line(&mut said).expect("the log is text") == 0 {
            panic!("moto ended before it answered:\n{said}");
        }
        if let Some((_, url)) = said[from..].split_once("Running on ") {
            let url = url.trim().to_owned();
            // A server that nobody listens to stops when the pipe is full.
            thread::spawn(move || io::copy(&mut log, &mut io::sink()));
            return url;
        }
    }
}

/// Returns the environment's interpreter, which sees no proxy and no AWS settings but those of the tests.
pub(crate) fn interpreter() -> Command {
    let mut command = Command::new(bin(environment()));
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    let settings = [
        ("AWS_ACCESS_KEY_ID", "AKSTANDIN"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NO_PROXY", "*"),
        ("no_proxy", "*"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUTF8", "1"),
    ];
    command.envs(settings);
    command
}

/// Returns the environment, built if it is not there.
fn environment() -> &'static Path {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let version = version();
        let mut hasher = DefaultHasher::new();
        (REQUIREMENTS, &version).hash(&mut hasher);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
        let environment = target.join(format!("python-{:016x}", hasher.finish()));
        build_once(&environment);
        environment
    })
}

/// Returns what the interpreter of this machine calls itself; another one needs another environment.
fn version() -> String {
    let output =
        Command::new("python3").arg("--version").output().unwrap_or_else(|error| panic!("{NO_PYTHON}: {error}"));
    checked(&output, NO_PYTHON)
}

/// Builds the environment where it is missing or was left half done. Only one process at a time does.
fn build_once(environment: &Path) {
    let whole = environment.join(WHOLE);
    let lock = File::create(environment.with_extension("lock")).expect("the target folder can be written");
    lock.lock().expect("the file system of the target folder knows locks");
    if whole.exists() {
        return;
    }
    let environment_text = environment.to_str().expect("the path of the target folder is text");
    run(Command::new("python3").args(["-m", "venv", "--clear", environment_text]), NO_VENV);
    let requirements = Path::new(SCRIPTS).join("requirements.txt");
    let mut pip = Command::new(bin(environment));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--only-binary", ":all:", "--require-hashes", "-r"])
        .arg(requirements);
    run(&mut pip, NO_PACKAGES);
    fs::write(whole, "").expect("the environment can be written");
}

fn bin(environment: &Path) -> PathBuf {
    environment.join("bin").join("python")
}

fn run(command: &mut Command, hint: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{hint}: {error}"));
    checked(&output, hint);
}

/// Returns what a command printed, or panics with what it complained of.
fn checked(output: &Output, what: &str) -> String {
    let [printed, complaint] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{what}: {}\n{printed}{complaint}", output.status);
    printed
}
