//! The end of a window: its rows join the stored ones, the findings follow their episodes, and every change becomes a delivery.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::close_input::CloseInput;
use super::findings::Findings;
use super::group_index::GroupIndex;
use super::window_counts::leaving;
use super::{Fold, FoldCounts, Limits, WindowCounts};
use crate::commit::Commit;
use crate::delivery::Activity;
use crate::finding::{Finding, FindingKey};
use crate::group::CountKey;
use crate::notice::{Notice, NoticeKind};
use crate::rule::Rules;
use crate::source::Source;
use crate::tally::{Rows, StoredMinute};
use crate::time::{Minute, Window};

/// A closed window: the commit to write, and what changed with it.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The commit to write.
    pub commit: Commit,
    /// The requests of the window.
    pub counts: FoldCounts,
    /// Stored rows for which a reread found fewer requests; the larger count stays.
    pub rows_retained: u64,
    /// New findings, grown ones and closed ones.
    pub changes: Vec<(FindingKey, Activity)>,
    /// Notices about the watch itself.
    pub notices: Vec<Notice>,
}

impl Fold {
    /// Closes the window of `source` into a commit. `now` stamps messages and decides nothing.
    #[must_use]
    pub fn close(self, source: &Source, input: CloseInput, now: Timestamp) -> Closed {
        self.count().close(source, input, now)
    }
}

impl WindowCounts {
    /// Closes the window of `source` into a commit. `now` stamps messages and decides nothing.
    #[must_use]
    pub fn close(mut self, source: &Source, mut input: CloseInput, now: Timestamp) -> Closed {
        let window = self.window;
        let mut notices: Vec<NoticeKind> = Vec::new();
        // A reread of a window that overflowed overflows as well, and was reported.
        notices.extend(self.overflow.take().filter(|_| !self.is_reread));
        let followed = self.keys_to_follow(&input.found_before);
        let mut minutes = std::mem::take(&mut self.minutes);
        let rows_retained = self.join_stored(&mut minutes, &input.own);
        let mut findings = Findings::new(std::mem::take(&mut input.findings), now);
        // The findings of a group whose rows stay as they were were updated by the commit that wrote these rows.
        let mut touched = changed_keys(&minutes, &input.own);
        touched.extend(leaving(&self.rules, &input.expired, findings.all().iter()));
        let stored = input.minutes.iter().filter(|stored| {
            let is_overwritten = stored.source == input.source_id && minutes.contains_key(&stored.minute);
            !is_overwritten
        });
        let stored = stored.map(|stored| (stored.minute, &stored.rows, input.providers.get(&stored.source).copied()));
        let own = minutes.iter().map(|(minute, rows)| (*minute, rows, Some(source.provider)));
        let index = GroupIndex::new(stored.chain(own), |key| touched.contains(key) || followed.contains(key));
        notices.extend(findings.update(&self.rules, &touched, &index, &self.limits));
        let due = self.due_follow_ups(&index, &followed);
        let given_up =
            due.follow_ups.into_iter().map(|follow_up| input.progress.add_follow_up(follow_up)).sum::<usize>();
        let sources = due.sources_left_out + given_up;
        if sources > 0 {
            notices.push(NoticeKind::NotFollowedUp { sources, reason: "too many sources at once".to_owned() });
        }
        input.notices.extend(notices.into_iter().map(|kind| notice(source, window, kind)));
        let minutes = changed_minutes(minutes, &input.own);
        let closed = finish(findings, &self.rules, &self.limits, minutes, input);
        Closed { counts: self.counts, rows_retained, ..closed }
    }

    /// Joins the stored rows of this log's minutes and takes nothing away from them. Returns how many stored counts were
    /// larger.
    fn join_stored(&self, minutes: &mut BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> u64 {
        let mut retained = 0;
        if self.is_reread {
            for tally in minutes.values_mut().flat_map(BTreeMap::values_mut) {
                tally.late = true;
            }
        }
        for stored in own {
            let rows = minutes.entry(stored.minute).or_default();
            for (key, old) in &stored.rows {
                let new = rows.entry(key.clone()).or_default();
                if self.is_follow_up {
                    new.join_seconds(old);
                } else {
                    retained += u64::from(new.join(old));
                }
            }
        }
        retained
    }
}

/// Closes no window: writes the progress, the notices and the finding contexts of `input` into a commit, and moves what
/// expired into its findings. `input.own` and `input.found_before` are empty, and `input.minutes` has the rows of
/// [`keys_expiring`]. `now` stamps messages and decides nothing.
#[must_use]
pub fn close_progress(
    rules: &Rules,
    limits: &Limits,
    source: &Source,
    mut input: CloseInput,
    now: Timestamp,
) -> Closed {
    let mut findings = Findings::new(std::mem::take(&mut input.findings), now);
    let touched: HashSet<&CountKey> = leaving(rules, &input.expired, findings.all().iter()).into_iter().collect();
    let stored = input.minutes.iter();
    let stored = stored.map(|stored| (stored.minute, &stored.rows, input.providers.get(&stored.source).copied()));
    let index = GroupIndex::new(stored, |key| touched.contains(key));
    let too_many = findings.update(rules, &touched, &index, limits);
    // Only groups that lose minutes are touched, so those minutes are where the findings were left out.
    let too_many = too_many.zip(span_of(&input.expired)).map(|(kind, window)| notice(source, window, kind));
    input.notices.extend(too_many);
    finish(findings, rules, limits, Vec::new(), input)
}

/// Returns the rules and groups whose minutes [`close_progress`] must know: those of reported findings that lose minutes
/// with `expired`.
#[must_use]
pub fn keys_expiring<'a>(rules: &Rules, expired: &'a [StoredMinute], findings: &[Finding]) -> HashSet<&'a CountKey> {
    leaving(rules, expired, findings.iter()).into_iter().collect()
}

/// Brings the findings up to date with all but the rows, and makes the commit.
fn finish(
    mut findings: Findings,
    rules: &Rules,
    limits: &Limits,
    minutes: Vec<(Minute, Rows)>,
    mut input: CloseInput,
) -> Closed {
    findings.attach(std::mem::take(&mut input.context));
    findings.prune(&input.expired, rules);
    findings.close_quiet(input.read_until);
    let forgotten = findings.forgettable(&input);
    if let Some(level_min) = limits.context_query_min {
        input.progress.add_context_queries(findings.context_queries(level_min));
    }
    let changes = findings.changes();
    let (deliveries, next_delivery) = findings.deliveries(&input);
    let commit = Commit {
        source: input.source_id,
        minutes,
        expired: input.expired.iter().map(|stored| (stored.source, stored.minute)).collect(),
        progress: input.progress,
        findings: findings.written(&forgotten),
        forgotten,
        deliveries,
        next_delivery,
    };
    Closed { commit, counts: FoldCounts::default(), rows_retained: 0, changes, notices: input.notices }
}

fn notice(source: &Source, window: Window, kind: NoticeKind) -> Notice {
    Notice { source: source.name.clone(), cluster: source.cluster.to_string(), window, kind }
}

/// Returns the shortest window that holds `minutes`, or `None` where there are none.
fn span_of(minutes: &[StoredMinute]) -> Option<Window> {
    let minutes = || minutes.iter().map(|stored| stored.minute.start());
    Window::new(minutes().min()?, minutes().max()?.plus(60))
}

/// Returns the rules and groups whose rows differ from the stored ones.
fn changed_keys<'m>(minutes: &'m BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> HashSet<&'m CountKey> {
    let stored: HashMap<Minute, &Rows> = own.iter().map(|stored| (stored.minute, &stored.rows)).collect();
    let rows = minutes.iter().flat_map(|(minute, rows)| rows.iter().map(|(key, tally)| (*minute, key, tally)));
    rows.filter(|(minute, key, tally)| stored.get(minute).and_then(|rows| rows.get(*key)) != Some(*tally))
        .map(|(_, key, _)| key)
        .collect()
}

/// Returns the minutes that differ from the stored ones.
fn changed_minutes(minutes: BTreeMap<Minute, Rows>, own: &[StoredMinute]) -> Vec<(Minute, Rows)> {
    let stored: HashMap<Minute, &Rows> = own.iter().map(|stored| (stored.minute, &stored.rows)).collect();
    minutes.into_iter().filter(|(minute, rows)| stored.get(minute).is_none_or(|old| *old != rows)).collect()
}
