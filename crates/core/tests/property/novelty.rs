//! Rules that ask for new groups: reading windows one by one, from two logs in any order, finds what one read of all finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use stakeout_core::address::TrustedProxies;
use stakeout_core::commit::WaitingGroup;
use stakeout_core::event::AuditEvent;
use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::fold::{self, CloseInput, Limits, LogChange};
use stakeout_core::group::CountKey;
use stakeout_core::hash::HashKey;
use stakeout_core::novelty::{GROUPS_MAX, Seen, SeenKey};
use stakeout_core::observation::Observation;
use stakeout_core::progress::Progress;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source, SourceId};
use stakeout_core::tally::{Rows, StoredMinute};
use stakeout_core::time::{Minute, Second, Window};

const RULES: &str = "
title: Read
name: read
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: get}, condition: selection}
---
title: Two Reads Of Somebody New
name: new-reader
correlation:
  {type: event_count, rules: [read], group-by: [cluster, user.username], timespan: 2h, condition: {gte: 2}}
stakeout: {dedup_period: 3h, new_for: 4d}
---
title: Listed
name: listed
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: list}, condition: selection}
";

/// 2026-11-21T00:00:00Z, a day's first second.
const BEGIN: i64 = 1_795_219_200;
const DAY: i64 = 86_400;
/// Windows of six hours.
const WINDOW: i64 = DAY / 4;
const DAYS: i64 = 12;
const HASH_KEY: HashKey = HashKey([7; 16]);

fn rules() -> Arc<Rules> {
    static LOADED: LazyLock<Arc<Rules>> = LazyLock::new(|| super::load(RULES));
    LOADED.clone()
}

/// Both logs are of one cluster.
fn source(log: usize) -> Source {
    let log = LogId(format!("file/prod-{log}"));
    Source { name: log.0.clone(), provider: Provider::File, cluster: "prod".into(), log }
}

#[derive(Clone, Debug)]
struct Asked {
    log: usize,
    user: u8,
    verb: &'static str,
    at: i64,
}

impl Asked {
    fn observation(&self, number: usize) -> Observation {
        let event = AuditEvent {
            audit_id: Some(number.to_string()),
            request_received_timestamp: Some(Second(self.at).to_string()),
            verb: Some(self.verb.to_owned()),
            username: Some(format!("user-{}", self.user)),
            source_ips: vec!["10.0.0.1".to_owned()],
            response_code: Some(200),
            ..AuditEvent::default()
        };
        Observation::of_event(&source(self.log), &TrustedProxies::default(), event, Second(self.at), String::new)
            .expect("an event without a stage is a request")
    }
}

/// Returns requests that come near midnight more often than at other times.
fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let second = prop_oneof![2 => 0..DAY, 1 => 0_i64..3600, 1 => DAY - 3600..DAY];
    let verb = prop_oneof![3 => Just("get"), 1 => Just("list")];
    let one = (0_usize..2, 0_u8..4, verb, 0..DAYS, second).prop_map(|(log, user, verb, day, second)| Asked {
        log,
        user,
        verb,
        at: BEGIN + day * DAY + second,
    });
    // Somebody who comes back after a while, to whom a second request follows.
    let pairs = (one, 0_i64..8_000).prop_map(|(first, after)| [first.clone(), Asked { at: first.at + after, ..first }]);
    vec(pairs, 1..25).prop_map(|pairs| pairs.into_iter().flatten().collect())
}

/// What is stored: all rows, findings, waiting groups, and the days of groups.
#[derive(Default)]
struct Stored {
    minutes: BTreeMap<(Minute, SourceId), Rows>,
    findings: BTreeMap<FindingKey, Finding>,
    waiting: BTreeSet<WaitingGroup>,
    seen: Option<Arc<Seen>>,
}

impl Stored {
    /// Reads one window of a log. All logs are read until `read_until`.
    fn read(&mut self, log: usize, window: Window, read_until: Second, asked: &[Asked]) {
        let mut fold = fold::open(rules(), window, false, HASH_KEY, Limits::default());
        let in_log = asked.iter().enumerate().filter(|(_, one)| one.log == log && window.contains(Second(one.at)));
        in_log.for_each(|(number, one)| fold.observe(&one.observation(number)));
        let source_id = SourceId(u32::try_from(log).expect("two logs"));
        let change = LogChange {
            source: source(log),
            source_id,
            window: Some(fold.count()),
            progress: Progress::new(source(log).log, window.latest()),
            notices: Vec::new(),
            found_before: Vec::new(),
        };
        let changes = vec![change.join(&[])];
        let judged: Vec<WaitingGroup> =
            self.waiting.iter().take_while(|group| group.until <= read_until).cloned().collect();
        let keys: BTreeSet<CountKey> = fold::keys_needed(&changes, &judged).into_iter().cloned().collect();
        let spans = fold::spans_needed(&rules(), &changes, &judged);
        let is_needed = |minute: Minute, key: &CountKey| {
            keys.contains(key) && spans.get(&key.rule).is_some_and(|span| span.touches(minute))
        };
        let minutes = self.minutes.iter().map(|((minute, source), rows)| StoredMinute {
            source: *source,
            minute: *minute,
            rows: rows.iter().filter(|(key, _)| is_needed(*minute, key)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        });
        let minutes = minutes.collect();
        let seen = self.seen.clone().unwrap_or_else(|| Arc::new(Seen::new(HASH_KEY, [])));
        let input = CloseInput {
            changes,
            minutes,
            findings: self.findings.values().cloned().collect(),
            judged,
            judged_until: read_until,
            seen: seen.clone(),
            ..CloseInput::alone(source(log), None, Vec::new(), read_until)
        };
        let commit = fold::close(&rules(), &Limits::default(), input, jiff::Timestamp::UNIX_EPOCH).commit;
        for log in commit.logs {
            for (minute, rows) in log.minutes {
                self.minutes.entry((minute, log.source)).or_default().extend(rows);
            }
        }
        self.findings.extend(commit.findings.into_iter().map(|finding| (finding.key, finding)));
        self.waiting.retain(|group| !commit.judged.contains(group));
        self.waiting.extend(commit.waiting);
        let mut seen = Arc::unwrap_or_clone(seen);
        seen.apply(&commit.seen);
        self.seen = Some(Arc::new(seen));
    }
}

fn episodes<'f>(findings: impl Iterator<Item = &'f Finding>) -> BTreeSet<(String, i64, i64, u64)> {
    let new = findings
        .filter(|finding| finding.rule.name == "new-reader" && !matches!(finding.status, FindingStatus::MergedInto(_)));
    let row = |finding: &Finding| {
        let episode = finding.episode;
        (finding.group.0[1].to_string(), episode.first.0, episode.last.0, episode.count)
    };
    new.map(row).collect()
}

/// Counts by hand: two reads within two hours, on a day whose four days before have no read of this user, at least three days
/// after the first request to the cluster.
fn expected(asked: &[Asked]) -> BTreeSet<(String, i64, i64, u64)> {
    let day = |at: i64| at.div_euclid(DAY);
    let mut found = BTreeSet::new();
    for user in 0..4 {
        let mut reads: Vec<i64> =
            asked.iter().filter(|one| one.user == user && one.verb == "get").map(|one| one.at).collect();
        reads.sort_unstable();
        let mut from = 0;
        while from + 1 < reads.len() {
            let today = day(reads[from]);
            let is_new = !reads.iter().any(|at| (today - 4..today).contains(&day(*at)));
            let is_watched = asked.iter().any(|one| day(one.at) <= today - 3);
            if reads[from + 1] - reads[from] > 7_200 || !is_new || !is_watched {
                from += 1;
                continue;
            }
            let mut last = from + 1;
            while last + 1 < reads.len() && reads[last + 1] - reads[last] <= 10_800 {
                last += 1;
            }
            let count = (last - from + 1) as u64;
            found.insert((format!("user-{user}"), reads[from], reads[last], count));
            from = last + 1;
        }
    }
    found
}

proptest! {
    #![proptest_config(crate::cases(200))]

    #[test]
    fn windows_of_two_logs_find_who_is_new_as_one_read_does(asked in asked(), lags in vec(any::<bool>(), 49)) {
        let mut whole = fold::open(rules(), Window::ALL, false, HASH_KEY, Limits::of_replay());
        asked.iter().enumerate().for_each(|(number, one)| whole.observe(&one.observation(number)));
        let whole = whole.close_alone(&source(0), Second(BEGIN + (DAYS + 2) * DAY), jiff::Timestamp::UNIX_EPOCH);
        let expected = expected(&asked);
        prop_assert_eq!(episodes(whole.commit.findings.iter()), expected.clone(), "at once");

        // The second log may be read several windows later than the first.
        let mut stored = Stored::default();
        let mut cursors = [BEGIN; 2];
        let last = BEGIN + (DAYS + 1) * DAY;
        let mut lags = lags.into_iter();
        while cursors[1] < last {
            let is_second = cursors[0] >= last || (lags.next() != Some(true) && cursors[1] < cursors[0]);
            let log = usize::from(is_second);
            let window = Window::new(Second(cursors[log]), Second(cursors[log] + WINDOW)).expect("not empty");
            cursors[log] += WINDOW;
            stored.read(log, window, Second(cursors[0].min(cursors[1])), &asked);
        }
        prop_assert_eq!(episodes(stored.findings.values()), expected, "window by window");
    }
}

fn read(user: u8, day: i64, second: i64) -> Asked {
    Asked { log: 0, user, verb: "get", at: BEGIN + day * DAY + second }
}

fn read_day(stored: &mut Stored, day: i64, asked: &[Asked]) {
    let window = Window::new(Second(BEGIN + day * DAY), Second(BEGIN + (day + 1) * DAY)).expect("not empty");
    stored.read(0, window, window.latest(), asked);
}

fn users(stored: &Stored) -> Vec<String> {
    episodes(stored.findings.values()).into_iter().map(|(user, ..)| user).collect()
}

/// What comes late adds days, so somebody is not new afterwards. A finding that is there stays.
#[test]
fn late_days_are_added_and_take_no_finding_back() {
    let mut asked = vec![read(1, 0, 0), read(2, 5, 60), read(2, 5, 90), read(3, 8, 0), read(3, 8, 30)];
    let mut stored = Stored::default();
    (0..8).for_each(|day| read_day(&mut stored, day, &asked));
    assert_eq!(users(&stored), ["user-2"]);
    asked.extend([read(2, 2, 5), read(3, 6, 5)]);
    read_day(&mut stored, 2, &asked);
    read_day(&mut stored, 6, &asked);
    read_day(&mut stored, 8, &asked);
    assert_eq!(users(&stored), ["user-2"]);
}

/// A group that there is no room for counts as seen, and so does every unknown group for as long as the rule looks back.
#[test]
fn a_group_without_room_counts_as_seen() {
    let days = || serde_json::from_value(serde_json::json!({"last": BEGIN / DAY, "bits": 1})).expect("days");
    // There is room for one more: the cluster.
    let known = (1..GROUPS_MAX as u64).map(|n| (SeenKey(n), days()));
    let mut stored = Stored { seen: Some(Arc::new(Seen::new(HASH_KEY, known))), ..Stored::default() };
    let of_day = |user, day| [read(user, day, 0), read(user, day, 30)];
    let asked = [[read(1, 0, 0), read(1, 0, 9_000)], of_day(2, 4), of_day(3, 5), of_day(4, 10)].concat();
    (0..11).for_each(|day| read_day(&mut stored, day, &asked));
    assert_eq!(users(&stored), ["user-4"]);
    // The days of groups that are long over make room.
    let asked = [of_day(5, 80), of_day(6, 84), of_day(5, 84)].concat();
    (80..86).for_each(|day| read_day(&mut stored, day, &asked));
    assert_eq!(users(&stored), ["user-4", "user-6"]);
    assert!(stored.seen.is_some_and(|seen| seen.days().count() < 10));
}
