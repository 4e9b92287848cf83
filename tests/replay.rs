//! `stakeout replay`: recordings and made logs through the binary, offline. What it prints is compared whole.

mod clouds;
mod endings;
mod forms;
mod let_in;
mod lines;
mod recordings;
mod strict;
mod volume;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{child, seeds};

/// Rule to source to requests; an episode more of the same rule and source is a line more.
type Counts = BTreeMap<String, Vec<(String, u64)>>;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// Runs `stakeout replay` on `stdin`, with the seed rules unless there are others in `arguments`.
fn replay_stdin(arguments: &[&str], stdin: &[u8]) -> Output {
    let has_rules = arguments.contains(&"--rules");
    let rules = if has_rules { Vec::new() } else { seeds::seed_rules() };
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command
        .arg("replay")
        .args(rules.iter().flat_map(|path| ["--rules", path]))
        .args(arguments)
        .env_remove("STAKEOUT_LOG");
    child::run(&mut command, stdin).expect("stakeout starts")
}

fn replay(arguments: &[&str]) -> Output {
    replay_stdin(arguments, b"")
}

/// Returns the findings of a run that went well, as JSON.
fn findings(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    stdout(output).lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Returns the counts of findings, rules and sources in order.
fn counts(findings: &[Value]) -> Counts {
    let mut counts = Counts::new();
    for finding in findings {
        let rule = finding["finding_info"]["analytic"]["name"].as_str().expect("a rule").to_owned();
        let source = finding["unmapped"]["source_ip"].as_str().expect("a source").to_owned();
        counts.entry(rule).or_default().push((source, finding["count"].as_u64().expect("a count")));
    }
    counts.values_mut().for_each(|sources| sources.sort());
    counts
}
