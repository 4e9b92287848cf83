//! `stakeout check` on broken configs and rules, one fault a file: what it prints is compared with golden text.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

/// Checks each file of `folder` and compares what is printed with the text beside it.
fn compare(folder: &str, ending: &str, option: &str, files_min: usize) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data(folder))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    assert!(files.len() >= files_min, "only {} files", files.len());
    let mut differing = Vec::new();
    for path in files {
        let name = path.file_name().expect("a name").to_str().expect("plain").to_owned();
        let expected = std::fs::read_to_string(path.with_extension("txt")).expect("golden text");
        let output = check(folder, &[option, &name]);
        let printed = String::from_utf8(output.stderr).expect("text");
        if output.status.code() != Some(78) || printed.trim_end() != expected.trim_end() || !output.stdout.is_empty() {
            differing.push(format!("{:?}\n  expected {expected}  printed  {printed}", output.status.code()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn each_broken_config_is_refused_with_file_line_key_and_fix() {
    compare("config", "yaml", "-c", 15);
}

#[test]
fn each_broken_rule_is_refused_with_file_line_key_and_fix() {
    compare("rules", "yml", "--rules", 90);
}

#[test]
fn what_is_hardly_meant_is_told_and_no_fault() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data("warnings"))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == "yml"))
        .collect();
    files.sort();
    assert!(files.len() >= 3);
    for path in files {
        let name = path.file_name().expect("a name").to_str().expect("plain").to_owned();
        let expected = std::fs::read_to_string(path.with_extension("txt")).expect("golden text");
        let output = check("warnings", &["--rules", &name]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{name}");
        assert_eq!(output.status.code(), Some(0), "{name}");
    }
}

#[test]
fn the_shipped_rules_and_the_examples_are_good() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let rules = check("rules", &["--rules", config.join("rules").to_str().expect("plain")]);
    assert_eq!(String::from_utf8_lossy(&rules.stdout), "22 rules, 131 cases: good\n");
    let example = check("config", &["-c", config.join("examples/self-managed.yaml").to_str().expect("plain")]);
    assert_eq!(example.status.code(), Some(0), "{}", String::from_utf8_lossy(&example.stderr));
}

#[test]
fn all_faults_of_a_folder_of_rules_are_told_at_once() {
    let output = check("rules", &["--rules", "."]);
    let printed = String::from_utf8(output.stderr).expect("text");
    assert!(printed.lines().count() >= 70, "{printed}");
}
