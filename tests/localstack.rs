//! The whole way on an AWS that others wrote: a recorded scan in moto's CloudWatch Logs, `stakeout once` on it, and
//! what comes out of a queue behind moto's SNS and of the fake of Slack.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use jsonschema::Validator;
use serde_json::Value;
use stakeout_fakes::Slack;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::python::{Moto, interpreter, python};
use crate::support::seeds;

const STAKEOUT: &str = env!("CARGO_BIN_EXE_stakeout");
const SCENARIO: &str = "../../localstack/scenario.py";
/// What Slack is sent one by one; more at once are one digest.
const MESSAGES_MAX: usize = 10;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long a window of the config is.
const WINDOW: SignedDuration = SignedDuration::from_mins(30);

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = read_json("tests/data/ocsf/detection_finding-1.3.0.json");
    jsonschema::validator_for(&schema).expect("a schema")
});

/// (rule, source address) -> requests.
type Counts = BTreeMap<(String, String), u64>;

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read_json(path: &str) -> Value {
    let text = std::fs::read_to_string(in_checkout(path)).expect("the file is there");
    serde_json::from_str(&text).expect("JSON")
}

fn recording_path(name: &str) -> String {
    let path = in_checkout("tests/data/audit").join(format!("{name}.gz"));
    path.to_str().expect("the path of the checkout is text").to_owned()
}

/// Returns what the seed rules find in a recording, as it was counted when it was recorded.
fn expected(recording: &str) -> Counts {
    let all = read_json("tests/data/audit/expected.json");
    let rules = all[recording].as_object().expect("each recording is counted");
    let rows = rules.iter().flat_map(|(rule, counts)| {
        let counts = counts.as_object().expect("counts by source");
        counts.iter().map(move |(source, n)| ((rule.clone(), source.clone()), n.as_u64().expect("a number")))
    });
    rows.collect()
}

/// Reads findings as they were published, each of which must be valid.
fn findings(lines: &str) -> Vec<Value> {
    let findings: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for finding in &findings {
        let faults: Vec<String> =
            SCHEMA.iter_errors(finding).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new(), "{finding}");
    }
    findings
}

fn uid(finding: &Value) -> String {
    finding["finding_info"]["uid"].as_str().expect("each finding has a uid").to_owned()
}

/// Returns (rule, source) of a finding; an IPv6 source is its network.
fn group(finding: &Value) -> (String, String) {
    let rule = finding["finding_info"]["analytic"]["name"].as_str().expect("each finding names its rule");
    let source = finding["unmapped"]["source_ip"].as_str();
    let source = source.or_else(|| finding["evidences"][0]["src_endpoint"]["ip"].as_str());
    (rule.to_owned(), source.expect("each finding has a source").to_owned())
}

fn count(finding: &Value) -> u64 {
    finding["count"].as_u64().expect("each finding counts")
}

fn counts(findings: &[Value]) -> Counts {
    let counts: Counts = findings.iter().map(|finding| (group(finding), count(finding))).collect();
    assert_eq!(counts.len(), findings.len(), "a group was reported twice");
    counts
}

fn uids(findings: &[Value]) -> BTreeSet<String> {
    findings.iter().map(uid).collect()
}

/// Splits findings by what happened to them: opened, grown, ended.
fn by_activity(findings: Vec<Value>) -> [Vec<Value>; 3] {
    let mut split = [Vec::new(), Vec::new(), Vec::new()];
    for finding in findings {
        let activity = finding["activity_id"].as_u64().expect("an activity");
        split[usize::try_from(activity).expect("small") - 1].push(finding);
    }
    split
}

/// A daemon's context: moto, Slack, and a config with its state.
struct Scene {
    moto: Moto,
    slack: Slack,
    folder: TempDir,
    slack_messages: usize,
    /// The fake lives as long as its runtime.
    _runtime: Runtime,
}

impl Scene {
    fn new() -> Scene {
        let moto = Moto::start();
        let runtime = Runtime::new().expect("a runtime");
        let slack = runtime.block_on(Slack::start()).expect("a fake");
        let prepared: Value =
            serde_json::from_str(&python(SCENARIO, &[moto.endpoint(), "prepare"], "")).expect("it prints JSON");
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "schedule: {{cron: \"*/30 * * * *\", earliest: -40m, latest: -10m}}
state: {{path: state}}
rules: {:?}
sources:
  - {{name: moto, cloudwatch: {{region: eu-west-1, log_group: {}, endpoint: \"{endpoint}\"}}}}
notify:
  - {{name: secops, send: findings, min_severity: informational, slack: {{webhook_url: \"{}\", max_messages_per_run: {MESSAGES_MAX}}}}}
  - {{name: bus, send: findings, sns: {{topic_arn: {}, endpoint: \"{endpoint}\"}}}}
",
            seeds::seed_rules(),
            prepared["log_group"],
            slack.webhook_url(),
            prepared["topic_arn"],
            endpoint = moto.endpoint(),
        );
        std::fs::write(folder.path().join("stakeout.yaml"), config).expect("the folder can be written");
        Scene { moto, slack, folder, slack_messages: 0, _runtime: runtime }
    }

    fn put(&self, recording: &str, begin: Timestamp) {
        let begin = begin.to_string();
        let put = python(SCENARIO, &[self.moto.endpoint(), "put", &recording_path(recording), &begin], "");
        assert!(put.trim().parse::<usize>().expect("it prints a number") > 0);
    }

    /// Runs `once --at`, and returns what arrived in the queue and how many messages Slack took.
    fn once(&mut self, at: Timestamp) -> (Vec<Value>, usize) {
        let output = Command::new(STAKEOUT)
            .args(["--quiet", "once", "--at", &at.to_string(), "-c"])
            .arg(self.folder.path().join("stakeout.yaml"))
            .env_clear()
            .output()
            .expect("stakeout starts");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let published = findings(&python(SCENARIO, &[self.moto.endpoint(), "receive"], ""));
        assert!(self.slack.refused().is_empty(), "{:?}", self.slack.refused());
        let before = std::mem::replace(&mut self.slack_messages, self.slack.messages().len());
        (published, self.slack_messages - before)
    }
}

/// Returns how many messages Slack gets for that many new findings.
fn messages(created: usize) -> usize {
    if created > MESSAGES_MAX { 1 } else { created }
}

/// A scan is found, goes on in the next window, and is over: each step is reported once.
fn reported_once_updated_and_closed(recording: &str) {
    let mut scene = Scene::new();
    #[expect(clippy::disallowed_methods, reason = "moto, as AWS, takes no event that is two weeks old")]
    let now = Timestamp::now().as_second();
    let tick = Timestamp::from_second(now - now.rem_euclid(3600)).expect("a time") - 4 * HOUR;

    scene.put(recording, tick - 15 * MINUTE);
    let (reported, slack) = scene.once(tick);
    let [created, updated, closed] = by_activity(reported);
    assert_eq!(counts(&created), expected(recording));
    assert_eq!((updated.len(), closed.len(), slack), (0, 0, messages(created.len())));
    assert_eq!(scene.once(tick), (Vec::new(), 0), "the second run is silent");

    // The same scan again, 20 minutes later: in the next window, and within every rule's quiet time. Groups that were
    // below a threshold may cross it now.
    scene.put(recording, tick + 5 * MINUTE);
    let tick = tick + WINDOW;
    let (reported, slack) = scene.once(tick);
    let [more, updated, closed] = by_activity(reported);
    let doubled: Counts = expected(recording).into_iter().map(|(group, n)| (group, 2 * n)).collect();
    assert_eq!((counts(&updated), uids(&updated)), (doubled.clone(), uids(&created)));
    assert!(counts(&more).keys().all(|group| !doubled.contains_key(group)), "opened again");
    assert_eq!((closed.len(), slack), (0, messages(more.len())));
    assert_eq!(scene.once(tick), (Vec::new(), 0), "the second run is silent");

    // Two quiet windows: the shorter quiet time is over after the first, the longer after the second.
    let mut ended = Vec::new();
    for tick in [tick + WINDOW, tick + 2 * WINDOW] {
        let (reported, slack) = scene.once(tick);
        let [created, updated, closed] = by_activity(reported);
        assert_eq!((created.len(), updated.len(), slack), (0, 0, 0));
        ended.extend(closed);
        assert_eq!(scene.once(tick), (Vec::new(), 0), "the second run is silent");
    }
    let all: BTreeSet<String> = uids(&created).union(&uids(&more)).cloned().collect();
    assert_eq!((ended.len(), uids(&ended)), (all.len(), all), "each is closed, once");
}

#[test]
fn a_few_findings_are_sent_one_by_one() {
    reported_once_updated_and_closed("kube-hunter.audit.log");
}

#[test]
fn many_findings_are_one_digest_in_slack_and_all_of_them_in_sns() {
    reported_once_updated_and_closed("anonymous-scan.audit.log");
}

#[test]
fn the_script_shows_the_findings_that_came_through_the_queue() {
    let output = Command::new(in_checkout("localstack/run.sh"))
        .env_remove("AWS_ENDPOINT_URL")
        .env("PYTHON", interpreter().get_program())
        .env("STAKEOUT", STAKEOUT)
        .output()
        .expect("the script starts");
    let [printed, said] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let expected = expected("kube-hunter.audit.log");
    let mut printed = findings(&printed);
    // The script runs with all shipped rules; what the seeds find is known.
    printed.retain(|finding| expected.keys().any(|(rule, _)| *rule == group(finding).0));
    assert_eq!(counts(&printed), expected);
}
