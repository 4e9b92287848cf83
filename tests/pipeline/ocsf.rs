//! What a machine receives: OCSF objects, each held against the schema, and the episodes that the last of them leave.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::audit::data;
use super::counter::Episode;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let text = std::fs::read_to_string(data("ocsf/detection_finding-1.3.0.json")).expect("the schema");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
});

/// The activities of a finding.
pub(crate) const CREATE: i64 = 1;
pub(crate) const UPDATE: i64 = 2;
pub(crate) const CLOSE: i64 = 3;
/// The analytic that Stakeout names for notices about itself.
pub(crate) const WATCH: &str = "stakeout-watch";

/// One message about one finding, or about the watch itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The number of the message, the same when it is sent again.
    pub(crate) delivery: String,
    /// The finding.
    pub(crate) uid: String,
    /// 1 create, 2 update, 3 close.
    pub(crate) activity: i64,
    /// What was found, and when.
    pub(crate) episode: Episode,
    /// Whether the finding goes on in another.
    pub(crate) is_merged: bool,
    /// The title.
    pub(crate) title: String,
}

impl Reported {
    /// Reads a message, after the schema had its say.
    pub(crate) fn read(message: &str) -> Reported {
        let object: Value = serde_json::from_str(message).expect("a JSON object");
        let faults: Vec<String> =
            SCHEMA.iter_errors(&object).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new(), "{message}");
        let text = |spot: &str| object.pointer(spot).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |spot: &str| object.pointer(spot).and_then(Value::as_i64).unwrap_or_default();
        Reported {
            delivery: text("/metadata/uid"),
            uid: text("/finding_info/uid"),
            activity: number("/activity_id"),
            episode: Episode {
                rule: text("/finding_info/analytic/name"),
                source: text("/unmapped/source_ip"),
                first: number("/finding_info/first_seen_time") / 1000,
                last: number("/finding_info/last_seen_time") / 1000,
                count: number("/count"),
            },
            is_merged: object.pointer("/unmapped/merged_into").is_some(),
            title: text("/finding_info/title"),
        }
    }
}

/// Returns the episodes as the last message about each finding has them; those that were merged go on in another.
pub(crate) fn final_episodes(reported: &[Reported]) -> Vec<Episode> {
    let mut last: BTreeMap<&str, &Reported> = BTreeMap::new();
    for message in reported.iter().filter(|message| message.episode.rule != WATCH) {
        last.insert(&message.uid, message);
    }
    let mut episodes: Vec<Episode> =
        last.into_values().filter(|message| !message.is_merged).map(|message| message.episode.clone()).collect();
    episodes.sort();
    episodes
}

/// Asserts that each finding was opened once, first, and was closed at most once and last.
pub(crate) fn assert_each_opens_once(reported: &[Reported]) {
    let mut activities: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for message in reported.iter().filter(|message| message.episode.rule != WATCH) {
        activities.entry(&message.uid).or_default().push(message.activity);
    }
    for (uid, reported) in activities {
        let opened = reported.iter().filter(|activity| **activity == CREATE).count();
        assert_eq!((reported[0], opened), (CREATE, 1), "finding {uid} was reported as {reported:?}");
    }
}
