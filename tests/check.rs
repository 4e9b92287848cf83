//! `stakeout check` on broken configs and rules, one fault a file: what it prints is compared with golden text.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::golden;

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/check").join(folder)
}

fn check(folder: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["--quiet", "check"])
        .args(arguments)
        .current_dir(data(folder))
        .env_remove("STAKEOUT_UNSET_VARIABLE")
        .env("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/x")
        .output()
        .expect("stakeout starts")
}

/// Returns the files of `folder` with this extension, in order.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data(folder)).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Checks each file of `folder`: it ends with `code` and prints the golden text beside it, on stderr where it failed.
fn compare(folder: &str, extension: &str, option: &str, files_min: usize, code: i32) {
    let files = files(folder, extension);
    assert!(files.len() >= files_min, "only {} files", files.len());
    let mut differing = String::new();
    for path in files {
        let name = path.file_name().expect("a name").to_str().expect("plain").to_owned();
        let output = check(folder, &[option, &name]);
        let (printed, silent) =
            if code == 0 { (&output.stdout, &output.stderr) } else { (&output.stderr, &output.stdout) };
        if output.status.code() != Some(code) || !silent.is_empty() {
            differing += &format!("{name}: {output:?}\n");
        }
        let printed = str::from_utf8(printed).expect("text");
        differing.extend(golden::difference(&path.with_extension("txt"), printed));
    }
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn each_broken_config_is_refused_with_file_line_key_and_fix() {
    compare("config", "yaml", "-c", 15, 78);
}

/// A file that is something else has more errors than anybody reads, and is refused in time proportional to its length.
#[test]
fn many_errors_are_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.yaml");
    let keys: String = (0..60_000).map(|number| format!("key_{number}: 1\n")).collect();
    std::fs::write(&path, &keys).expect("written");
    let path = path.to_str().expect("plain");
    let config = check("config", &["-c", path]);
    assert_eq!(config.status.code(), Some(78));
    let printed = String::from_utf8(config.stderr).expect("text");
    let lines: Vec<&str> = printed.lines().collect();
    let more = "other.yaml:101: 59900 more unknown keys (check that the file is a config of Stakeout)";
    assert!(lines.len() == 101 && lines[100].ends_with(more), "{printed}");
    let nested = format!("schedule:\n{}", keys.replace("key_", "  key_"));
    std::fs::write(path, nested).expect("written");
    let printed = String::from_utf8(check("config", &["-c", path]).stderr).expect("text");
    assert!(printed.contains("other.yaml:2: schedule.key_0: unknown key"), "{printed}");
    let rule = std::fs::read_to_string(data("warnings").join("03-new-spellings.yml")).expect("a rule");
    let rules = folder.path().join("rule.yml");
    std::fs::write(&rules, format!("{}\n{}", rule.split("\n---").next().expect("a document"), keys)).expect("written");
    let output = check("rules", &["--rules", rules.to_str().expect("plain")]);
    assert_eq!(output.status.code(), Some(78));
    let printed = String::from_utf8(output.stderr).expect("text");
    assert!(printed.contains("key_100: more than 100 keys that are not Sigma keys"), "{printed}");
}

#[test]
fn each_broken_rule_is_refused_with_file_line_key_and_fix() {
    compare("rules", "yml", "--rules", 90, 78);
}

#[test]
fn a_doubtful_rule_loads_with_a_warning() {
    compare("warnings", "yml", "--rules", 3, 0);
}

#[test]
fn the_shipped_rules_and_the_examples_are_good() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let rules = check("rules", &["--rules", config.join("rules").to_str().expect("plain")]);
    let printed = String::from_utf8_lossy(&rules.stdout);
    assert!(printed.ends_with(" cases: good\n"), "{printed}");
    let example = check("config", &["-c", config.join("examples/self-managed.yaml").to_str().expect("plain")]);
    assert_eq!(example.status.code(), Some(0), "{}", String::from_utf8_lossy(&example.stderr));
}

#[test]
fn all_errors_of_a_folder_of_rules_are_printed_at_once() {
    let output = check("rules", &["--rules", "."]);
    let printed = String::from_utf8(output.stderr).expect("text");
    assert!(printed.lines().count() >= 70, "{printed}");
}

#[test]
fn a_config_in_the_environment_does_not_hinder_a_check_of_rules() {
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["--quiet", "check", "--rules", "rules.yml"])
        .current_dir(data("../tools"))
        .env("STAKEOUT_CONFIG", "not-there.yaml")
        .output()
        .expect("stakeout starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_filter_of_the_log_that_is_none_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["rules", "list"])
        .env("STAKEOUT_LOG", "foo=bar=baz")
        .output()
        .expect("stakeout starts");
    let printed = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.starts_with("STAKEOUT_LOG is not a filter of the log: "), "{printed}");
}

#[test]
fn a_time_in_the_future_is_refused() {
    for verb in ["once", "doctor"] {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/self-managed.yaml");
        let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
            .args(["--quiet", verb, "--at", "2999-01-01T00:00:00Z", "-c"])
            .arg(config)
            .env("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T0/B0/x")
            .output()
            .expect("stakeout starts");
        let printed = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{verb}: {printed}");
        assert!(printed.contains("--at 2999-01-01T00:00:00Z is in the future"), "{verb}: {printed}");
    }
}
