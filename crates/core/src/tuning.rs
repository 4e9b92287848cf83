//! Tuning: the findings that other thresholds of a rule would raise, the callers behind them, and filters that would exclude
//! these callers.
//!
//! Each threshold uses the same rows and the same episodes as the fold.

mod caller;
mod exclusion;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::distinct::DistinctKind;
use crate::episode::{Episode, Known, episodes};
use crate::group::GroupKey;
use crate::hash::{HashKey, TextHash};
use crate::novelty::{Seen, SeenBefore, SeenWith};
use crate::rule::{Counting, Rule, Threshold};
use crate::tally::Rows;
use crate::threshold::ThresholdKind;
use crate::time::Minute;
use crate::timeline::Timeline;

pub use caller::Caller;
pub use exclusion::{Exclusion, NoExclusion};

/// Highest threshold to try, the maximum of a rule.
const COUNT_MAX: u64 = 1_000_000;

/// What a rule would raise with other thresholds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tuning {
    /// The rule's name.
    pub rule: String,
    /// What it needs for a finding now, in words.
    pub needed: String,
    /// Requests that it counted, in findings or not. A request counts once for each of its groups.
    pub requests: u64,
    /// Groups with requests.
    pub groups: u64,
    /// Whether the rule has follow-ups, whose requests are missing here: another read finds them.
    pub is_without_follow_ups: bool,
    /// Thresholds, ascending, up to the first that raises nothing. A temporal correlation has only its own.
    pub outcomes: Vec<ThresholdOutcome>,
    /// The callers with most requests, most first.
    pub callers: Vec<Caller>,
    /// Callers that are not among them.
    pub callers_left_out: u64,
}

/// What one threshold raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThresholdOutcome {
    /// The threshold: requests, distinct values, or referenced rules.
    pub threshold: u64,
    /// Whether it is the rule's own.
    pub is_current: bool,
    /// Findings.
    pub findings: u64,
    /// Groups with a finding.
    pub groups: u64,
    /// Requests in findings.
    pub requests: u64,
}

/// The requests of each group, and what was seen of it.
type Timelines<'a> = BTreeMap<&'a GroupKey, (Timeline<'a>, SeenBefore<'a>)>;

/// Returns what `rule` raises from the rows in `minutes` with its own and other thresholds.
#[must_use]
pub fn tune(rule: &Rule, minutes: &[(Minute, Rows)]) -> Tuning {
    let mut timelines: BTreeMap<&GroupKey, Timeline<'_>> = BTreeMap::new();
    for (minute, rows) in minutes {
        for (key, tally) in rows.iter().filter(|(key, _)| key.rule == rule.key) {
            timelines.entry(&key.group).or_default().add(*minute, tally);
        }
    }
    let seen = Seen::new(HashKey([0; 16]), []);
    let rows = minutes.iter().flat_map(|(minute, rows)| rows.iter().map(|(key, tally)| (*minute, key, tally)));
    let seen = SeenWith::of(std::slice::from_ref(rule), &seen, rows);
    let timelines: Timelines<'_> =
        timelines.into_iter().map(|(group, timeline)| (group, (timeline, seen.before(rule, group)))).collect();
    let current = outcome(rule, rule.threshold.count, &timelines);
    let (callers, callers_left_out) = caller::callers(rule, minutes, &current.by_group);
    Tuning {
        rule: rule.head.name.clone(),
        needed: rule.needed(),
        requests: timelines.values().map(|(timeline, _)| timeline.total()).sum(),
        groups: timelines.len() as u64,
        is_without_follow_ups: rule.referenced_rules().iter().any(|referenced| referenced.follow_up),
        outcomes: outcomes(rule, current.outcome, &timelines),
        callers,
        callers_left_out,
    }
}

/// What one threshold raises, with the number of findings of each group.
struct RaisedFindings<'a> {
    outcome: ThresholdOutcome,
    by_group: BTreeMap<&'a GroupKey, u64>,
}

fn outcomes(rule: &Rule, current: ThresholdOutcome, timelines: &Timelines<'_>) -> Vec<ThresholdOutcome> {
    if matches!(rule.counting, Counting::Sequence { .. }) {
        return vec![current];
    }
    let mut outcomes = vec![current];
    for threshold in ladder(count_max(rule)).filter(|threshold| *threshold != current.threshold) {
        let outcome = outcome(rule, threshold, timelines).outcome;
        outcomes.push(outcome);
        if outcome.findings == 0 {
            break;
        }
    }
    outcomes.sort_by_key(|outcome| outcome.threshold);
    outcomes
}

/// Returns the highest threshold that the rule can have.
fn count_max(rule: &Rule) -> u64 {
    match &rule.counting {
        Counting::Values { .. } if !rule.counts_sources() => <TextHash as DistinctKind>::VALUES_MAX as u64,
        Counting::Values { .. } => <crate::address::SourceIp as DistinctKind>::VALUES_MAX as u64,
        Counting::Events | Counting::Sequence { .. } => COUNT_MAX,
    }
}

/// Returns 1, 2, 5, 10, 20, 50 and so on.
fn ladder(most: u64) -> impl Iterator<Item = u64> {
    let decades = std::iter::successors(Some(1_u64), |decade| decade.checked_mul(10));
    decades.flat_map(|decade| [1, 2, 5].map(|step| decade.saturating_mul(step))).take_while(move |count| *count <= most)
}

fn outcome<'a>(rule: &Rule, count: u64, timelines: &Timelines<'a>) -> RaisedFindings<'a> {
    let threshold = Threshold { count, ..rule.threshold };
    let kind = ThresholdKind::with_count(rule, count);
    let mut by_group = BTreeMap::new();
    let mut outcome = ThresholdOutcome {
        threshold: count,
        is_current: count == rule.threshold.count,
        findings: 0,
        groups: 0,
        requests: 0,
    };
    for (group, (timeline, seen)) in timelines {
        let known = Known { seen: *seen, ..Known::ALL };
        let found: Vec<Episode> = episodes(timeline, &[], &threshold, &kind, &known).found;
        if !found.is_empty() {
            by_group.insert(*group, found.len() as u64);
            outcome.findings += found.len() as u64;
            outcome.groups += 1;
            outcome.requests += found.iter().map(|episode| episode.count).sum::<u64>();
        }
    }
    RaisedFindings { outcome, by_group }
}

#[cfg(test)]
mod tests;
