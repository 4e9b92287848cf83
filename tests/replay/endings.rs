//! How `replay` ends: one exit code for each ending, findings on standard output only.

use super::{data, replay, replay_stdin, stderr};

fn scan() -> String {
    data("audit/kube-hunter.audit.log.gz").to_str().expect("plain").to_owned()
}

fn quiet() -> String {
    data("audit/limited.audit.log.gz").to_str().expect("plain").to_owned()
}

fn code(arguments: &[&str]) -> Option<i32> {
    replay(arguments).status.code()
}

#[test]
fn the_exit_code_reports_findings_on_request() {
    assert_eq!(code(&[&scan()]), Some(0));
    assert_eq!(code(&["--exit-on-finding", &scan()]), Some(3));
    assert_eq!(code(&["--exit-on-finding", &quiet()]), Some(0));
}

/// Nothing read is not nothing found.
#[test]
fn empty_input_is_65() {
    for input in [&b""[..], b"\n\n", &[0; 4_096]] {
        let output = replay_stdin(&["--exit-on-finding", "-"], input);
        assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
        assert!(output.stdout.is_empty() && stderr(&output).contains("the input is empty"), "{}", stderr(&output));
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &[][..],
        &["--no-such-option", &scan()],
        &["-o", "xml", &scan()],
        &["--trusted-proxy", "10.0.0.0/33", &scan()],
        &["--trusted-proxy", "proxy.example", &scan()],
        &["--kind", "eks-classic", &scan()],
    ] {
        let output = replay(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_1_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let torn = folder.path().join("torn.gz");
    let whole = std::fs::read(scan()).expect("readable");
    std::fs::write(&torn, &whole[..whole.len() / 2]).expect("written");
    let missing = folder.path().join("missing.log");
    for path in [&torn, &missing, &folder.path().to_owned()] {
        let path = path.to_str().expect("plain");
        let output = replay(&[&scan(), path]);
        assert_eq!(output.status.code(), Some(1), "{path}: {}", stderr(&output));
        assert!(stderr(&output).contains(path), "{path}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "half of the input is no answer");
    }
}

#[test]
fn a_wrong_rule_is_78_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let rule = folder.path().join("broken.yml");
    std::fs::write(&rule, "title: Broken\nlogsource: {product: kubernetes}\ndetection: {condition: nothing}\n")
        .expect("written");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    for path in [&rule, &empty, &folder.path().join("missing.yml")] {
        let path = path.to_str().expect("plain");
        let output = replay(&["--rules", path, &scan()]);
        assert_eq!(output.status.code(), Some(78), "{path}: {}", stderr(&output));
        assert!(stderr(&output).contains(path), "{path}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

/// Whoever reads only the first line, as `head -1` does, gets it, and no complaint about the rest.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let anonymous = data("audit/anonymous-scan.audit.log.gz");
    let mut child = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["replay", "-o", "json", anonymous.to_str().expect("plain")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("stakeout starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    let output = child.wait_with_output().expect("stakeout ends");
    assert!(first.starts_with('{'), "{first}");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("roken pipe"), "{}", stderr(&output));
}
