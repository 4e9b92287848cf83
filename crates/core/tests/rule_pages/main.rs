//! The pages in `docs/rules`, one for each shipped rule: the rule files are their only source. `lines` checks the rule files
//! themselves.
//! `STAKEOUT_BLESS=1 cargo test -p stakeout-core --test rule_pages` writes them anew.

#![expect(clippy::disallowed_methods, reason = "the pages are files; core itself reads none")]

#[expect(dead_code, reason = "other tests compare one text at a time")]
#[path = "../../../../tests/support/golden.rs"]
mod golden;
mod lines;
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use stakeout_core::rule::{self, Rules};
use stakeout_core::shipped;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules")
}

fn rules() -> Rules {
    rule::load(&shipped::rule_files()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

#[test]
fn every_page_of_a_rule_is_current() {
    let rules = rules();
    let documents = page::Documents::of(&shipped::rule_files());
    let pages = rules.rules.iter().map(|rule| (rule.head.name.as_str(), page::page(&rules, rule, &documents)));
    let pages: Vec<(&str, String)> = pages.chain([("README", page::index(&rules))]).collect();
    let differences = pages.iter().filter_map(|(name, text)| golden::difference(&path(name), text));
    let differences: Vec<String> = differences.collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_page_has_its_rule() {
    let rules = rules();
    let mut expected: BTreeSet<PathBuf> = rules.rules.iter().map(|rule| path(&rule.head.name)).collect();
    expected.insert(path("README"));
    let entries = fs::read_dir(folder()).expect("the folder of the pages");
    let found: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let without_rule: Vec<&PathBuf> = found.difference(&expected).collect();
    assert!(without_rule.is_empty(), "delete the pages of rules that are gone: {without_rule:#?}");
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.md"))
}
