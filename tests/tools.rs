//! People's tools around rules, through the binary: `explain`, `tune`, and what `rules` lists, tests and maps.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::child;
use crate::support::golden::assert_golden;

const PROBING: &str = "kubernetes-scanning-by-unauthenticated-ip";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// Runs `stakeout` in the folder of the tools' data, with `stdin`.
fn stakeout(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.arg("--quiet").args(arguments).current_dir(data("tools")).env_remove("STAKEOUT_LOG");
    child::run(&mut command, stdin).expect("stakeout starts")
}

/// Returns what a run prints that ends with `code`.
fn printed(arguments: &[&str], code: i32) -> String {
    let output = stakeout(arguments, b"");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn lines(arguments: &[&str]) -> Vec<Value> {
    printed(arguments, 0).lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

/// Compares what is printed with the golden text of this name.
fn compare(golden: &str, arguments: &[&str]) {
    assert_golden(&data("tools").join(golden), &printed(arguments, 0));
}

fn recording(name: &str) -> String {
    data(&format!("audit/{name}.audit.log.gz")).to_str().expect("plain").to_owned()
}

#[test]
fn each_condition_is_explained() {
    let trusted = ["--trusted-proxy", "10.0.0.0/24"];
    compare(
        "explain.txt",
        &["explain", "refused-often", "--rules", "rules.yml", trusted[0], trusted[1], "events.jsonl"],
    );
    compare("explain-values.txt", &["explain", "refused-widely", "--rules", "rules.yml", "events.jsonl"]);
    compare(
        "explain-referenced-rules.txt",
        &["explain", "refused-then-let-in", "--rules", "rules.yml", "events.jsonl"],
    );
    compare(
        "explain.jsonl",
        &["explain", "-o", "json", "refused-often", "--rules", "rules.yml", trusted[0], trusted[1], "events.jsonl"],
    );
}

#[test]
fn json_has_two_spellings() {
    let of = |arguments: &[&str], options: &[&str], code: i32| printed(&[arguments, options].concat(), code);
    for verb in [
        &["explain", "refused-often", "--rules", "rules.yml", "events.jsonl"][..],
        &["tune", "--rules", "rules.yml", "events.jsonl"],
        &["replay", "--rules", "rules.yml", "events.jsonl"],
        &["rules", "list"],
    ] {
        let json = of(verb, &["--json"], 0);
        assert!(json.starts_with('{') && json == of(verb, &["-o", "json"], 0), "{verb:?}: {json}");
        assert!(!of(verb, &[], 0).starts_with('{'), "{verb:?}");
        of(verb, &["--json", "-o", "json"], 2);
    }
}

/// What a client wrote stands in the text, but cannot move a cursor, turn a line around or fill the screen.
#[test]
fn what_is_explained_holds_nothing_that_a_terminal_obeys() {
    for output in ["text", "json"] {
        let text = printed(&["explain", "-o", output, "refused-often", "--rules", "rules.yml", "events.jsonl"], 0);
        assert!(text.chars().all(|c| c == '\n' || !stakeout_core::text::is_invisible(c)), "{output}");
        assert!(!text.contains(&"A".repeat(201)), "{output}");
    }
}

/// A recording and its exports hold the same requests, so they are explained alike, however a cloud keeps them.
#[test]
fn events_are_explained_in_whatever_form_they_come() {
    let audit = verdicts(&recording("kube-hunter"));
    assert_eq!(audit.get(&true), Some(&14), "{audit:?}");
    for kind in ["eks", "gke", "aks", "aks-audit"] {
        let exported = data(&format!("cloud/kube-hunter.{kind}.json.gz"));
        let exported = verdicts(exported.to_str().expect("plain"));
        assert_eq!(exported.get(&true), audit.get(&true), "{kind}");
    }
}

fn verdicts(path: &str) -> BTreeMap<bool, usize> {
    let mut verdicts = BTreeMap::new();
    for explained in lines(&["explain", "-o", "json", PROBING, path]) {
        *verdicts.entry(explained["is_match"].as_bool().expect("a status")).or_default() += 1;
    }
    verdicts
}

#[test]
fn what_cannot_be_explained_is_an_error_with_an_exit_code() {
    let run = |arguments: &[&str], stdin: &str| {
        let output = stakeout(arguments, stdin.as_bytes());
        let stderr = String::from_utf8(output.stderr).expect("text");
        // What is logged stands before it.
        let last = stderr.lines().last().unwrap_or_default().to_owned();
        (output.status.code(), String::from_utf8(output.stdout).expect("text"), last)
    };
    let event = r#"{"verb":"list","sourceIPs":["8.8.8.8"],"responseStatus":{"code":403}}"#;
    let (code, _, stderr) = run(&["explain", "refused-oftn", "--rules", "rules.yml", "-"], event);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(2), "no rule has the name `refused-oftn`; did you mean `refused-often`?")
    );
    let shipped =
        "`kubernetes-403-unauthenticated` is only part of other rules: use kubernetes-scanning-by-unauthenticated-ip";
    let (code, _, stderr) = run(&["explain", "kubernetes-403-unauthenticated", "-"], event);
    assert_eq!((code, stderr.as_str()), (Some(2), shipped));
    assert_eq!(run(&["explain", "refused-often", "--rules", "../check/rules", "-"], event).0, Some(78));
    let (code, stdout, stderr) = run(&["explain", PROBING, "-"], &format!("{event}\n{{\"kind\":\"Pod\"}}\n"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("-:2: not an audit event: a Kubernetes object of kind Pod"), "{stdout}");
    let (code, _, stderr) = run(&["explain", PROBING, "-"], &format!("{event}\n{{\"kind\":\"Event\",\"auditID\n"));
    assert_eq!((code, stderr.as_str()), (Some(1), "1 of 2 records cannot be read"));
    let (code, _, stderr) = run(&["explain", PROBING, "-"], "");
    assert!(code == Some(65) && stderr.contains("the input is empty"), "{stderr}");
    let many = format!("{event}\n").repeat(150);
    let (code, stdout, _) = run(&["explain", "-o", "json", PROBING, "-"], &many);
    assert_eq!((code, stdout.lines().count()), (Some(0), 100));
    assert_eq!(run(&["tune", "--from", "2026-11-22T00:00:00Z", "--to", "2026-11-21T00:00:00Z", "-"], event).0, Some(2));
    assert_eq!(run(&["tune", "--rule", "unknown", "-"], event).0, Some(2));
    let (code, _, stderr) = run(&["tune", "-"], "");
    assert!(code == Some(65) && stderr.contains("the input is empty"), "{stderr}");
}

#[test]
fn thresholds_callers_and_filters_of_a_log() {
    let file = recording("benign");
    compare("tune.txt", &["tune", "--rule", "kubernetes-cluster-scan-by-anonymous", &file]);
    compare("tune.jsonl", &["tune", "-o", "json", "--rule", "kubernetes-cluster-scan-by-anonymous", &file]);
}

/// No second counter: at its own threshold a rule raises what `replay` finds, request by request.
#[test]
fn the_current_threshold_raises_what_replay_finds() {
    let names = ["anonymous-scan", "auth-failures", "benign", "kube-hunter", "limited", "rbac-enumeration", "xff"];
    let mut compared = 0;
    for name in names {
        let file = recording(name);
        let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for finding in lines(&["replay", "-o", "json", &file]) {
            let rule = finding["finding_info"]["analytic"]["name"].as_str().expect("a rule").to_owned();
            let sum = found.entry(rule).or_default();
            *sum = (sum.0 + 1, sum.1 + finding["count"].as_u64().expect("a count"));
        }
        for tuning in lines(&["tune", "-o", "json", &file]) {
            if tuning["is_without_follow_ups"] == true {
                continue;
            }
            let rule = tuning["rule"].as_str().expect("a rule");
            let outcomes = tuning["outcomes"].as_array().expect("thresholds");
            let current = outcomes.iter().find(|outcome| outcome["is_current"] == true).expect("its own");
            let raised = ["findings", "requests"].map(|key| current[key].as_u64().expect("a number"));
            let (findings, requests) = found.get(rule).copied().unwrap_or_default();
            assert_eq!(raised, [findings, requests], "{name}: {rule}");
            let falls = |pair: &[Value]| pair[0]["groups"].as_u64() >= pair[1]["groups"].as_u64();
            assert!(outcomes.windows(2).all(falls), "{name}: {rule}");
            compared += findings;
        }
    }
    assert!(compared > 20, "only {compared} findings");
}

#[test]
fn a_suggested_filter_takes_its_caller_out_of_the_findings() {
    let file = recording("benign");
    let rule = "kubernetes-cluster-scan-by-anonymous";
    let tuning = lines(&["tune", "-o", "json", "--rule", rule, &file]).remove(0);
    let exclusion = &tuning["exclusions"][0];
    let caller = exclusion["caller"].as_str().expect("a caller");
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = printed(&["rules", "show", rule], 0);
    std::fs::write(folder.path().join("rule.yml"), shipped).expect("written");
    let folder_name = folder.path().to_str().expect("plain");
    let findings_of_caller = || {
        let findings = lines(&["replay", "-o", "json", "--rules", folder_name, &file]);
        findings.iter().filter(|finding| finding["unmapped"]["source_ip"] == caller).count()
    };
    assert_eq!(findings_of_caller(), 1);
    let filter = exclusion["filter"].as_str().expect("a filter");
    std::fs::write(folder.path().join("filter.yml"), filter).expect("written");
    assert_eq!(findings_of_caller(), 0);
}

#[test]
fn a_span_of_time_leaves_out_the_rest() {
    let file = recording("kube-hunter");
    let tune = |more: &[&str]| {
        let arguments = [&["tune", "-o", "json", "--rule", PROBING, &file], more].concat();
        lines(&arguments)[0]["requests"].as_u64().expect("a number")
    };
    let (all, before) = (tune(&[]), tune(&["--to", "2026-11-22T01:00:54Z"]));
    let after = tune(&["--from", "2026-11-22T01:00:54Z"]);
    assert!(before > 0 && after > 0, "{before} {after}");
    assert_eq!(before + after, all);
}

#[test]
fn rules_are_listed_with_what_they_are_made_of() {
    compare("list.txt", &["rules", "list", "--rules", "rules.yml"]);
    compare("list.jsonl", &["rules", "list", "--rules", "rules.yml", "-o", "json"]);
    let shipped = lines(&["rules", "list", "-o", "json"]);
    assert!(shipped.iter().all(|rule| rule["origin"] == "builtin" && rule["cases"].as_u64() > Some(0)), "{shipped:?}");
}

#[test]
fn a_layer_is_what_the_navigator_reads() {
    compare("navigator.json", &["rules", "navigator", "--rules", "rules.yml"]);
    let schema = std::fs::read_to_string(data("tools/layer-4.5.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for rules in [&["--rules", "rules.yml"][..], &["--rules", "envelopes.yml"], &[]] {
        let layer = printed(&[&["rules", "navigator"], rules].concat(), 0);
        let layer: Value = serde_json::from_str(&layer).expect("JSON");
        let faults: Vec<String> = validator.iter_errors(&layer).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new());
        let ids: Vec<&Value> =
            layer["techniques"].as_array().expect("techniques").iter().map(|one| &one["techniqueID"]).collect();
        let mut distinct = ids.clone();
        distinct.dedup();
        assert_eq!(ids, distinct);
        let (least, most) = (&layer["gradient"]["minValue"], &layer["gradient"]["maxValue"]);
        assert!(least.as_u64() < most.as_u64());
    }
}

#[test]
fn cases_may_be_written_as_a_cloud_keeps_them() {
    let passed = printed(&["rules", "test", "--rules", "envelopes.yml"], 0);
    assert!(passed.ends_with("7 passed, 0 failed\n"), "{passed}");
    let shipped = printed(&["rules", "test"], 0);
    assert!(shipped.ends_with(" passed, 0 failed\n") && shipped.contains("envelope of Cloud Logging"), "{shipped}");
    assert_eq!(
        printed(&["rules", "test", "--rules", "damaged.yml"], 1),
        "FAILED refused: another service's entry
       damaged.yml:7: expected match, its event cannot be read: not of the Kubernetes API: compute.googleapis.com
FAILED refused: expected wrongly
       damaged.yml:10: expected no match, got match
0 passed, 2 failed
"
    );
}

#[test]
fn every_tool_helps_with_examples() {
    for verb in [
        &["explain"][..],
        &["tune"],
        &["replay"],
        &["check"],
        &["rules", "list"],
        &["rules", "export"],
        &["rules", "show"],
        &["rules", "test"],
        &["rules", "navigator"],
        &["notify", "test"],
        &["notify", "route"],
        &["silence", "add"],
        &["silence", "list"],
        &["silence", "expire"],
        &["ranges", "refresh"],
    ] {
        let help = printed(&[verb, &["--help"]].concat(), 0);
        assert!(help.contains("Examples:\n  stakeout "), "{verb:?}\n{help}");
        let (_, examples) = help.split_once("Examples:\n").expect("examples");
        let wide: Vec<&str> = examples.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, [""; 0], "{verb:?}");
    }
}

/// A result that cannot be written is an error, a reader that has seen enough is none, and neither is a panic.
#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let verbs: [&[&str]; 6] = [
        &["check", "--rules", "rules.yml"],
        &["completion", "bash"],
        &["rules", "list"],
        &["rules", "test"],
        &["explain", "refused-often", "--rules", "rules.yml", "events.jsonl"],
        &["replay", "--rules", "rules.yml", "events.jsonl"],
    ];
    for verb in verbs {
        let run = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
            command.arg("--quiet").args(verb).current_dir(data("tools")).stdin(Stdio::null()).stdout(stdout);
            let output = command.env_remove("STAKEOUT_LOG").output().expect("stakeout starts");
            (output.status.code(), String::from_utf8(output.stderr).expect("text"))
        };
        let (code, stderr) = run(File::options().write(true).open("/dev/full").expect("Linux has it").into());
        assert_eq!(code, Some(1), "{verb:?}: {stderr}");
        assert!(stderr.contains("cannot write the result to standard output: No space left"), "{verb:?}: {stderr}");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (code, stderr) = run(writer.into());
        assert_eq!((code, stderr.contains("panicked")), (Some(0), false), "{verb:?}: {stderr}");
    }
}
