//! Damaged text into everything that reads what others write: no panic, and an answer that names its place.
//!
//! `STAKEOUT_TEST_CASES` says how many texts each test damages (10,000 by default), `STAKEOUT_TEST_SEED` which ones. Configs,
//! silences and the state have such tests where their readers are.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{Decoded, decode};
use stakeout_core::finder::{Finder, Outer};
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Origin, RuleFile, Rules};
use stakeout_core::shipped;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::Second;

use crate::support::mutation::Mutations;

fn cases() -> usize {
    std::env::var("STAKEOUT_TEST_CASES").map_or(10_000, |cases| cases.parse().expect("a number"))
}

fn recording(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text
}

/// Returns different lines of the recordings, at most so many of each.
fn lines(names: &[&str], each: usize) -> Vec<Vec<u8>> {
    let of = |name: &&str| {
        let text = recording(name);
        let step = (text.lines().count() / each).max(1);
        text.lines().step_by(step).map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>()
    };
    names.iter().flat_map(of).collect()
}

/// Returns some records of a page of a cloud, each as the text of an object.
fn records(name: &str) -> Vec<Vec<u8>> {
    let page: Value = serde_json::from_str(&recording(name)).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let table = &page["tables"][0];
    let columns: Vec<Value> = list(&table["columns"]);
    let row = |cells: Value| {
        let named = columns.iter().map(|column| column["name"].as_str().expect("a name").to_owned());
        Value::Object(named.zip(list(&cells)).collect())
    };
    let rows = list(&table["rows"]).into_iter().map(row);
    let records = [list(&page["events"]), list(&page["entries"]), rows.collect()].concat();
    records.iter().step_by(7).map(|record| record.to_string().into_bytes()).collect()
}

/// Counts an event as a daemon would. What it says is bounded, whatever the line was.
fn observe(rules: &Rules, source: &Source, decoded: Decoded) {
    let observation = Observation::of_event(source, &TrustedProxies::default(), decoded.event, Second(0), String::new);
    for observation in observation.iter() {
        for group in rules.rules.iter().flat_map(|rule| rule.groups_of(observation)) {
            let shown: usize = group.0.iter().map(|value| value.to_string().len()).sum();
            assert!(shown < 64 * 1024, "a group of {shown} bytes");
        }
    }
}

fn source() -> Source {
    let (name, log) = ("fuzz".to_owned(), LogId("file/fuzz".to_owned()));
    Source { name, provider: Provider::File, cluster: "local".into(), log }
}

#[test]
fn damaged_lines_are_read_or_refused() {
    let good =
        lines(&["audit/kube-hunter.audit.log.gz", "audit/xff.audit.log.gz", "audit/rbac-enumeration.audit.log.gz"], 40);
    let (rules, source) = (rule::load(&shipped::rule_files()).expect("they are tested"), source());
    let mut mutations = Mutations::of("damaged_lines_are_read_or_refused", good);
    let mut read = 0;
    for _ in 0..cases() {
        let (_, line) = mutations.next();
        let decoded = decode(&line);
        assert_eq!(decoded, decode(&line), "the same line twice");
        if let Ok(decoded) = decoded {
            read += 1;
            observe(&rules, &source, decoded);
        }
    }
    assert!((cases() / 20..cases()).contains(&read), "{read} were read: the damage is too much or too little");
}

#[test]
fn damaged_wrappers_are_searched_to_their_end() {
    let good = lines(&["forms/scan.aks-audit.json.gz", "forms/scan.eventhub.json.gz", "audit/xff.audit.log.gz"], 10);
    let good: Vec<Vec<u8>> = good.into_iter().map(|text| text.into_iter().take(20_000).collect()).collect();
    let finder = Finder { envelopes: &[], unpack: |_, _| None, needles: &[] };
    let mut mutations = Mutations::of("damaged_wrappers_are_searched_to_their_end", good);
    let mut found = 0;
    for _ in 0..cases() {
        let text = String::from_utf8_lossy(&mutations.next().1).into_owned();
        found += finder.find(&text, &Outer::default()).iter().filter(|one| one.is_ok()).count();
    }
    assert!(found > cases() / 20, "{found} events were found");
}

#[test]
fn damaged_rules_are_loaded_or_refused_with_their_line() {
    let shipped = shipped::rule_files();
    let good = shipped.iter().map(|file| file.text.clone().into_bytes()).collect();
    let mut mutations = Mutations::of("damaged_rules_are_loaded_or_refused_with_their_line", good);
    let mut refused = 0;
    for _ in 0..cases() {
        let (place, text) = mutations.next();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().count();
        let file = RuleFile { origin: Origin::Own, name: shipped[place].name.clone(), text };
        if let Err(errors) = rule::load(std::slice::from_ref(&file)) {
            refused += 1;
            for error in errors {
                assert!(error.line <= lines + 1, "{error} in a file of {lines} lines");
                assert!(!error.problem.is_empty() && error.to_string().len() < 4_096, "{error}");
            }
        }
    }
    assert!((cases() / 20..cases()).contains(&refused), "{refused} were refused");
}

/// Damages records of a cloud.
fn damage_records(test: &str, names: &[&str], read: impl Fn(&str) -> Option<Decoded>) {
    let (rules, source) = (rule::load(&shipped::rule_files()).expect("they are tested"), source());
    let mut mutations = Mutations::of(test, names.iter().flat_map(|name| records(name)).collect());
    let mut read_well = 0;
    for _ in 0..cases() {
        let text = String::from_utf8_lossy(&mutations.next().1).into_owned();
        if let Some(decoded) = read(&text) {
            read_well += 1;
            observe(&rules, &source, decoded);
        }
    }
    assert!((cases() / 20..cases()).contains(&read_well), "{read_well} were read");
}

#[cfg(feature = "gcp")]
#[test]
fn damaged_entries_of_cloud_logging_are_read_or_refused() {
    let names = ["cloud/kube-hunter.gke.json.gz", "cloud/anonymous-scan.gke.json.gz"];
    damage_records("damaged_entries_of_cloud_logging_are_read_or_refused", &names, |text| {
        stakeout_cloud_logging::decode::entry(text).ok().map(|one| one.decoded)
    });
}

#[cfg(feature = "azure")]
#[test]
fn damaged_rows_of_log_analytics_are_read_or_refused() {
    let names = ["cloud/kube-hunter.aks.json.gz", "cloud/kube-hunter.aks-audit.json.gz"];
    damage_records("damaged_rows_of_log_analytics_are_read_or_refused", &names, |text| {
        stakeout_azure_monitor::decode::row(text).ok().map(|one| one.decoded)
    });
}

#[cfg(feature = "aws")]
#[test]
fn damaged_events_of_cloudwatch_are_read_or_refused() {
    let names = ["cloud/kube-hunter.eks.json.gz"];
    damage_records("damaged_events_of_cloudwatch_are_read_or_refused", &names, |text| {
        stakeout_cloudwatch::decode::exported(text).ok().map(|one| one.decoded)
    });
}
