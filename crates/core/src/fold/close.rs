//! The end of some windows: their rows join the stored ones, the findings follow their episodes, and every change becomes a
//! delivery.
//!
//! Windows of several logs are closed at once where they are read at once: what they change together, a finding of an
//! attacker on all clusters for example, is read, decided and written once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::close_input::CloseInput;
use super::deliveries::{Reported, Reporting};
use super::finding_limit::{self, Opening};
use super::findings::{Findings, Indices};
use super::follow_ups::Followers;
use super::group_index::{GroupIndex, IndexedRow};
use super::incidents::{self, IncidentInput};
use super::log_change::JoinedChange;
use super::{Fold, FoldCounts, Limits, WindowCounts};
use crate::commit::{Commit, LogCommit, WaitingGroup};
use crate::delivery::{Activity, Subject};
use crate::finding::{Finding, FindingKey};
use crate::group::{CountKey, RuleKey};
use crate::incident::Actor;
use crate::incident_change::IncidentChange;
use crate::notice::{Notice, NoticeKind};
use crate::novelty::{SeenChange, SeenWith};
use crate::room::Room;
use crate::rule::{Level, Rule, Rules};
use crate::source::{Source, SourceId};
use crate::tally::Rows;
use crate::time::{Minute, Second, Window};

/// Closed changes: the commit to write, and what changed with it.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The commit to write.
    pub commit: Commit,
    /// What is known of each change, in their order.
    pub logs: Vec<ClosedLog>,
    /// New findings, grown ones and closed ones.
    pub changes: Vec<(FindingKey, Activity)>,
    /// What happened to incidents.
    pub incidents: Vec<IncidentChange>,
    /// How many entries and notices each destination does not get, because too many are pending.
    pub left_out: Vec<(String, usize)>,
}

/// One closed change.
#[derive(Clone, Debug, Default)]
pub struct ClosedLog {
    /// The requests of the window.
    pub counts: FoldCounts,
    /// Stored rows for which a reread found fewer requests; the larger count stays.
    pub rows_retained: u64,
    /// Notices about the watch itself.
    pub notices: Vec<Notice>,
}

impl ClosedLog {
    /// Adds a notice of a later commit; what several parts of a window leave out is one sum.
    fn add_notice(&mut self, later: Notice) {
        for notice in &mut self.notices {
            if let Some(both) = notice.and(&later) {
                *notice = both;
                return;
            }
        }
        self.notices.push(later);
    }
}

impl Closed {
    /// Returns the new findings of at least this level, and the incidents that open with it or rise to it.
    pub fn opened(&self, level_min: Level) -> impl Iterator<Item = Subject> {
        let is_opened: HashSet<FindingKey> =
            self.changes.iter().filter(|(_, activity)| *activity == Activity::Create).map(|(key, _)| *key).collect();
        let findings = self.commit.findings.iter().filter(move |finding| finding.rule.level >= level_min);
        let findings = findings.map(|finding| finding.key).filter(move |key| is_opened.contains(key));
        let incidents = self.incidents.iter().filter(move |change| {
            change.now.level >= level_min && (change.activity == Activity::Create || change.is_escalated)
        });
        findings.map(Subject::Finding).chain(incidents.map(|change| Subject::Incident(change.key)))
    }

    /// Adds what a later commit changed of the same logs, or of the first of them.
    #[must_use]
    pub fn and(mut self, later: Closed) -> Closed {
        for (log, later) in self.logs.iter_mut().zip(later.logs) {
            log.counts.add(&later.counts);
            log.rows_retained += later.rows_retained;
            later.notices.into_iter().for_each(|notice| log.add_notice(notice));
        }
        self.changes.extend(later.changes);
        self.incidents.extend(later.incidents);
        for (destination, messages) in later.left_out {
            match self.left_out.iter_mut().find(|(known, _)| *known == destination) {
                Some((_, sum)) => *sum += messages,
                None => self.left_out.push((destination, messages)),
            }
        }
        let (commit, later) = (&mut self.commit, later.commit);
        commit.seen.left_out += later.seen.left_out;
        for (log, later) in commit.logs.iter_mut().zip(later.logs) {
            *log = later;
        }
        commit.findings.extend(later.findings);
        commit.expired.extend(later.expired);
        commit.archived.extend(later.archived);
        commit.deliveries.extend(later.deliveries);
        commit.next_delivery = later.next_delivery;
        self
    }

    /// Returns the notices of all changes.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.logs.iter().flat_map(|log| &log.notices)
    }

    /// Returns the sums of the requests of all changes.
    #[must_use]
    pub fn counts(&self) -> FoldCounts {
        let mut counts = FoldCounts::default();
        self.logs.iter().for_each(|log| counts.add(&log.counts));
        counts
    }
}

/// Returns the rules and groups whose stored rows [`close`] needs: those whose rows the changes write, those that are
/// followed up, and those that have waited long enough.
#[must_use]
pub fn keys_needed<'a>(changes: &'a [JoinedChange], judged: &'a [WaitingGroup]) -> HashSet<&'a CountKey> {
    let changed = changes.iter().flat_map(|change| change.changed_keys().chain(&change.followed));
    changed.chain(judged.iter().map(|waiting| &waiting.key)).collect()
}

/// Returns which stored rows of each rule [`close`] needs: all from as long before the windows as two requests of an episode
/// can be apart. An episode that begins earlier has a finding, which knows the rest. One that a late event begins may go on
/// through any later rows, which had no finding before.
#[must_use]
pub fn spans_needed(rules: &Rules, changes: &[JoinedChange], judged: &[WaitingGroup]) -> HashMap<RuleKey, Window> {
    let windows = changes.iter().filter_map(|change| change.window.as_ref());
    let begin =
        windows.map(|counts| counts.followed_from().map_or(counts.window, |from| from.and(counts.window)).earliest());
    let begin = begin.min();
    // What waited began as long before as its span needs.
    let waited = judged.iter().map(|waiting| waiting.until).min();
    if begin.is_none() && waited.is_none() {
        return HashMap::new();
    }
    let span_of = |rule: &Rule| {
        let within = rule.threshold.repeat.map_or(0, |repeat| repeat.within_seconds);
        let waited = waited.map(|until| until.plus(-within).plus(-1));
        let begin = begin.into_iter().chain(waited).min().unwrap_or(Second(i64::MIN));
        let earliest = begin.plus(-rule.episode_reach_seconds()).minute().start();
        Window::new(earliest, Window::ALL.latest()).unwrap_or(Window::ALL)
    };
    rules.rules.iter().map(|rule| (rule.key, span_of(rule))).collect()
}

/// Changes whose findings are decided, and whose incidents are not yet.
pub struct Decided<'a> {
    limits: &'a Limits,
    findings: Findings,
    logs: Vec<JoinedChange>,
    input: CloseInput,
    judged: Vec<WaitingGroup>,
    waiting: Vec<WaitingGroup>,
    seen: SeenChange,
    now: Timestamp,
}

/// Closes changes of some logs into one commit without incidents. `now` stamps messages and decides nothing.
#[must_use]
pub fn close(rules: &Rules, limits: &Limits, input: CloseInput, now: Timestamp) -> Closed {
    decide(rules, limits, input, now).close(None)
}

/// Decides what changes of some logs do to the findings. `now` stamps messages and decides nothing.
#[must_use]
pub fn decide<'a>(rules: &Rules, limits: &'a Limits, mut input: CloseInput, now: Timestamp) -> Decided<'a> {
    let spans = spans_needed(rules, &input.changes, &input.judged);
    let judged = std::mem::take(&mut input.judged);
    let mut logs = std::mem::take(&mut input.changes);
    let mut room = Room { max: limits.rows_stored_max, used: input.stored.rows };
    logs.iter_mut().for_each(|log| log.keep_within(rules, &mut room));
    let seen = input.seen.clone();
    let seen = SeenWith::of(&rules.rules, &seen, logs.iter().flat_map(JoinedChange::changed_rows));
    let mut findings = Findings::new(std::mem::take(&mut input.findings), now);
    let (left_out, waiting) = {
        // The findings of a group whose rows stay as they were were updated by the commit that wrote these rows.
        let waited = judged.iter().map(|waiting| &waiting.key);
        let touched: HashSet<&CountKey> = logs.iter().flat_map(JoinedChange::changed_keys).chain(waited).collect();
        let followers = Followers::of(&logs);
        let is_wanted = |key: &CountKey| touched.contains(key) || followers.contains(key);
        let now = GroupIndex::new(rows(&input, &logs).filter(|row| is_wanted(row.key)));
        let before = GroupIndex::new(stored_rows(&input).filter(|row| touched.contains(row.key)));
        let indices =
            Indices { before: &before, now: &now, spans: &spans, judged_until: input.judged_until, seen: &seen };
        let (openings, waiting) = findings.update(rules, &touched, &indices);
        let (opened, left_out) = finding_limit::choose(openings, limits, input.stored.findings);
        findings.open(opened, &now);
        findings.relate(rules);
        let follow_ups = followers.due(rules, &logs, &now);
        let kinds = left_out_by_log(&left_out, &logs);
        (follow_ups.into_iter().zip(kinds).collect::<Vec<_>>(), waiting)
    };
    for (log, (follow_ups, too_many)) in logs.iter_mut().zip(left_out) {
        let given_up = follow_ups.follow_ups.into_iter().map(|follow_up| log.progress.add_follow_up(follow_up)).sum();
        let sources = follow_ups.sources_left_out.saturating_add(given_up);
        let not_followed_up =
            (sources > 0).then(|| NoticeKind::NotFollowedUp { sources, reason: "too many sources at once".to_owned() });
        let span = log.span(&input.expired);
        too_many.into_iter().chain(not_followed_up).for_each(|kind| log.notify(span, kind));
    }
    findings.attach(std::mem::take(&mut input.context));
    findings.prune(&input.expired, rules);
    findings.close_quiet(input.read_until);
    if let Some(level_min) = limits.context_query_min {
        for query in findings.context_queries(level_min) {
            let finding = findings.all().iter().find(|finding| finding.key == query.finding);
            let key = finding.and_then(|finding| {
                Some(CountKey { rule: rules.named(&finding.rule.name)?.key, group: finding.group.clone() })
            });
            let asked =
                key.and_then(|key| logs.iter().rposition(|log| log.changed_keys().any(|changed| *changed == key)));
            if let Some(log) = logs.get_mut(asked.unwrap_or(0)) {
                log.progress.add_context_queries([query]);
            }
        }
    }
    let seen = seen.change();
    Decided { limits, findings, logs, input, judged, waiting, seen, now }
}

impl Decided<'_> {
    /// Returns the findings that incidents may see changed, as they are after the commit.
    #[must_use]
    pub fn touched(&self) -> Vec<Finding> {
        self.findings.touched()
    }

    /// Returns the actors that these findings had before.
    #[must_use]
    pub fn actors_before(&self) -> BTreeSet<Actor> {
        self.findings.actors_before()
    }

    /// Makes the commit. `incidents` are the stored findings around those that are touched; without them, nothing is known of
    /// incidents, and nothing goes to the archive.
    #[must_use]
    pub fn close(self, incidents: Option<&IncidentInput>) -> Closed {
        let Decided { limits, mut findings, mut logs, input, judged, waiting, seen, now } = self;
        let quiet_before = incidents.map(|incidents| incidents.quiet_before_now);
        let silenced = incidents.map(|incidents| &incidents.silenced);
        let incidents = incidents.map(|incidents| incidents::decide(&mut findings, incidents)).unwrap_or_default();
        let reporting = Reporting {
            filters: &input.notification_filters,
            pending_max: limits.pending_max,
            stored: &input.stored,
            silenced,
            day_end: day_end(now),
            next: input.next_delivery,
        };
        let deliveries = |logs: &[JoinedChange]| {
            let notices: Vec<Notice> = logs.iter().flat_map(|log| log.notices.iter().cloned()).collect();
            reporting.deliveries(&Reported { findings: &findings, incidents: &incidents.changes, notices: &notices })
        };
        let mut new = deliveries(&logs);
        let newly_full = reporting.newly_full(&new.deliveries);
        if let Some(log) = logs.first_mut().filter(|_| !newly_full.is_empty()) {
            let span = log.span(&input.expired);
            newly_full.into_iter().for_each(|kind| log.notify(span, kind));
            new = deliveries(&logs);
        }
        let mut commit = Commit {
            logs: Vec::with_capacity(logs.len()),
            expired: input.expired,
            near_rows_from: input.near_rows_from,
            findings: Vec::new(),
            quiet_before: quiet_before.unwrap_or(Second(i64::MIN)),
            archived: incidents.archived,
            waiting,
            judged,
            seen,
            deliveries: new.deliveries,
            next_delivery: new.next,
            notices: logs.iter().map(|log| log.notices.len() as u64).sum(),
            day_reported: None,
        };
        let mut closed = Vec::with_capacity(logs.len());
        for log in logs {
            closed.push(ClosedLog {
                counts: log.window.map(|counts| counts.counts).unwrap_or_default(),
                rows_retained: log.rows_retained,
                notices: log.notices,
            });
            let minutes = log.minutes.into_iter().collect();
            commit.logs.push(LogCommit { source: log.source_id, minutes, progress: log.progress });
        }
        let changes = findings.changes();
        commit.findings = findings.written();
        Closed { commit, logs: closed, changes, incidents: incidents.changes, left_out: new.left_out }
    }
}

/// Returns when the UTC day of `now` ends.
fn day_end(now: Timestamp) -> Second {
    let day = 24 * 3_600;
    Second((now.as_second().div_euclid(day) + 1) * day)
}

impl Fold {
    /// Closes the one window of `source`, where nothing is stored and everything before `read_until` has been read.
    #[must_use]
    pub fn close_alone(self, source: &Source, read_until: Second, now: Timestamp) -> Closed {
        self.count().close_alone(source, read_until, now)
    }
}

impl WindowCounts {
    /// Closes the one window of `source`, where nothing is stored and everything before `read_until` has been read.
    #[must_use]
    pub fn close_alone(self, source: &Source, read_until: Second, now: Timestamp) -> Closed {
        let (rules, limits) = (self.rules.clone(), self.limits);
        close(&rules, &limits, CloseInput::alone(source.clone(), Some(self), Vec::new(), read_until), now)
    }
}

/// Returns the stored rows.
fn stored_rows(input: &CloseInput) -> impl Iterator<Item = IndexedRow<'_>> {
    input.minutes.iter().flat_map(|stored| {
        let provider = input.providers.get(&stored.source).copied();
        stored.rows.iter().map(move |(key, tally)| IndexedRow { key, minute: stored.minute, tally, provider })
    })
}

/// Returns the stored rows that stay, and the new ones.
fn rows<'a>(input: &'a CloseInput, logs: &'a [JoinedChange]) -> impl Iterator<Item = IndexedRow<'a>> {
    let changed: HashMap<SourceId, &BTreeMap<Minute, Rows>> =
        logs.iter().map(|log| (log.source_id, &log.minutes)).collect();
    let stored = input.minutes.iter().flat_map(move |stored| {
        let overwritten = changed.get(&stored.source).and_then(|minutes| minutes.get(&stored.minute));
        let provider = input.providers.get(&stored.source).copied();
        let kept = stored.rows.iter().filter(move |(key, _)| overwritten.is_none_or(|rows| !rows.contains_key(*key)));
        kept.map(move |(key, tally)| IndexedRow { key, minute: stored.minute, tally, provider })
    });
    let new = logs.iter().flat_map(|log| {
        log.minutes.iter().flat_map(|(minute, rows)| {
            let provider = Some(log.source.provider);
            rows.iter().map(move |(key, tally)| IndexedRow { key, minute: *minute, tally, provider })
        })
    });
    stored.chain(new)
}

/// Returns a notice for each log of the episodes without a finding that it has a part in. Where no log has one, because
/// they only lose minutes, they are the first log's.
fn left_out_by_log(left_out: &[Opening<'_>], logs: &[JoinedChange]) -> Vec<Option<NoticeKind>> {
    if left_out.is_empty() {
        return vec![None; logs.len()];
    }
    let mut log_of: HashMap<&CountKey, usize> = HashMap::new();
    for (index, log) in logs.iter().enumerate() {
        for key in log.changed_keys() {
            log_of.entry(key).or_insert(index);
        }
    }
    let mut by_log: Vec<Vec<Opening<'_>>> = vec![Vec::new(); logs.len()];
    for opening in left_out {
        by_log[log_of.get(opening.key).copied().unwrap_or(0)].push(*opening);
    }
    by_log.iter().map(|openings| finding_limit::notice(openings)).collect()
}
