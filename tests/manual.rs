//! What packages install beside the binary, through the binary: manual pages and completions.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use crate::support::child;

fn stakeout(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    child::run(command.args(arguments), b"").expect("stakeout starts")
}

fn printed(arguments: &[&str]) -> String {
    let output = stakeout(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the commands below these, as `-h` lists them.
fn below(command: &[&str]) -> Vec<String> {
    let help = printed(&[command, &["-h"]].concat());
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Returns all commands, each as its words.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while next < found.len() {
        let command: Vec<String> = found[next].clone();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        found.extend(below(&words).into_iter().map(|name| [command.clone(), vec![name]].concat()));
        next += 1;
    }
    assert!(found.len() > 20, "only {found:?} were found");
    found
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man");
    printed(&["man", pages.to_str().expect("plain")]);
    let names = fs::read_dir(&pages).expect("a folder").map(|page| page.expect("an entry").file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().expect("plain")).collect();
    let page =
        |command: &Vec<String>| format!("{}.1", [vec!["stakeout".to_owned()], command.clone()].concat().join("-"));
    assert_eq!(names, commands().iter().map(page).collect());
    let text = |name: &str| fs::read_to_string(pages.join(name)).expect("a page");
    assert!(text("stakeout.1").contains("Exit codes") && text("stakeout.1").contains(r"stakeout\-run(1)"));
    assert!(text("stakeout-run.1").contains("STAKEOUT_CONFIG"), "{}", text("stakeout-run.1"));
}

#[test]
fn manual_pages_that_cannot_be_written_are_an_error() {
    let output = stakeout(&["man", "/dev/null/man"]);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.starts_with("cannot write the manual pages into `/dev/null/man`: "), "{printed}");
}

#[test]
fn each_shell_completes_each_command() {
    let verbs: Vec<String> = commands().into_iter().filter(|command| command.len() == 1).flatten().collect();
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completion", shell]);
        let missing: Vec<&String> = verbs.iter().filter(|verb| !script.contains(verb.as_str())).collect();
        assert!(missing.is_empty(), "{shell} does not complete {missing:?}");
    }
}
