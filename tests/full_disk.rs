//! Disks that are full somewhere in a run of the binary: it says so, ends, and finds everything when there is room again.
//!
//! `STAKEOUT_TEST_DISKS` says how many sizes of disks there are (6 by default). Mounting one needs root, or a user namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const DISKS: &str = "STAKEOUT_TEST_DISKS";
const DISKS_BY_DEFAULT: u64 = 6;
/// The smallest disk and the largest, in kilobytes: the first holds not even an empty state, the last nearly all.
const SMALLEST_KB: u64 = 300;
const LARGEST_KB: u64 = 2_800;
/// Addresses that scan, each of them in each hour.
const SCANNERS: u64 = 60;
const HOURS: i64 = 3;
/// Requests of an address in an hour.
const REQUESTS: i64 = 12;
/// The first full hour after the first request, in seconds since 1970.
const BEGIN: i64 = 1_741_050_000;

const CONFIG: &str = "state: {path: state}
admin: {listen: \"off\"}
sources: [{name: onprem, file: {path: audit.log}, start: -4h}]
notify: [{name: out, stdout: {}}]
";

/// Runs on a disk of `$1` kB; again while not a byte is free; again with room. How each ended is in `codes`.
const ON_A_SMALL_DISK: &str = r#"
    once() { timeout 120 "$2" --quiet once -c stakeout.yaml --at "$3" >>out 2>>log; echo $? >>codes; }
    mkdir state && mount -t tmpfs -o size="$1k" none state || exit 99
    once "$@"
    cat /dev/zero >state/ballast 2>/dev/null
    once "$@"
    rm state/ballast
    mount -o remount,size=64m state || exit 99
    once "$@"
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("stakeout.yaml"), CONFIG).expect("written");
    let line = |scanner: u64, hour: i64, n: i64| {
        let at = BEGIN - 3600 + hour * 3600 + n * 20 + i64::try_from(scanner % 60).expect("small");
        let at = jiff::Timestamp::from_second(at).expect("a time");
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
            "auditID": format!("{scanner}-{hour}-{n}"), "stage": "ResponseComplete", "verb": "list",
            "requestURI": format!("/api/v1/namespaces/n{n}/pods"),
            "user": {"username": "system:anonymous", "groups": ["system:unauthenticated"]},
            "sourceIPs": [format!("8.8.{}.{}", scanner / 200, scanner % 200 + 1)], "userAgent": "curl/8.5.0",
            "objectRef": {"resource": "pods", "namespace": format!("n{n}"), "apiVersion": "v1"},
            "responseStatus": {"code": 403},
            "requestReceivedTimestamp": format!("{at:.6}"), "stageTimestamp": format!("{at:.6}"),
        })
    };
    let mut lines = String::new();
    for hour in 0..HOURS {
        for n in 0..REQUESTS {
            for scanner in 0..SCANNERS {
                lines.push_str(&format!("{}\n", line(scanner, hour, n)));
            }
        }
    }
    fs::write(folder.path().join("audit.log"), lines).expect("written");
    folder
}

fn at() -> String {
    jiff::Timestamp::from_second(BEGIN + HOURS * 3600).expect("a time").to_string()
}

/// What a run has reported: of each rule and source, the numbers of requests of its findings as they were last reported.
fn reported(folder: &Path) -> BTreeMap<(String, String), BTreeSet<i64>> {
    let text = fs::read_to_string(folder.join("out")).expect("an output");
    let mut deliveries: BTreeMap<String, String> = BTreeMap::new();
    let mut created: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut findings: BTreeMap<String, ((String, String), i64)> = BTreeMap::new();
    for line in text.lines() {
        let object: Value = serde_json::from_str(line).expect("a JSON object a line");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (uid, delivery) = (text(&object["finding_info"]["uid"]), text(&object["metadata"]["uid"]));
        // What comes again because it could not be noted as sent is the same message.
        let before = deliveries.entry(delivery.clone()).or_insert_with(|| uid.clone());
        assert_eq!(*before, uid, "{delivery}");
        if object["activity_id"] == 1 {
            created.entry(uid.clone()).or_default().insert(delivery);
        }
        let rule = text(&object["finding_info"]["analytic"]["name"]);
        let source = text(&object["evidences"][0]["src_endpoint"]["ip"]);
        findings.insert(uid, ((rule, source), object["count"].as_i64().unwrap_or_default()));
    }
    assert!(created.values().all(|deliveries| deliveries.len() == 1), "a finding was opened twice: {created:?}");
    let mut reported: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
    for (key, count) in findings.into_values() {
        reported.entry(key).or_default().insert(count);
    }
    reported
}

fn run_on_a_disk(kilobytes: u64, folder: &Path) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", &kilobytes.to_string()]);
    command.arg(env!("CARGO_BIN_EXE_stakeout")).arg(at()).current_dir(folder).output().expect("unshare runs")
}

#[test]
fn a_run_that_meets_a_full_disk_finds_everything_when_there_is_room() {
    let disks = std::env::var(DISKS).map_or(DISKS_BY_DEFAULT, |disks| disks.parse().expect("a number"));
    let expected = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.args(["--quiet", "once", "-c", "stakeout.yaml", "--at", &at()]).current_dir(expected.path());
    let output = command.output().expect("stakeout runs");
    assert!(output.status.success(), "{output:?}");
    fs::write(expected.path().join("out"), &output.stdout).expect("written");
    let expected = reported(expected.path());
    assert!(expected.len() >= usize::try_from(SCANNERS).expect("few"), "{expected:?}");

    let (mut full, mut repeated) = (0, 0);
    for disk in 0..disks {
        let kilobytes = SMALLEST_KB + (LARGEST_KB - SMALLEST_KB) * disk / disks;
        let folder = folder();
        let output = run_on_a_disk(kilobytes, folder.path());
        if disk == 0 && !output.status.success() {
            eprintln!("skipped: this machine does not let a user mount a tmpfs: {output:?}");
            return;
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let codes: Vec<u32> = read("codes").lines().map(|code| code.parse().expect("a number")).collect();
        let [first, second, third] = codes[..] else { panic!("{kilobytes} kB: {output:?}") };
        let is_told = |code| [0, 75].contains(&code);
        assert!(is_told(first) && is_told(second) && third == 0, "{kilobytes} kB: {codes:?}\n{}", read("log"));
        assert_eq!(reported(folder.path()), expected, "{kilobytes} kB: {codes:?}\n{}", read("log"));
        full += u32::from(first == 75);
        repeated += repeats(&read("out"));
        eprintln!("{kilobytes} kB: {codes:?}");
    }
    eprintln!("{full} of {disks} disks were full, all recovered; {repeated} messages came again");
    assert!(u64::from(full) >= disks / 2, "only {full} disks were full");
}

/// Returns how many messages came more than once.
fn repeats(output: &str) -> usize {
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["metadata"]["uid"].to_string();
    let ids: Vec<String> = output.lines().map(id).collect();
    ids.len() - ids.iter().collect::<BTreeSet<_>>().len()
}
