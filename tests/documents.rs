//! The documents, as their readers use them: every command of README.md, CONTRIBUTING.md and docs/ runs, every YAML block
//! passes `stakeout check`, and every JSON block is what Stakeout prints.
//!
//! A page is one shell script in a folder of its own. Clouds, Slack and foreign programs are fakes there, so a command that
//! lacks nothing but real credentials runs. A program that nobody has named here fails the test.

mod block;
mod clouds;
mod sandbox;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use block::{Block, Yaml};
use clouds::Clouds;
use sandbox::{BUILDS, FOREIGN, Foreign, Sandbox};

/// Pages that are generated from the rules' files, and whose YAML is an extract of these. A test of core holds them current.
const GENERATED: &str = "docs/rules/";

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns every page, as paths from the checkout, sorted.
fn pages() -> Vec<String> {
    let mut pages = vec!["CONTRIBUTING.md".to_owned(), "README.md".to_owned()];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(checkout().join(&folder)).expect("a folder of pages") {
            let path = folder.join(entry.expect("an entry").file_name());
            if checkout().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.to_str().expect("plain").to_owned());
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 10, "only {pages:?} were found");
    pages
}

fn blocks(page: &str) -> Vec<Block> {
    block::read(&fs::read_to_string(checkout().join(page)).expect("a page"))
}

#[test]
fn every_block_names_its_language() {
    let known = ["json", "sh", "text", "yaml"];
    for page in pages() {
        for Block { language, line, .. } in blocks(&page) {
            assert!(
                known.contains(&language.as_str()),
                "{page}:{line}: a block of {language:?}; expected one of: {known:?}"
            );
        }
    }
}

#[test]
fn every_command_runs() {
    let clouds = Clouds::start();
    let mut called = BTreeSet::new();
    for page in pages() {
        let blocks = blocks(&page);
        let scripts: Vec<&Block> = blocks.iter().filter(|block| block.language == "sh").collect();
        if scripts.is_empty() {
            continue;
        }
        let sandbox = Sandbox::new(&clouds);
        if let Some(config) = blocks.iter().find(|block| block.yaml() == Yaml::WholeConfig) {
            sandbox.write_config(&config.text);
        }
        for command in sandbox.run(&page, &scripts) {
            let program = command.split(' ').next().unwrap_or_default();
            if program == "cargo" {
                let ci = fs::read_to_string(checkout().join(".ci/run")).expect("the script of CI");
                let is_run = ci.contains(&command) || BUILDS.iter().any(|(build, _)| command == *build);
                assert!(is_run, "{page}: .ci/run does not run `{command}`");
            }
            called.insert(command);
        }
    }
    for Foreign { program, answers, .. } in FOREIGN {
        let is_called = |arguments: &str| called.iter().any(|call| call.starts_with(&format!("{program} {arguments}")));
        assert!(is_called(""), "no page calls {program} any more");
        let unused: Vec<_> = answers.iter().filter(|(arguments, _)| !is_called(arguments)).collect();
        assert!(unused.is_empty(), "no page calls {program} like this any more: {unused:?}");
    }
}

/// Runs the commands of a quick start, and returns what Slack received.
fn slack_messages(page: &str) -> Vec<Value> {
    let clouds = Clouds::start();
    let sandbox = Sandbox::new(&clouds);
    let blocks = blocks(page);
    let config = blocks.iter().find(|block| block.yaml() == Yaml::WholeConfig).expect("a whole config");
    sandbox.write_config(&config.text);
    sandbox.run(page, &blocks.iter().filter(|block| block.language == "sh").collect::<Vec<_>>());
    clouds.slack.messages()
}

#[test]
fn every_quick_start_ends_with_an_alert() {
    for page in pages().iter().filter(|page| page.contains("quick-start")) {
        let messages: Vec<String> = slack_messages(page).iter().map(Value::to_string).collect();
        let is_in = |text: &str| messages.iter().any(|message| message.contains(text));
        assert!(is_in("test message") && is_in("5.5.5.66"), "{page}: {messages:#?}");
    }
}

#[test]
fn every_yaml_block_passes_check() {
    let clouds = Clouds::start();
    for page in pages().iter().filter(|page| !page.starts_with(GENERATED)) {
        for block in blocks(page).iter().filter(|block| block.language == "yaml") {
            let sandbox = Sandbox::new(&clouds);
            let place = format!("{page}:{}", block.line);
            match block.yaml() {
                Yaml::WholeConfig | Yaml::PartOfConfig => {
                    let config = block.whole_config();
                    fs::write(sandbox.folder().join("page.yaml"), config).expect("written");
                    sandbox.stakeout(&place, &["check", "-c", "page.yaml"]);
                }
                Yaml::Rules => {
                    fs::write(sandbox.folder().join("page.yml"), &block.text).expect("written");
                    sandbox.stakeout(&place, &["check", "--rules", "page.yml"]);
                    sandbox.stakeout(&place, &["rules", "test", "--rules", "page.yml"]);
                }
                Yaml::Filter => {
                    fs::write(sandbox.folder().join("page.yml"), &block.text).expect("written");
                    sandbox.stakeout(&place, &["check", "--rules", "builtin", "--rules", "page.yml"]);
                }
                // An object of Kubernetes, which is not Stakeout's to check.
                Yaml::Kubernetes => {
                    stakeout_core::yaml::parse(&place, &block.text).expect("YAML");
                }
            }
        }
    }
}

#[test]
fn the_example_of_a_finding_is_what_replay_prints() {
    let clouds = Clouds::start();
    let sandbox = Sandbox::new(&clouds);
    let recording = checkout().join("tests/data/audit/kube-hunter.audit.log.gz");
    let printed = sandbox.stakeout("docs/findings.md", &["replay", "-o", "json", recording.to_str().expect("plain")]);
    let findings: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut examples = 0;
    for page in pages() {
        for block in blocks(&page).iter().filter(|block| block.language == "json") {
            let example: Value = serde_json::from_str(&block.text).expect("JSON");
            let uid = &example["finding_info"]["uid"];
            let real = findings.iter().find(|finding| finding["finding_info"]["uid"] == *uid);
            let real = real.unwrap_or_else(|| panic!("{page}:{}: replay finds nothing with uid {uid}", block.line));
            assert!(*real == example, "{page}:{}: replay prints\n{real:#}", block.line);
            examples += 1;
        }
    }
    assert!(examples > 0, "no page has an example");
}

/// Each transcript of `findings` in a page, with the recording of kube-hunter as the log. What differs by run is the time at
/// which a finding was reported.
#[test]
fn the_transcripts_of_findings_are_what_the_commands_print() {
    let clouds = Clouds::start();
    let sandbox = Sandbox::new(&clouds);
    let log = clouds::recorded("audit/kube-hunter.audit.log.gz");
    fs::write(sandbox.folder().join("recorded.log"), log).expect("written");
    sandbox.write_config(
        "state: {path: state}\nsources: [{name: local, file: {path: recorded.log}}]\nnotify: [{name: out, stdout: {}}]\n",
    );
    sandbox.stakeout("docs/findings.md", &["once", "-c", "stakeout.yaml", "--at", "2026-11-22T02:00:00Z"]);
    let is_same = |line: &&str| !line.starts_with("reported ") && !line.starts_with("changed ");
    let mut transcripts = 0;
    for Block { text, line, .. } in blocks("docs/findings.md") {
        let Some((command, shown)) = text.strip_prefix("$ stakeout ").and_then(|text| text.split_once('\n')) else {
            continue;
        };
        let place = format!("docs/findings.md:{line}");
        let printed = sandbox.stakeout(&place, &command.split(' ').collect::<Vec<_>>());
        let lines = |text: &str| text.lines().filter(is_same).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(shown), lines(&printed), "{place}: {command} prints\n{printed}");
        transcripts += 1;
    }
    assert_eq!(transcripts, 2);
}
