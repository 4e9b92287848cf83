//! A daemon without clouds: it has the real writer, ledger, schedule and folds, but its logs are lists of requests.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use stakeout_core::address::TrustedProxies;
use stakeout_core::commit::{Commit, LogCommit};
use stakeout_core::delivery::{Activity, NotificationFilter, Settlement, Subject};
use stakeout_core::event::AuditEvent;
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::fold::{self, Fold, Limits};
use stakeout_core::follow_up::FollowUp;
use stakeout_core::incident::{Incident, IncidentKey, IncidentOptions};
use stakeout_core::observation::Observation;
use stakeout_core::progress::Progress;
use stakeout_core::route::{Route, Subjects};
use stakeout_core::rule::{self, Level, Origin, RuleFile, Rules};
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};
use stakeout_ledger::{Ledger, LedgerError, Stay};

use super::place::{EngineKind, Place};
use super::timeline::{Request, Timeline, Visit};
use super::{BEGIN, CLUSTERS, HOURS, PATHS, REREAD_SECONDS, RULES, WINDOW_SECONDS};
use crate::clock;
use crate::config::Schedule;
use crate::schedule::TickTime;
use crate::writer::least_progress::LeastProgress;
use crate::writer::{AskedIncidents, Change, CloseRequest, EngineConfig, Writer, parts};

/// Ticks after the timeline: enough for every reread and for the quiet time.
const QUIET_HOURS: usize = 4;
const DESTINATION: &str = "bus";
/// Who asks, one after the other.
const USERS: [Option<&str>; 4] = [Some("system:anonymous"), Some("jane"), None, Some("zoe")];
/// Each cluster is in its own cloud.
const PROVIDERS: [Provider; 2] = [Provider::CloudLogging, Provider::AzureMonitor];

/// What a daemon is configured with.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) limits: Limits,
    pub(super) rules: String,
    pub(super) incidents: IncidentOptions,
    pub(super) subjects: Subjects,
    /// What keeps the state.
    pub(super) engine: EngineKind,
}

impl Setting {
    /// Returns the same, but some daemons write windows at once, others row by row or in few parts.
    pub(super) fn of_some_parts(&self, mut dice: u64) -> Setting {
        let sizes = [1, 5, self.limits.commit_rows_max];
        let commit_rows_max = sizes[roll(&mut dice, sizes.len())];
        Setting { limits: Limits { commit_rows_max, ..self.limits }, ..self.clone() }
    }

    /// Returns the setting of a daemon that reports findings.
    pub(super) fn of(limits: Limits) -> Setting {
        let incidents = IncidentOptions::default();
        let engine = EngineKind::Embedded;
        Setting { limits, rules: RULES.to_owned(), incidents, subjects: Subjects::Findings, engine }
    }
}

/// Runs a timeline and the quiet hours after it.
pub(super) async fn live(timeline: &Timeline, setting: &Setting) -> World {
    let mut world = World::new(setting);
    let last = Visit { reads: [true, true], shuffle: 1, restarts: false, settles: true };
    let visits = timeline.visits.iter().cloned().chain(std::iter::repeat_n(last, QUIET_HOURS));
    for (hour, mut visit) in visits.enumerate() {
        // The first tick reads only the last hour of a new log, so no source may miss it.
        if hour == 0 {
            visit.reads = [true, true];
        }
        let tick = BEGIN + (i64::try_from(hour).expect("small") + 1) * WINDOW_SECONDS + 600;
        world.visit(&visit, Second(tick), &timeline.requests).await;
    }
    world
}

/// The reports to a destination: how often each finding was opened, and each finding as of its last report.
#[derive(Default)]
pub(super) struct Reports {
    pub(super) creates: BTreeMap<FindingKey, usize>,
    pub(super) latest: BTreeMap<FindingKey, Finding>,
    /// What was reported of each incident: what happened, and the incident as it was then.
    pub(super) incidents: BTreeMap<IncidentKey, Vec<(Activity, Incident)>>,
}

/// A daemon without clouds.
pub(super) struct World {
    place: Place,
    /// Those of the replicas that share the state; one where it is a directory.
    writers: Vec<Writer>,
    /// How many requests the writers got.
    asked: Cell<usize>,
    schedule: Schedule,
    rules: Arc<Rules>,
    sources: Vec<Source>,
    engine: Arc<EngineConfig>,
    progress: [Option<Progress>; 2],
    /// Every finding as of its last commit, including those that were deleted since.
    pub(super) stored: BTreeMap<FindingKey, Finding>,
    /// Findings that grew after some of their minutes were deleted.
    pub(super) grown: BTreeSet<FindingKey>,
    /// The number of rows that each commit deleted.
    pub(super) expired: Vec<usize>,
    /// The number of follow-ups that were read.
    pub(super) followed: usize,
    /// How often the daemon died between two parts of a window.
    pub(super) died_between_parts: usize,
    /// The most findings, rows and pending messages that were stored after any commit.
    pub(super) most: [usize; 3],
    /// The time from which on no follow-up fails.
    reliable_from: Second,
    pub(super) reported: Reports,
}

impl World {
    fn new(setting: &Setting) -> World {
        let sources: Vec<Source> = CLUSTERS
            .iter()
            .zip(PROVIDERS)
            .map(|(cluster, provider)| Source {
                name: (*cluster).to_owned(),
                provider,
                cluster: (*cluster).into(),
                log: LogId(format!("{provider}/{cluster}")),
            })
            .collect();
        let file = RuleFile { origin: Origin::Own, name: "rules.yml".to_owned(), text: setting.rules.clone() };
        let rules = rule::load(&[file]).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let schedule = Schedule::default();
        let notification_filter = NotificationFilter {
            destination: DESTINATION.to_owned(),
            route: Route::from_level(setting.subjects, Level::Informational),
            every_change: true,
        };
        let rules = Arc::new(rules);
        let engine = EngineConfig {
            rules: rules.clone(),
            limits: setting.limits,
            logs: sources.iter().map(|source| (source.log.clone(), source.provider, schedule.start_seconds)).collect(),
            notification_filters: vec![notification_filter],
            incidents: setting.incidents,
            has_silences: false,
            period_seconds: WINDOW_SECONDS,
            retain_seconds: 30 * 24 * 3600,
            archive_bytes_max: 1 << 20,
        };
        World {
            place: Place::new(setting.engine),
            writers: Vec::new(),
            asked: Cell::new(0),
            schedule,
            rules,
            sources,
            engine: Arc::new(engine),
            progress: [None, None],
            stored: BTreeMap::new(),
            grown: BTreeSet::new(),
            expired: Vec::new(),
            followed: 0,
            died_between_parts: 0,
            most: [0; 3],
            reliable_from: Second(BEGIN + i64::try_from(HOURS).expect("small") * WINDOW_SECONDS),
            reported: Reports::default(),
        }
    }

    fn open(&mut self) {
        self.writers.clear();
        for _ in 0..self.place.replicas() {
            self.writers.push(opened(|| Writer::start(self.place.location(), Stay::Brief)));
        }
    }

    /// Returns the writer of one replica or the other, in no regular order.
    fn writer(&self) -> &Writer {
        let asked = self.asked.replace(self.asked.get() + 1);
        &self.writers[asked.count_ones() as usize % self.writers.len()]
    }

    /// Runs one tick: new windows in order, then rereads, with the commits of both sources mixed; then the deliveries.
    async fn visit(&mut self, visit: &Visit, at: Second, requests: &[Request]) {
        if visit.restarts || self.writers.is_empty() {
            self.open();
        }
        let mut dice = visit.shuffle;
        let mut due: [Vec<(Window, bool)>; 2] = [Vec::new(), Vec::new()];
        for (source, windows) in due.iter_mut().enumerate().filter(|(source, _)| visit.reads[*source]) {
            let log = self.sources[source].log.clone();
            let progress = self.writer().progress(&log).await.expect("the state is read");
            let read = self.schedule.due(progress.as_ref(), self.schedule.start_seconds, TickTime::chosen(at));
            windows.extend(read.rereads.into_iter().rev().map(|window| (window, true)));
            windows.extend(read.windows.into_iter().rev().map(|window| (window, false)));
            self.progress[source] = progress;
        }
        while due.iter().any(|windows| !windows.is_empty()) {
            let drawn = roll(&mut dice, 2);
            let source = if due[drawn].is_empty() { 1 - drawn } else { drawn };
            if let Some((window, is_reread)) = due[source].pop() {
                self.read(source, window, is_reread, at, requests, &mut dice).await;
            }
        }
        if visit.settles {
            self.deliver().await;
        }
    }

    async fn read(
        &mut self,
        source: usize,
        window: Window,
        is_reread: bool,
        at: Second,
        requests: &[Request],
        dice: &mut u64,
    ) {
        let (rules, limits, hash_key) = (self.rules.clone(), self.engine.limits, self.writer().hash_key());
        let fold = || fold::open(rules.clone(), window, is_reread, hash_key, limits);
        let log = self.sources[source].log.clone();
        let progress = self.progress[source].get_or_insert_with(|| Progress::new(log, window.earliest()));
        if is_reread {
            progress.note_reread(window, at, &[]);
        } else {
            progress.note_read(window, at, &REREAD_SECONDS, Some(true));
        }
        self.close(source, window, &fold, at, requests, dice).await;
        self.follow_up(source, at, requests, dice).await;
    }

    /// Reads the due follow-ups, in one read or one by one. Sometimes a read fails and the follow-up stays due.
    async fn follow_up(&mut self, source: usize, at: Second, requests: &[Request], dice: &mut u64) {
        let progress = self.progress[source].clone().expect("it was read");
        let due = progress.due_follow_ups().into_iter().map(|(follow_up, window)| (vec![follow_up], window));
        let parts: Vec<(Vec<FollowUp>, Window)> = match roll(dice, 2) {
            0 => due.collect(),
            _ => due
                .reduce(|(all, window), (more, other)| ([all, more].concat(), window.and(other)))
                .into_iter()
                .collect(),
        };
        for (follow_ups, window) in parts {
            if roll(dice, 3) == 0 && at < self.reliable_from {
                continue;
            }
            let (rules, hash_key) = (self.rules.clone(), self.writer().hash_key());
            let limits = self.engine.limits;
            let fold = || fold::open_follow_ups(rules.clone(), window, follow_ups.clone(), hash_key, limits);
            let current = self.progress[source].as_mut().expect("it was read");
            follow_ups.iter().for_each(|part| current.note_followed(part, progress.cursor));
            self.followed += follow_ups.len();
            self.close(source, window, &fold, at, requests, dice).await;
        }
    }

    /// Folds the visible records of a window and commits the result.
    async fn close(
        &mut self,
        source: usize,
        window: Window,
        fold: &impl Fn() -> Fold,
        at: Second,
        requests: &[Request],
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
        for index in (1..records.len()).rev() {
            records.swap(index, roll(dice, index + 1));
        }
        let (source_read, config) = (source_read.clone(), self.engine.clone());
        let progress = self.progress[source].clone().expect("it was noted");
        let request = || {
            let mut fold = fold();
            records.iter().for_each(|record| fold.observe(record));
            CloseRequest {
                source: source_read.clone(),
                change: Change::Window(Box::new(fold.count())),
                progress: progress.clone(),
                notices: Vec::new(),
                at,
                config: config.clone(),
                lease: None,
            }
        };
        if roll(dice, 4) == 0 {
            self.die_between_parts(request(), dice);
        }
        let closed = self.writer().close(request()).await.expect("the window is written");
        self.progress[source] = Some(closed.progress().clone());
        let summary = self.writer().summary().await.expect("the state is read");
        let pending = summary.pending.iter().map(|one| one.messages).max().unwrap_or(0);
        let stored = [summary.open_total + summary.closed, summary.rows, pending];
        self.most = std::array::from_fn(|kind| self.most[kind].max(stored[kind]));
        let commit = &closed.closed().commit;
        self.expired.push(commit.expired.iter().map(|minute| minute.rows.len()).sum());
        self.store(&commit.findings);
    }

    /// Commits some of the first parts of a window that is committed in parts, and starts again, as after a crash.
    fn die_between_parts(&mut self, mut request: CloseRequest, dice: &mut u64) {
        if request.rows() <= self.engine.limits.commit_rows_max {
            return;
        }
        self.writers.clear();
        let ledger = opened(|| Ledger::open(self.place.location()));
        let log = request.source.log.clone();
        let due = |ledger: &Ledger| {
            let progress = ledger.progress(&log).expect("the state is read");
            progress.map(|(_, progress)| (progress.cursor, progress.rereads, progress.follow_ups))
        };
        let before = due(&ledger);
        let mut least = LeastProgress::read(&self.engine, &ledger).expect("the state is read");
        let mut parts = parts::earlier_parts(&ledger, &self.engine, &mut request);
        parts.truncate(1 + roll(dice, parts.len().max(1)));
        let commits = parts::close_earlier(&ledger, &mut least, &self.engine, &mut request, parts);
        if let Some(closed) = commits.expect("the parts are written").closed {
            self.store(&closed.commit.findings);
            self.died_between_parts += 1;
        }
        assert!(before.is_none() || before == due(&ledger), "before its last part, the window is due as it was");
        drop(ledger);
        self.open();
    }

    fn store(&mut self, findings: &[Finding]) {
        for finding in findings {
            let count = finding.episode.count;
            let before = self.stored.insert(finding.key, finding.clone());
            if let Some(before) = before.filter(|before| before.pruned.is_some() && before.episode.count < count) {
                self.grown.insert(before.key);
            }
        }
    }

    /// Delivers everything that is pending, and settles it.
    async fn deliver(&mut self) {
        let pending = self.writer().deliveries(DESTINATION).await.expect("the state is read");
        let mut settlement = Settlement::default();
        let entries = pending.iter().flat_map(|delivery| &delivery.entries);
        let keys = entries.clone().map(|entry| entry.finding).collect();
        let findings = self.writer().findings(keys).await.expect("the state is read");
        let asked = entries.filter_map(|entry| Some((entry.incident?, entry.finding))).collect();
        let question = AskedIncidents {
            asked,
            destination: DESTINATION.to_owned(),
            options: self.engine.incidents,
            silences: Arc::default(),
            now: Second(0),
        };
        let reported = self.writer().incidents(question).await.expect("the state is read");
        let incidents = reported.incidents;
        for delivery in &pending {
            for entry in &delivery.entries {
                if let Subject::Incident(key) = entry.subject() {
                    let heard = self.reported.incidents.entry(key).or_default();
                    heard.push((entry.activity, incidents[&key].clone()));
                    settlement.entries.push((delivery.id, *entry));
                    continue;
                }
                *self.reported.creates.entry(entry.finding).or_default() +=
                    usize::from(entry.activity == Activity::Create);
                let finding = findings[&entry.finding].clone();
                self.reported.latest.insert(entry.finding, finding);
                settlement.entries.push((delivery.id, *entry));
            }
        }
        self.writer().settle(settlement, None).await.expect("the settlement is written");
    }
}

/// Opens the state. A writer that was just dropped may hold it for a moment longer.
fn opened<T>(open: impl Fn() -> Result<T, LedgerError>) -> T {
    let begun = clock::monotonic();
    loop {
        match open() {
            Err(LedgerError::Locked { .. }) if begun.elapsed() < Duration::from_secs(30) => std::thread::yield_now(),
            other => return other.expect("the state opens"),
        }
    }
}

/// Nothing that is kept of the progress of all logs may be older than what another replica wrote.
#[test]
fn the_least_progress_knows_what_another_replica_read() {
    for engine in EngineKind::all().into_iter().filter(|engine| *engine == EngineKind::Postgres) {
        let world = World::new(&Setting { engine, ..Setting::of(Limits::default()) });
        let [one, other] = [(); 2].map(|()| Ledger::open(world.place.location()).expect("opens"));
        let mut least = LeastProgress::read(&world.engine, &one).expect("read");
        for source in &world.sources {
            let written = other.alone(|ledger| {
                let progress = Progress::new(source.log.clone(), Second(BEGIN));
                let source = ledger.source_id_for(&source.log)?;
                let logs = vec![LogCommit { source, minutes: Vec::new(), progress }];
                ledger.commit_window(&mut Commit { logs, ..Commit::empty(ledger.next_delivery()) }, &[])
            });
            written.expect("written");
        }
        one.alone(|ledger| least.refresh(ledger)).expect("read");
        assert_eq!(least.read_until(Second(BEGIN + 2 * WINDOW_SECONDS)), Second(BEGIN));
    }
}

fn observation(source: &Source, request: &Request, number: usize, at: i64) -> Observation {
    let event = AuditEvent {
        // The client chooses the audit id: this one chooses the same again and again. Some records carry none.
        audit_id: (!number.is_multiple_of(3)).then(|| "mine".to_owned()),
        request_received_timestamp: Some(format!("2026-11-21T00:00:00.{number:06}Z")),
        verb: Some(request.verb.to_owned()),
        username: USERS[number % USERS.len()].map(str::to_owned),
        request_uri: Some(format!("/api/{}", number % PATHS)),
        source_ips: vec![request.sender()],
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
