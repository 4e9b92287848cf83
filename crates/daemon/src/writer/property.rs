//! Whatever the order, the pages, the repetition, the delay and the downtime: what was told in the end is what a
//! counter of a few lines says that was written apart from the engine.
//!
//! The writer, the ledger and the schedule are the daemon's own. `STAKEOUT_CASES` sets how many timelines are tried
//! (1,000 where it is unset), `STAKEOUT_SEED` which ones; a failing run prints its seed and its smallest timeline.

mod timeline;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use stakeout_core::address::TrustedProxies;
use stakeout_core::delivery::Activity;
use stakeout_core::event::AuditEvent;
use stakeout_core::finding::Status;
use stakeout_core::fold::{self, Limits};
use stakeout_core::observation::Observation;
use stakeout_core::rule::{self, Level, RuleFile, Rules};

use super::*;
use crate::config::Schedule;
use timeline::{Request as Asked, Timeline, Visit, timelines};

/// 2026-11-21T00:50:00Z, where the first window begins.
const BEGIN: i64 = 1_795_222_200;
const WINDOW_SECONDS: i64 = 3600;
/// Windows in which something happens.
const HOURS: usize = 6;
/// Ticks after them: enough for every re-look, and for the quiet time.
const QUIET_HOURS: usize = 4;
const RELOOK_SECONDS: [i64; 2] = [3600, 7200];
/// Timespans and quiet times of the rules below.
const TIMESPAN_SECONDS: [i64; 3] = [600, 900, 300];
const QUIET_SECONDS: [i64; 3] = [1200, 2700, 300];
/// What the sources are called, and their clusters.
const CLUSTERS: [&str; 2] = ["prod", "stage"];
const DESTINATION: &str = "bus";

const RULES: &str = "
title: Refused
name: refused
logsource: {product: kubernetes, service: audit}
detection: {selection: {responseStatus.code: 403}, condition: selection}
---
title: Refused Often
name: refused-often
correlation: {type: event_count, rules: [refused], group-by: [source_ip], timespan: 10m, condition: {gte: 3}}
stakeout: {dedup_period: 20m}
---
title: Refused By One Cluster
name: refused-by-one-cluster
correlation: {type: event_count, rules: [refused], group-by: [source_ip, cluster], timespan: 15m, condition: {gt: 1}}
stakeout: {dedup_period: 45m}
---
title: Listed
name: listed
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: list}, condition: selection}
---
title: Listed Once
name: listed-once
correlation: {type: event_count, rules: [listed], group-by: [source_ip], timespan: 5m, condition: {gte: 1}}
stakeout: {dedup_period: 5m}
";

/// A rule's name, a group, and the first second, last second and requests of an episode.
type Counted = (String, String, i64, i64, u64);

/// Counts by hand, apart from the engine: `times` ascend, one entry for each request.
fn count_by_hand(times: &[i64], least: usize, timespan: i64, quiet: i64) -> Vec<(i64, i64, u64)> {
    let mut episodes = Vec::new();
    let mut rest = times;
    let holds = |rest: &[i64], from: usize| rest[from..].iter().filter(|at| **at - rest[from] <= timespan).count();
    while let Some(first) = (0..rest.len()).find(|from| holds(rest, *from) >= least) {
        let mut last = first;
        while last + 1 < rest.len() && rest[last + 1] - rest[last] <= quiet {
            last += 1;
        }
        episodes.push((rest[first], rest[last], (last - first + 1) as u64));
        rest = &rest[last + 1..];
    }
    episodes
}

/// Returns what must have been told of a timeline.
fn expected(requests: &[Asked]) -> Vec<Counted> {
    let mut times: BTreeMap<(usize, String), Vec<i64>> = BTreeMap::new();
    for request in requests {
        let address = format!("198.51.100.{}", request.address);
        let both = format!("{address} {}", CLUSTERS[request.source]);
        let counts =
            [(request.is_refused, address.clone()), (request.is_refused, both), (request.verb == "list", address)];
        for (rule, (_, group)) in counts.into_iter().enumerate().filter(|(_, (fits, _))| *fits) {
            times.entry((rule, group)).or_default().extend(vec![request.at; request.n as usize]);
        }
    }
    let mut counted = Vec::new();
    for ((rule, group), mut times) in times {
        times.sort_unstable();
        let (name, least) = [("refused-often", 3), ("refused-by-one-cluster", 2), ("listed-once", 1)][rule];
        for (first, last, count) in count_by_hand(&times, least, TIMESPAN_SECONDS[rule], QUIET_SECONDS[rule]) {
            counted.push((name.to_owned(), group.clone(), first, last, count));
        }
    }
    counted.sort();
    counted
}

/// What a destination was told: how often each finding was opened, and each finding as it was told last.
#[derive(Default)]
struct Told {
    creates: BTreeMap<FindingKey, usize>,
    latest: BTreeMap<FindingKey, Finding>,
}

/// A daemon without clouds: its state, and what it must not forget over a restart.
struct World {
    state: tempfile::TempDir,
    writer: Option<Writer>,
    schedule: Schedule,
    rules: Arc<Rules>,
    sources: Vec<Source>,
    scope: Arc<Scope>,
    progress: [Option<Progress>; 2],
    stored: BTreeMap<FindingKey, Finding>,
    /// Findings that went on after minutes of theirs were deleted.
    grown: BTreeSet<FindingKey>,
    told: Told,
}

impl World {
    fn new() -> World {
        let memory = std::path::Path::new("/dev/shm");
        let state = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let sources: Vec<Source> = CLUSTERS
            .iter()
            .map(|cluster| Source {
                name: (*cluster).to_owned(),
                provider: Provider::File,
                cluster: (*cluster).into(),
                log: LogId(format!("file/{cluster}")),
            })
            .collect();
        let file = RuleFile { name: "rules.yml".to_owned(), text: RULES.to_owned() };
        let rules = rule::load(&[file]).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let schedule = Schedule::default();
        let appetite =
            Appetite { destination: DESTINATION.to_owned(), level_min: Level::Informational, every_change: true };
        let scope = Scope {
            logs: sources.iter().map(|source| (source.log.clone(), source.provider, schedule.start_seconds)).collect(),
            appetites: vec![appetite],
            reach_seconds: rules.longest_reach_seconds(),
            period_seconds: WINDOW_SECONDS,
        };
        World {
            state: state.expect("a folder"),
            writer: None,
            schedule,
            rules: Arc::new(rules),
            sources,
            scope: Arc::new(scope),
            progress: [None, None],
            stored: BTreeMap::new(),
            grown: BTreeSet::new(),
            told: Told::default(),
        }
    }

    /// Opens the state; a writer that was just dropped may hold it for a moment longer.
    fn open(&mut self) {
        self.writer = None;
        let begun = Instant::now();
        let writer = loop {
            match Writer::start(self.state.path().to_owned()) {
                Err(LedgerError::Locked { .. }) if begun.elapsed() < Duration::from_secs(30) => {
                    std::thread::yield_now();
                }
                other => break other.expect("the state opens"),
            }
        };
        self.writer = Some(writer);
    }

    fn writer(&self) -> &Writer {
        self.writer.as_ref().expect("opened at the first visit")
    }

    /// Does what a tick does: new windows in order, then re-looks, the two sources' commits mixed; then it tells.
    async fn visit(&mut self, visit: &Visit, at: Second, requests: &[Asked]) {
        if visit.restarts || self.writer.is_none() {
            self.open();
        }
        let mut dice = visit.shuffle;
        let known = self.writer().progress().await.expect("the state is read");
        let mut owed: [Vec<(Window, bool)>; 2] = [Vec::new(), Vec::new()];
        for (source, owed) in owed.iter_mut().enumerate().filter(|(source, _)| visit.reads[*source]) {
            let progress = known.iter().find(|progress| progress.log == self.sources[source].log);
            let due = self.schedule.owed(progress, self.schedule.start_seconds, at);
            owed.extend(due.relooks.into_iter().rev().map(|window| (window, true)));
            owed.extend(due.windows.into_iter().rev().map(|window| (window, false)));
            self.progress[source] = progress.cloned();
        }
        while owed.iter().any(|windows| !windows.is_empty()) {
            let drawn = roll(&mut dice, 2);
            let source = if owed[drawn].is_empty() { 1 - drawn } else { drawn };
            if let Some((window, is_relook)) = owed[source].pop() {
                self.read(source, window, is_relook, at, requests, &mut dice).await;
            }
        }
        if visit.settles {
            self.tell().await;
        }
    }

    async fn read(
        &mut self,
        source: usize,
        window: Window,
        is_relook: bool,
        at: Second,
        requests: &[Asked],
        dice: &mut u64,
    ) {
        let source_read = &self.sources[source];
        let mut records = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            if request.source == source && request.visible_from <= at.0 && window.contains(Second(request.at)) {
                let times = std::iter::once(&request.at).chain(&request.copies);
                records.extend(times.map(|time| observation(source_read, request, number, *time)));
            }
        }
        for place in (1..records.len()).rev() {
            records.swap(place, roll(dice, place + 1));
        }
        let sample_key = self.writer().sample_key();
        let mut fold = fold::open(self.rules.clone(), window, is_relook, sample_key, Limits::default());
        for record in &records {
            fold.observe(record);
        }
        let progress =
            self.progress[source].get_or_insert_with(|| Progress::new(source_read.log.clone(), window.earliest()));
        if is_relook {
            progress.note_relook(window, at);
        } else {
            progress.note_read(window, at, &RELOOK_SECONDS, true);
        }
        let ending = Ending {
            source: source_read.clone(),
            fold,
            window,
            progress: progress.clone(),
            notices: Vec::new(),
            at,
            scope: self.scope.clone(),
        };
        let closed = self.writer().close(ending).await.expect("the window is written");
        for finding in closed.commit.findings {
            let count = finding.episode.count;
            let before = self.stored.insert(finding.key, finding);
            if let Some(before) = before.filter(|before| before.pruned.is_some() && before.episode.count < count) {
                self.grown.insert(before.key);
            }
        }
    }

    /// Tells the destination all that it is owed.
    async fn tell(&mut self) {
        let owed = self.writer().owed(DESTINATION).await.expect("the state is read");
        let mut settlement = Settlement::default();
        for delivery in &owed.deliveries {
            for entry in &delivery.entries {
                *self.told.creates.entry(entry.finding).or_default() += usize::from(entry.activity == Activity::Create);
                let finding = owed.findings[&entry.finding].clone();
                self.told.latest.insert(entry.finding, finding);
                settlement.entries.push((delivery.id, *entry));
            }
        }
        self.writer().settle(settlement).await.expect("the settlement is written");
    }
}

fn observation(source: &Source, request: &Asked, number: usize, at: i64) -> Observation {
    let event = AuditEvent {
        // The client chooses the audit id: this one chooses the same again and again. Some records carry none.
        audit_id: (!number.is_multiple_of(3)).then(|| "mine".to_owned()),
        request_received_timestamp: Some(format!("2026-11-21T00:00:00.{number:06}Z")),
        verb: Some(request.verb.to_owned()),
        request_uri: Some(format!("/api/{number}")),
        source_ips: vec![format!("198.51.100.{}", request.address)],
        response_code: Some(if request.is_refused { 403 } else { 200 }),
        ..AuditEvent::default()
    };
    let observed = Observation::of_event(source, &TrustedProxies::default(), event, Second(at), || number.to_string());
    Observation { n: request.n, ..observed.expect("an event without a stage is a request") }
}

/// Returns a number below `sides`, and moves the dice on (SplitMix64).
fn roll(dice: &mut u64, sides: usize) -> usize {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*dice ^ (*dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).expect("below sides")
}

fn counted<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<Counted> {
    let mut counted: Vec<Counted> = findings
        .filter(|finding| !matches!(finding.status, Status::MergedInto(_)))
        .map(|finding| {
            let group: Vec<String> = finding.group.0.iter().map(ToString::to_string).collect();
            let episode = finding.episode;
            (finding.rule.name.clone(), group.join(" "), episode.first.0, episode.last.0, episode.count)
        })
        .collect();
    counted.sort();
    counted
}

/// Returns the finding that goes on in place of `finding`.
fn survivor<'a>(finding: &'a Finding, all: &'a BTreeMap<FindingKey, Finding>) -> &'a Finding {
    let mut kept = finding;
    for _ in 0..all.len() {
        match kept.status {
            Status::MergedInto(key) => kept = &all[&key],
            Status::Open | Status::Quiet => break,
        }
    }
    kept
}

fn check(timeline: &Timeline, world: &World) -> Result<(), TestCaseError> {
    let expected = expected(&timeline.requests);
    proptest::prop_assert_eq!(&counted(world.stored.values()), &expected, "as stored");
    proptest::prop_assert_eq!(&counted(world.told.latest.values()), &expected, "as told");
    let told: BTreeSet<&FindingKey> = world.told.creates.keys().collect();
    proptest::prop_assert_eq!(told, world.stored.keys().collect::<BTreeSet<_>>(), "all that is stored was told");
    for (key, creates) in &world.told.creates {
        proptest::prop_assert_eq!(*creates, 1, "finding {} was opened {} times", key, creates);
        let finding = &world.told.latest[key];
        proptest::prop_assert!(!finding.is_open(), "finding {} never ended", key);
        let kept = survivor(finding, &world.told.latest);
        proptest::prop_assert!(!matches!(kept.status, Status::MergedInto(_)), "finding {} was merged in a circle", key);
        let (inner, outer) = (finding.episode, kept.episode);
        proptest::prop_assert!(
            outer.first <= inner.first && inner.last <= outer.last && finding.group == kept.group,
            "finding {} lies outside of what it was merged into",
            key
        );
    }
    Ok(())
}

async fn live(timeline: &Timeline) -> World {
    let mut world = World::new();
    let last = Visit { reads: [true, true], shuffle: 1, restarts: false, settles: true };
    let visits = timeline.visits.iter().cloned().chain(std::iter::repeat_n(last, QUIET_HOURS));
    for (hour, mut visit) in visits.enumerate() {
        // Of a log that was never read, the first tick begins an hour back: it must not be missed.
        if hour == 0 {
            visit.reads = [true, true];
        }
        let tick = BEGIN + (i64::try_from(hour).expect("small") + 1) * WINDOW_SECONDS + 600;
        world.visit(&visit, Second(tick), &timeline.requests).await;
    }
    world
}

/// How often timelines met what is hard.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    findings: usize,
    merged: usize,
    late: usize,
    pruned: usize,
    /// Findings that went on after minutes of theirs were deleted.
    pruned_and_grown: usize,
}

impl Met {
    fn and(self, world: &World) -> Met {
        let count = |fits: fn(&Finding) -> bool| world.stored.values().filter(|finding| fits(finding)).count();
        Met {
            findings: self.findings + world.stored.len(),
            merged: self.merged + count(|finding| matches!(finding.status, Status::MergedInto(_))),
            late: self.late + count(|finding| finding.late),
            pruned: self.pruned + count(|finding| finding.pruned.is_some()),
            pruned_and_grown: self.pruned_and_grown + world.grown.len(),
        }
    }

    fn each_is_there(&self) -> bool {
        [self.findings, self.merged, self.late, self.pruned, self.pruned_and_grown].iter().all(|times| *times > 0)
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn order_pages_repetition_delay_and_downtime_never_change_what_is_told() {
    let seed = setting("STAKEOUT_SEED").unwrap_or_else(|| Timestamp::now().as_millisecond().unsigned_abs());
    let cases = u32::try_from(setting("STAKEOUT_CASES").unwrap_or(1000)).expect("fits in 32 bits");
    println!("STAKEOUT_SEED={seed} STAKEOUT_CASES={cases}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let met = Cell::new(Met::default());
    let outcome = runner.run(&timelines(), |timeline| {
        let world = runtime.block_on(live(&timeline));
        met.set(met.get().and(&world));
        check(&timeline, &world)
    });
    if let Err(fault) = outcome {
        panic!("{fault}");
    }
    let met = met.get();
    println!("{met:?}");
    assert!(cases < 100 || met.each_is_there(), "timelines that miss the hard cases prove nothing");
}
