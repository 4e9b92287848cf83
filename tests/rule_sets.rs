//! Which rules are in use: the built-in ones, those of users, or both; and what `check` and `rules export` make of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A built-in rule with findings in the recording, and the source of them.
const PROBING: &str = "kubernetes-scanning-by-unauthenticated-ip";
const PROBER: &str = "5.5.5.66";

const OWN_RULE: &str = "title: Own
name: own
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: impersonate}, condition: selection}
stakeout:
  tests:
    - {name: another verb, event: {verb: list, sourceIPs: [8.8.8.8]}, match: false}
";

/// A folder with files of users, in which the binary runs.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stakeout"))
            .arg("--quiet")
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("STAKEOUT_CONFIG")
            .output()
            .expect("stakeout starts")
    }

    /// Returns what a run prints on standard output, or on standard error if it fails with `code`.
    fn printed(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        String::from_utf8(if code == 0 { output.stdout } else { output.stderr }).expect("text")
    }

    /// Returns the names of the rules in `sources`, and the origins of these.
    fn listed(&self, sources: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
        let options = sources.iter().flat_map(|source| ["--rules", source]);
        let arguments: Vec<&str> = ["rules", "list", "-o", "json"].into_iter().chain(options).collect();
        let printed = self.printed(&arguments, 0);
        let rules: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let names: BTreeSet<String> = texts(&rules, "name");
        assert_eq!(names.len(), rules.len(), "a rule is listed twice");
        (names, texts(&rules, "origin"))
    }

    /// Returns the rules with findings about the prober of the recording.
    fn findings_of_prober(&self, options: &[&str]) -> BTreeSet<String> {
        let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/audit/kube-hunter.audit.log.gz");
        let recording = recording.to_str().expect("plain");
        let printed = self.printed(&[&["replay", "-o", "json"], options, &[recording]].concat(), 0);
        let findings = printed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        findings
            .filter(|finding| finding["unmapped"]["source_ip"] == PROBER)
            .map(|finding| finding["finding_info"]["analytic"]["name"].as_str().expect("a rule").to_owned())
            .collect()
    }

    /// Returns what `check` prints about a config with these keys.
    fn check(&self, keys: &str, code: i32) -> String {
        let rest = "sources: [{name: onprem, file: {path: audit.log}}]\nnotify: [{name: out, stdout: {}}]\n";
        self.write("stakeout.yaml", &format!("{keys}\n{rest}"));
        self.printed(&["check", "-c", "stakeout.yaml"], code)
    }
}

fn texts(rules: &[Value], key: &str) -> BTreeSet<String> {
    rules.iter().map(|rule| rule[key].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn rules_add_up() {
    let folder = Folder::with(&[("mine/own.yml", OWN_RULE)]);
    let (built_in, origins) = folder.listed(&[]);
    assert!(built_in.contains(PROBING) && origins.iter().eq(["builtin"]), "{origins:?}");
    assert_eq!(folder.listed(&["builtin"]).0, built_in);
    let (own, origins) = folder.listed(&["mine"]);
    assert!(own.iter().eq(["own"]) && origins.iter().eq(["own"]), "{own:?} {origins:?}");
    let (both, origins) = folder.listed(&["builtin", "mine"]);
    assert!(both.iter().eq(built_in.union(&own)) && origins.len() == 2, "{both:?} {origins:?}");

    let rules = built_in.len();
    for (keys, expected) in [
        ("", format!(" {rules} rules: good")),
        ("rules: builtin", format!(" {rules} rules: good")),
        ("rules: [builtin, ./mine]", format!(" {} rules: good", rules + 1)),
        ("rules: [./mine]", " 1 rule: good".to_owned()),
    ] {
        let printed = folder.check(keys, 0);
        assert!(printed.trim_end().ends_with(&expected), "{keys}: {printed}");
    }
    // A directory of that name is named by a path.
    folder.write("builtin/own.yml", OWN_RULE);
    assert_eq!(folder.listed(&["./builtin"]).0, own);
}

#[test]
fn a_filter_of_users_applies_to_built_in_rules() {
    for rules in ["any", PROBING] {
        let filter = format!(
            "title: Known Scanner
logsource: {{product: kubernetes, service: audit}}
filter: {{rules: {rules}, scanner: {{source_ip: {PROBER}}}, condition: not scanner}}
stakeout: {{reason: known, owner: security}}
"
        );
        let folder = Folder::with(&[("mine/filter.yml", &filter)]);
        let before = folder.findings_of_prober(&[]);
        let after = folder.findings_of_prober(&["--rules", "builtin", "--rules", "mine"]);
        let excluded: BTreeSet<&String> = before.difference(&after).collect();
        assert!(before.contains(PROBING) && before.len() > 1, "{before:?}");
        match rules {
            "any" => assert_eq!(after, BTreeSet::new()),
            _ => assert!(excluded.iter().all(|rule| *rule == PROBING) && excluded.len() == 1, "{excluded:?}"),
        }
        // The events of built-in test cases say nothing about the filters of users.
        assert!(folder.check("rules: [builtin, mine]", 0).ends_with(": good\n"));
        let alone = folder.check("rules: [mine]", 78);
        assert!(alone.contains("builtin"), "{alone}");
    }
}

#[test]
fn a_rule_of_the_same_name_replaces_the_built_in_one() {
    let stricter = format!("# Mine\n{}", OWN_RULE.replace("name: own", &format!("name: {PROBING}")));
    let folder = Folder::with(&[("mine/stricter.yml", &stricter)]);
    assert_eq!(folder.listed(&["builtin", "mine"]).0, folder.listed(&[]).0);
    let options = ["--rules", "builtin", "--rules", "mine"];
    let after = folder.findings_of_prober(&options);
    assert!(!after.contains(PROBING) && !after.is_empty(), "{after:?}");
    let printed = folder.check("rules: [builtin, mine]", 0);
    let note = format!("mine/stricter.yml:2: name: replaces the built-in rule `{PROBING}`");
    assert!(printed.contains("note: ") && printed.contains(&note), "{printed}");
    assert!(folder.printed(&[&["check"], &options[..]].concat(), 0).contains(&note));
}

#[test]
fn a_correlation_of_users_does_not_silence_a_built_in_rule() {
    let correlation = format!(
        "title: Probed And Enumerated
name: own-sequence
correlation:
  type: temporal
  rules: [{PROBING}, own]
  group-by: [source_ip]
  timespan: 1h
"
    );
    let folder = Folder::with(&[("mine/own.yml", &format!("{OWN_RULE}---\n{correlation}"))]);
    let (both, _) = folder.listed(&["builtin", "mine"]);
    // The user's own detection is part of the user's correlation.
    assert!(both.contains(PROBING) && both.contains("own-sequence") && !both.contains("own"), "{both:?}");
}

#[test]
fn a_disabled_rule_is_not_in_use() {
    let folder = Folder::with(&[]);
    let rules = folder.listed(&[]).0.len();
    let printed = folder.check(&format!("disable: [{PROBING}]"), 0);
    assert!(printed.ends_with(&format!(" {} rules: good\n", rules - 1)), "{printed}");
    let unknown = folder.check("disable: [kubernetes-pod-scan-by-anonymos]", 78);
    assert!(
        unknown.starts_with("stakeout.yaml:1: disable[0]: no rule has the name")
            && unknown.contains("did you mean `kubernetes-pod-scan-by-anonymous`?"),
        "{unknown}"
    );
    let part = folder.check("disable: kubernetes-403-unauthenticated", 78);
    assert!(part.contains(&format!("is only part of other rules: use {PROBING}")), "{part}");
    folder.write("mine/own.yml", OWN_RULE);
    let none_left = folder.check("rules: [mine]\ndisable: [own]", 78);
    assert!(none_left.contains("every rule is disabled"), "{none_left}");
}

#[test]
fn the_exported_rules_are_the_built_in_ones() {
    let folder = Folder::with(&[]);
    folder.printed(&["rules", "export", "copy"], 0);
    assert_eq!(folder.listed(&["copy"]).0, folder.listed(&[]).0);
    assert_eq!(folder.findings_of_prober(&["--rules", "copy"]), folder.findings_of_prober(&[]));
    let built_in = folder.printed(&["check", "--rules", "builtin"], 0);
    assert_eq!(folder.printed(&["check", "--rules", "copy"], 0), built_in);
    assert_eq!(folder.listed(&["builtin", "copy"]).1, BTreeSet::from(["own".to_owned()]));
    let refused = folder.printed(&["rules", "export", "copy"], 1);
    assert!(refused.contains("copy is not empty"), "{refused}");
}

/// The directory of a mounted ConfigMap, beside what Git, macOS and Windows leave behind.
#[test]
fn each_file_of_a_directory_is_read_once() {
    let folder = Folder::with(&[
        ("mine/..2026_11_29/own.yml", OWN_RULE),
        ("mine/.git/other.yml", "not: [a, rule"),
        ("mine/._own.yml", "\0\0"),
        ("mine/READ.md", "text"),
        ("mine/docs/empty.txt", "text"),
        ("mine/OTHER.YML", &OWN_RULE.replace("own", "other").replace("Own", "Other")),
    ]);
    symlink("..2026_11_29", folder.path("mine/..data")).expect("a link");
    symlink("..data/own.yml", folder.path("mine/own.yml")).expect("a link");
    symlink(".", folder.path("mine/again")).expect("a link");
    let two = BTreeSet::from(["other".to_owned(), "own".to_owned()]);
    assert_eq!(folder.listed(&["mine"]).0, two);
    assert_eq!(folder.listed(&["mine", "mine/own.yml", "mine"]).0, two);
    let nothing = folder.printed(&["check", "--rules", "mine/docs"], 78);
    assert!(nothing.contains("no rule file"), "{nothing}");
}

#[test]
fn a_shown_rule_has_what_it_needs_and_nothing_else() {
    let folder = Folder::with(&[]);
    for name in folder.listed(&[]).0 {
        folder.write("one/rule.yml", &folder.printed(&["rules", "show", &name], 0));
        let (names, _) = folder.listed(&["one"]);
        assert!(names.iter().eq([&name]), "{name}: {names:?}");
        folder.printed(&["check", "--rules", "builtin", "--rules", "one"], 0);
    }
}

#[test]
fn check_runs_the_test_cases() {
    let wrong = OWN_RULE.replace("match: false", "match: true");
    let folder = Folder::with(&[("mine/own.yml", &wrong)]);
    let expected = "mine/own.yml:7: the case `another verb` of the rule `own` failed: expected match, got no match";
    assert!(folder.printed(&["check", "--rules", "mine"], 78).starts_with(expected));
    assert!(folder.check("rules: [builtin, mine]", 78).contains(expected));
    for (typo, key, fix) in [
        ("verb: list, sourceIP: [8.8.8.8]", "event.sourceIP", "did you mean `sourceIPs`?"),
        ("verb: list, user: {usename: jane}", "event.user.usename", "did you mean `username`?"),
        ("verb: list, objectRef: {resources: pods}", "event.objectRef.resources", "did you mean `resource`?"),
    ] {
        folder.write("mine/own.yml", &OWN_RULE.replace("verb: list, sourceIPs: [8.8.8.8]", typo));
        let printed = folder.printed(&["check", "--rules", "mine"], 78);
        assert!(printed.contains(&format!("{key}: unknown key ({fix})")), "{printed}");
    }
}
