//! The dashboard for Grafana: its queries ask for metrics and labels that the daemon really shows, and that are documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Daemon;
use super::findings::recent_scan;

/// Metrics of the dashboard that appear with the first fault of their kind.
const OF_FAULTS: &[&str] = &["stakeout_gaps_total", "stakeout_windows_failed_total"];

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).expect("a file of the checkout")
}

fn is_name(c: char) -> bool {
    c.is_ascii_lowercase() || c == '_'
}

/// Returns the labels of each metric, as the daemon shows them.
fn shown(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for line in page.lines().filter(|line| line.starts_with("stakeout_")) {
        let end = line.find(|c| !is_name(c)).expect("a value follows");
        let labels = line[end..].split_once('}').map_or("", |(labels, _)| labels.trim_start_matches('{'));
        let keys = labels.split(',').filter_map(|label| label.split_once('=')).map(|(key, _)| key.to_owned());
        found.entry(line[..end].to_owned()).or_default().extend(keys);
    }
    found
}

/// Returns the labels of each metric, as docs/operations.md lists them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = text("docs/operations.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `stakeout_"));
    let row = |row: &str| {
        let (name, rest) = row.split_once("` |").expect("a name");
        let labels = rest.split('|').next().unwrap_or_default();
        // Behind a label, in parentheses, are its values.
        let outside = labels.split('(').map(|part| part.split_once(')').map_or(part, |(_, outside)| outside));
        let names: BTreeSet<String> =
            outside.flat_map(|part| part.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
        (format!("stakeout_{name}"), names)
    };
    rows.map(row).collect()
}

/// A query, as (metrics, labels).
type Query = (BTreeSet<String>, BTreeSet<String>);

/// Returns the queries of the panels and of the variables.
fn queries(dashboard: &Value) -> Vec<Query> {
    let targets = dashboard["panels"].as_array().expect("panels").iter().flat_map(|panel| {
        panel["targets"].as_array().expect("targets").iter().map(|target| {
            let [expression, legend] = ["expr", "legendFormat"].map(|key| target[key].as_str().expect("a text"));
            let mut labels = labels(expression);
            labels.extend(legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::to_owned));
            (metrics(expression), labels)
        })
    });
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter().filter_map(|variable| {
        let (metric, label) =
            variable["query"].as_str()?.strip_prefix("label_values(")?.trim_end_matches(')').split_once(", ")?;
        Some((metrics(metric), BTreeSet::from([label.to_owned()])))
    });
    targets.chain(variables).collect()
}

fn metrics(expression: &str) -> BTreeSet<String> {
    let starts = expression.match_indices("stakeout_").map(|(at, _)| &expression[at..]);
    starts.map(|rest| rest.chars().take_while(|c| is_name(*c)).collect()).collect()
}

/// Returns the labels that a query selects and groups by.
fn labels(expression: &str) -> BTreeSet<String> {
    let selected = expression.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let selected = selected.flat_map(|labels| labels.split(',')).filter_map(|label| label.split(['=', '!']).next());
    let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let grouped = grouped.flat_map(|labels| labels.split(','));
    selected.chain(grouped).map(|label| label.trim().to_owned()).collect()
}

#[test]
fn the_dashboard_asks_for_what_the_daemon_shows() {
    let daemon = Daemon::start_with(Command::new(env!("CARGO_BIN_EXE_stakeout")), &recent_scan("203.0.113.9"));
    assert!(daemon.wait_for("STATUS=tick ").contains("0 logs and 0 messages pending"));
    let (shown, documented) = (shown(&daemon.ask("GET", "/metrics").1), documented());
    for (metric, labels) in &shown {
        assert_eq!(documented.get(metric), Some(labels), "docs/operations.md: {metric}");
    }
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/stakeout.json")).expect("JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 20, "{queries:?}");
    let mut asked = BTreeSet::new();
    for (metrics, labels) in queries {
        assert_eq!(metrics.len(), 1, "{metrics:?}");
        for metric in &metrics {
            let known = documented.get(metric).unwrap_or_else(|| panic!("there is no metric {metric}"));
            assert!(labels.is_subset(known), "{metric} has no such label: {labels:?}");
        }
        asked.extend(metrics);
    }
    let missing: Vec<&str> = asked.iter().map(String::as_str).filter(|metric| !shown.contains_key(*metric)).collect();
    assert_eq!(missing, OF_FAULTS);
}
