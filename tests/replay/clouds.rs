//! The same scan in the envelope of each cloud: the same findings as in the API server's own log, but for what an
//! envelope leaves out. Each such exception stands in a golden file with its reason.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{BTreeMap, data, findings, replay, replay_stdin};

const SCENARIOS: [&str; 4] = ["anonymous-scan", "auth-failures", "kube-hunter", "limited"];

/// What a finding says of the scan, whichever cloud kept the log.
type Seen = (String, String, u64, i64, i64);

fn seen(finding: &Value) -> Seen {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let info = &finding["finding_info"];
    let time = |key: &str| info[key].as_i64().expect("a time").div_euclid(1000);
    (
        text(&info["analytic"]["name"]),
        text(&finding["unmapped"]["source_ip"]),
        finding["count"].as_u64().expect("a count"),
        time("first_seen_time"),
        time("last_seen_time"),
    )
}

fn replayed(arguments: &[&str]) -> BTreeSet<Seen> {
    let arguments = [&["-o", "json"], arguments].concat();
    findings(&replay(&arguments)).iter().map(seen).collect()
}

fn path(name: &str) -> String {
    data(name).to_str().expect("plain").to_owned()
}

fn exported(scenario: &str, envelope: &str) -> String {
    path(&format!("cloud/{scenario}.{envelope}.json.gz"))
}

fn recorded(scenario: &str) -> BTreeSet<Seen> {
    replayed(&[&path(&format!("audit/{scenario}.audit.log.gz"))])
}

#[test]
fn eks_and_aks_show_every_scan_as_the_api_server_does() {
    for scenario in SCENARIOS {
        let recorded = recorded(scenario);
        for (envelope, kind) in [("eks", "eks"), ("aks", "aks"), ("aks-audit", "aks")] {
            let exported = exported(scenario, envelope);
            assert_eq!(replayed(&[&exported]), recorded, "{scenario} in {envelope}, recognised");
            assert_eq!(replayed(&["--kind", kind, &exported]), recorded, "{scenario} in {envelope}, named");
        }
    }
}

/// A finding without its times: GKE records when a request came, the API server when it was answered.
fn untimed(seen: BTreeSet<Seen>) -> BTreeMap<(String, String), u64> {
    let mut counts = BTreeMap::new();
    for (rule, source, count, ..) in seen {
        *counts.entry((rule, source)).or_default() += count;
    }
    counts
}

#[test]
fn gke_shows_the_same_but_for_what_its_entries_leave_out() {
    let mut differing = BTreeMap::new();
    for scenario in SCENARIOS {
        let expected = untimed(recorded(scenario));
        let found = untimed(replayed(&[&exported(scenario, "gke")]));
        let keys: BTreeSet<_> = expected.keys().chain(found.keys()).cloned().collect();
        for (rule, source) in keys {
            let key = (rule, source);
            let (recorded, in_gke) = (expected.get(&key), found.get(&key));
            if recorded != in_gke {
                differing.insert(format!("{scenario}: {} of {}", key.0, key.1), json!([recorded, in_gke]));
            }
        }
    }
    let golden: Value =
        serde_json::from_str(&std::fs::read_to_string(data("cloud/gke-exceptions.json")).expect("golden file"))
            .expect("JSON");
    let explained = golden["exceptions"].as_object().expect("an object");
    for (finding, exception) in explained {
        assert!(!exception["reason"].as_str().unwrap_or("").is_empty(), "{finding} has no reason");
    }
    let explained: BTreeMap<String, Value> = explained
        .iter()
        .map(|(finding, exception)| (finding.clone(), exception["recorded_and_in_gke"].clone()))
        .collect();
    assert_eq!(differing, explained);
}

#[test]
fn lines_answers_and_arrays_of_one_log_are_the_same() {
    let text = |envelope: &str| {
        let file = std::fs::File::open(exported("kube-hunter", envelope)).expect("the recording");
        serde_json::from_reader::<_, Value>(flate2::read::GzDecoder::new(file)).expect("JSON")
    };
    let found = |kind: &str, input: &str| {
        let output = replay_stdin(&["-o", "json", "--kind", kind, "-"], input.as_bytes());
        findings(&output).iter().map(seen).collect::<BTreeSet<_>>()
    };
    let lines = |records: &[Value]| records.iter().map(|record| format!("{record}\n")).collect::<String>();
    let (eks, gke, aks) = (text("eks"), text("gke"), text("aks-audit"));

    let expected = recorded("kube-hunter");
    let events = eks["events"].as_array().expect("events");
    let exported_to_s3: String = events
        .iter()
        .map(|event| {
            let ms = event["timestamp"].as_i64().expect("a time");
            let time = jiff::Timestamp::from_millisecond(ms).expect("a time");
            format!("{time:.3} {}\n", event["message"].as_str().expect("a message"))
        })
        .collect();
    let half = events.len() / 2;
    let pages = [json!({"events": events[..half], "nextToken": "t"}), json!({"events": events[half..]})];
    for input in [lines(events), exported_to_s3, lines(&pages), json!(pages).to_string()] {
        assert_eq!(found("auto", &input), expected);
    }
    let pretty: String =
        events.iter().map(|event| format!("{}\n", serde_json::to_string_pretty(event).expect("JSON"))).collect();
    assert_eq!(found("eks", &pretty), expected);

    let entries = gke["entries"].as_array().expect("entries");
    let expected = found("gke", &gke.to_string());
    assert!(!expected.is_empty());
    for input in [lines(entries), serde_json::to_string_pretty(entries).expect("JSON")] {
        assert_eq!(found("auto", &input), expected);
    }

    let table = &aks["tables"][0];
    let names: Vec<&str> =
        table["columns"].as_array().expect("columns").iter().filter_map(|column| column["name"].as_str()).collect();
    let rows: Vec<Value> = table["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| names.iter().zip(row.as_array().expect("cells")).map(|(name, cell)| (*name, cell.clone())).collect())
        .collect();
    let expected = recorded("kube-hunter");
    // The command line tool says of each row which table it is of.
    let of_tool: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row["TableName"] = json!("PrimaryResult");
            row
        })
        .collect();
    for input in [lines(&rows), serde_json::to_string_pretty(&of_tool).expect("JSON")] {
        assert_eq!(found("auto", &input), expected);
    }
}

#[test]
fn one_scan_in_three_exports_is_one_finding_over_three_clusters() {
    let files = ["eks", "gke", "aks"].map(|envelope| exported("kube-hunter", envelope));
    let output =
        replay(&[&["-o", "json", "--cluster", "eks-prod"][..], &files.each_ref().map(String::as_str)].concat());
    let mut clusters = BTreeSet::new();
    for finding in findings(&output) {
        if finding["finding_info"]["analytic"]["name"] == "kubernetes-scanning-by-unauthenticated-ip" {
            let names = finding["resources"].as_array().expect("resources").iter();
            clusters
                .insert(names.filter_map(|cluster| cluster["name"].as_str()).map(str::to_owned).collect::<Vec<_>>());
        }
    }
    let all = ["aks-prod", "eks-prod", "gke-prod"].map(str::to_owned).to_vec();
    assert_eq!(clusters, BTreeSet::from([all]));
}
