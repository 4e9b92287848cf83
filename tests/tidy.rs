//! The house rules that a compiler does not know: which crate may know which, what core must not read, how long a
//! file may be, and that the documents speak of what is there.

#![expect(clippy::disallowed_methods, reason = "what it judges are files; core itself reads none")]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use modules::Modules;

/// Lines of a file without its inline tests. Beyond it two nouns live in one file.
const LINES_MAX: usize = 600;

/// Our crates, and which of our crates each may depend on. Whoever adds a line here changes the architecture.
const EDGES: &[(&str, &[&str])] = &[
    ("aws", &["stakeout-http"]),
    ("azure-monitor", &["stakeout-core", "stakeout-http"]),
    ("cloud-logging", &["stakeout-core", "stakeout-http"]),
    ("cloudwatch", &["stakeout-aws", "stakeout-core", "stakeout-http"]),
    ("core", &[]),
    (
        "daemon",
        &[
            "stakeout-aws",
            "stakeout-azure-monitor",
            "stakeout-cloud-logging",
            "stakeout-cloudwatch",
            "stakeout-core",
            "stakeout-ledger",
            "stakeout-notify",
            "stakeout-fakes",
            "stakeout-http",
        ],
    ),
    ("http", &[]),
    ("ledger", &["stakeout-core", "stakeout-http"]),
    ("notify", &["stakeout-aws", "stakeout-core", "stakeout-http"]),
    ("fakes", &[]),
];

/// Modules that import from one that is listed below them: crate, module, imported module, and the reason.
const IMPORTS_FROM_BELOW: &[(&str, &str, &str, &str)] = &[];

/// All that core may be built of.
const CORE_DEPENDENCIES: &[&str] = &[
    "aho-corasick",
    "glob",
    "ipnet",
    "jiff",
    "memchr",
    "regex",
    "rustc-hash",
    "saphyr-parser",
    "serde",
    "serde_json",
    "siphasher",
    "thiserror",
];

/// What core must not spell: clocks, disks, networks, environments, runtimes, output.
const CORE_FORBIDDEN: &[&str] = &[
    "Instant::",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "glob::glob",
    "async ",
    "eprintln!",
    "println!",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::process",
    "std::thread",
    "tokio",
];

/// Files of these names say nothing of what lives in them.
const NAMES_THAT_SAY_NOTHING: &[&str] = &["common.rs", "helpers.rs", "misc.rs", "mod.rs", "types.rs", "utils.rs"];

fn checkout() -> PathBuf {
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR"));
    daemon.ancestors().nth(2).expect("the crate lies two folders deep").to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the files below `folder` whose names end so, as paths from the checkout, sorted.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    collect(&checkout().join(folder), endings, &mut found);
    let root = checkout();
    let from_root = |path: PathBuf| path.strip_prefix(&root).expect("below").to_str().expect("plain").to_owned();
    let mut found: Vec<String> = found.into_iter().map(from_root).collect();
    found.sort();
    found
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("plain");
        if path.is_dir() {
            let is_ours = !matches!(name, "target" | ".git" | "__pycache__");
            if is_ours {
                collect(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn rust_files() -> Vec<String> {
    let files: Vec<String> = ["crates", "tests"].iter().flat_map(|folder| files(folder, &[".rs"])).collect();
    assert!(files.len() > 100, "only {} files were found", files.len());
    files
}

/// Returns a file's text up to its inline tests.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests").map_or(text, |end| &text[..end])
}

/// Returns the code of a file without its inline tests and its comments.
fn code(text: &str) -> String {
    let lines = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// Returns the names in a section of a manifest.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let header = format!("[{section}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn own(dependencies: BTreeSet<String>) -> BTreeSet<String> {
    dependencies.into_iter().filter(|name| name.starts_with("stakeout-")).collect()
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_says() {
    let mut found = BTreeMap::new();
    for manifest in files("crates", &["Cargo.toml"]) {
        let name = manifest.split('/').nth(1).expect("crates/NAME/Cargo.toml").to_owned();
        let manifest = text(&manifest);
        for section in ["build-dependencies", "target"] {
            assert!(!manifest.contains(&format!("[{section}")), "{name} hides dependencies in [{section}");
        }
        let in_tests = own(dependencies(&manifest, "dev-dependencies"));
        let known = BTreeSet::from(["stakeout-fakes".to_owned()]);
        assert!(in_tests.is_subset(&known), "the tests of {name} know {in_tests:?}");
        if name == "daemon" {
            let optional = "stakeout-fakes = { workspace = true, optional = true }";
            assert!(manifest.contains(optional), "the fakes belong to the feature `demo`");
        }
        found.insert(name, own(dependencies(&manifest, "dependencies")));
    }
    let allowed: BTreeMap<String, BTreeSet<String>> = EDGES
        .iter()
        .map(|(name, on)| ((*name).to_owned(), on.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    assert_eq!(found, allowed);
}

#[test]
fn core_is_built_of_little_and_reads_nothing() {
    let found = dependencies(&text("crates/core/Cargo.toml"), "dependencies");
    let allowed: BTreeSet<String> = CORE_DEPENDENCIES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, allowed);
    let mut spelled = Vec::new();
    for file in files("crates/core/src", &[".rs"]).iter().filter(|file| !file.ends_with("/tests.rs")) {
        let code = code(&text(file));
        let forbidden = CORE_FORBIDDEN.iter().filter(|word| code.contains(**word));
        spelled.extend(forbidden.map(|word| format!("{file} spells {word}")));
    }
    assert_eq!(spelled, Vec::<String>::new());
}

#[test]
fn modules_are_listed_in_the_order_of_the_data_path_and_import_from_above() {
    let mut faults = Vec::new();
    let mut below = BTreeSet::new();
    for (name, _) in EDGES {
        let modules = Modules::read(&checkout().join("crates").join(name).join("src"));
        faults.extend(modules.unresolved.iter().map(|path| format!("{name}: {path}")));
        faults.extend(modules.cycle().map(|cycle| format!("{name}: a cycle: {cycle}")));
        below.extend(modules.edges_to_below().into_iter().map(|(module, target)| ((*name).to_owned(), module, target)));
    }
    let allowed: BTreeSet<(String, String, String)> = IMPORTS_FROM_BELOW
        .iter()
        .map(|(name, module, target, _)| ((*name).to_owned(), (*module).to_owned(), (*target).to_owned()))
        .collect();
    let shown = |(name, module, target): &(String, String, String)| format!("{name}: {module} imports {target}");
    faults.extend(below.difference(&allowed).map(|edge| format!("{}, which is listed below it", shown(edge))));
    faults.extend(allowed.difference(&below).map(|edge| format!("{} is allowed and not needed", shown(edge))));
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn only_the_ledger_knows_its_engine() {
    let engine = "sled";
    let mut spelled = Vec::new();
    for file in rust_files().iter().filter(|file| !file.starts_with("crates/ledger/") && *file != "tests/tidy.rs") {
        if is_word(&code(&text(file)), engine) {
            spelled.push(file.clone());
        }
    }
    for (manifest, library) in
        files("crates", &["Cargo.toml"]).iter().flat_map(|it| [(it, engine), (it, "tokio-postgres")])
    {
        let knows = ["dependencies", "dev-dependencies"]
            .iter()
            .any(|section| dependencies(&text(manifest), section).contains(library));
        assert_eq!(knows, manifest == "crates/ledger/Cargo.toml", "{manifest} and {library}");
    }
    assert_eq!(spelled, Vec::<String>::new());
}

#[test]
fn only_the_http_crate_knows_the_http_library() {
    for manifest in files("crates", &["Cargo.toml"]) {
        let dependencies = dependencies(&text(&manifest), "dependencies");
        let known: Vec<&str> =
            ["reqwest", "rustls", "url"].into_iter().filter(|name| dependencies.contains(*name)).collect();
        let is_door = manifest == "crates/http/Cargo.toml";
        assert_eq!(known.is_empty(), !is_door, "{manifest} depends on {known:?}: use stakeout-http");
    }
}

#[test]
fn every_file_says_what_lives_in_it_and_is_short() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let text = text(&file);
        let name = file.rsplit('/').next().expect("a name");
        if !text.starts_with("//! ") {
            faults.push(format!("{file}: begin with `//!` and say what lives here"));
        }
        if NAMES_THAT_SAY_NOTHING.contains(&name) {
            faults.push(format!("{file}: name it after the noun that lives in it"));
        }
        let lines = without_tests(&text).lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{file}: {lines} lines; do two nouns live in it?"));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn nothing_is_left_for_later_and_no_machine_shows_through() {
    // Each is put together here, so that this file does not hold it.
    let forbidden = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
    ];
    let endings = [
        ".rs",
        ".toml",
        ".md",
        ".yml",
        ".yaml",
        ".py",
        ".sh",
        ".json",
        ".service",
        ".conf",
        ".txt",
        "Containerfile",
        "run",
    ];
    let mut faults = Vec::new();
    for file in files(".", &endings) {
        let bytes = fs::read(checkout().join(&file)).expect("the file is there");
        let text = String::from_utf8_lossy(&bytes);
        let found = forbidden.iter().filter(|word| text.contains(**word));
        faults.extend(found.map(|word| format!("{file}: {word}")));
    }
    assert_eq!(faults, Vec::<String>::new());
}

fn metric_names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("stakeout_").filter(|(at, _)| !text[..*at].ends_with(is_part));
    starts.map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect()).collect()
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = text("ARCHITECTURE.md");
    let mut missing = BTreeSet::new();
    for manifest in files("crates", &["Cargo.toml"]) {
        let manifest = text(&manifest);
        let foreign = dependencies(&manifest, "dependencies").into_iter().filter(|name| !name.starts_with("stakeout-"));
        missing.extend(foreign.filter(|name| !reasons.contains(&format!("`{name}`"))));
    }
    assert_eq!(missing, BTreeSet::new(), "say in ARCHITECTURE.md why each is there");
}
