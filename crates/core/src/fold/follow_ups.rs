//! The follow-ups of a closed window: searches for the later rules of sequences whose first rules matched.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::group_index::{GroupHistory, GroupIndex};
use super::log_change::JoinedChange;
use super::{Limits, WindowCounts};
use crate::address::SourceIp;
use crate::follow_up::FollowUp;
use crate::group::{CountKey, RuleKey};
use crate::rule::{Rule, Rules};
use crate::tally::{Rows, StoredMinute};
use crate::threshold::Temporal;
use crate::time::{Minute, Window};

/// The follow-ups of a window, and how many sources exceeded the limits.
#[derive(Debug, Default)]
pub(super) struct DueFollowUps {
    pub(super) follow_ups: Vec<FollowUp>,
    pub(super) sources_left_out: usize,
}

/// A source whose first rules matched.
struct FoundSource {
    requests: u64,
    source: SourceIp,
    spans: Vec<Window>,
}

impl DueFollowUps {
    /// Adds the follow-ups of `found`, as many as the limits allow. Those with most requests go first.
    fn add(&mut self, rule: RuleKey, mut found: Vec<FoundSource>, limits: &Limits) {
        found.sort_by_key(|found| (Reverse(found.requests), found.source));
        let left = limits.follow_ups_max.saturating_sub(self.follow_ups.len());
        let sources_max = left.saturating_mul(limits.follow_up_sources_max);
        self.sources_left_out += found.len().saturating_sub(sources_max);
        found.truncate(sources_max);
        self.follow_ups.extend(found.chunks(limits.follow_up_sources_max).map(|some| FollowUp {
            rule,
            sources: some.iter().map(|found| (found.source, found.spans.clone())).collect(),
            failures: 0,
        }));
    }
}

impl WindowCounts {
    /// Returns the span in which the first rules of a sequence may have matched whose follow-ups reach into a reread window:
    /// the window itself, and before it as long as requests of one sequence can be apart. `None` in a first read.
    ///
    /// The first read of a window adds the follow-ups that begin in it, and those that reach into it are still pending by
    /// then. A late record is found by the reread of its window, so each reread adds once the follow-ups that reach in.
    #[must_use]
    pub fn followed_from(&self) -> Option<Window> {
        let rules = self.rules.rules.iter().filter(|rule| is_followed_up(rule));
        let reach = rules.map(|rule| rule.reach_seconds()).max();
        let reach = reach.filter(|_| self.is_reread && !self.leaves_follow_ups())?;
        Window::new(self.window.earliest().plus(-reach), self.window.latest())
    }

    /// Returns whether `rule` has follow-ups.
    #[must_use]
    pub fn has_follow_ups(&self, rule: RuleKey) -> bool {
        self.rules.rules.iter().any(|known| known.key == rule && is_followed_up(known))
    }

    /// Returns the groups that may need a follow-up: those of the window, and those `found_before` that may reach into it. A
    /// follow-up itself has none.
    pub(super) fn keys_to_follow(
        &self,
        minutes: &BTreeMap<Minute, Rows>,
        found_before: &[StoredMinute],
    ) -> HashSet<CountKey> {
        let follows = !self.is_follow_up && !self.leaves_follow_ups();
        let rules = self.rules.rules.iter().filter(|rule| follows && is_followed_up(rule));
        let followed: HashSet<RuleKey> = rules.map(|rule| rule.key).collect();
        let minutes = minutes.values().chain(found_before.iter().map(|stored| &stored.rows));
        minutes.flat_map(Rows::keys).filter(|key| followed.contains(&key.rule)).cloned().collect()
    }

    /// Returns the spans in which the rules after the first ones count, from the begin of the window on. They may end after
    /// the window, by as long as requests of one sequence can be apart.
    fn spans_to_follow(&self, rule: &Rule, history: &GroupHistory<'_>) -> Vec<Window> {
        let conditions: Vec<_> = rule
            .referenced_rules()
            .iter()
            .take_while(|referenced| !referenced.follow_up)
            .map(|referenced| referenced.count_condition)
            .collect();
        let timespan_seconds = rule.threshold.timespan_seconds;
        let earliest = self.followed_from().unwrap_or(self.window).earliest();
        let within = Window::new(earliest, self.window.latest().plus(rule.reach_seconds())).unwrap_or(self.window);
        let spans = Temporal::new(&conditions, true, timespan_seconds).spans_after(&history.timeline, within);
        let from_here = |span: Window| Window::new(span.earliest().max(self.window.earliest()), span.latest());
        spans.into_iter().filter_map(from_here).collect()
    }
}

/// The groups that may need a follow-up, each with the changes that may have begun it.
pub(super) struct Followers<'a>(BTreeMap<&'a CountKey, Vec<usize>>);

impl<'a> Followers<'a> {
    pub(super) fn of(logs: &'a [JoinedChange]) -> Followers<'a> {
        let mut followers: BTreeMap<&CountKey, Vec<usize>> = BTreeMap::new();
        for (index, log) in logs.iter().enumerate() {
            log.followed.iter().for_each(|key| followers.entry(key).or_default().push(index));
        }
        Followers(followers)
    }

    pub(super) fn contains(&self, key: &CountKey) -> bool {
        self.0.contains_key(key)
    }

    /// Returns the follow-ups of each of `logs`: of the groups of its window and of those that reach into it.
    pub(super) fn due(&self, rules: &Rules, logs: &[JoinedChange], index: &GroupIndex<'_>) -> Vec<DueFollowUps> {
        let mut due: Vec<DueFollowUps> = logs.iter().map(|_| DueFollowUps::default()).collect();
        for rule in rules.rules.iter().filter(|rule| is_followed_up(rule)) {
            let mut found: Vec<Vec<FoundSource>> = logs.iter().map(|_| Vec::new()).collect();
            for (key, followers) in self.0.iter().filter(|(key, _)| key.rule == rule.key) {
                let Some(source) = key.group.source_ip() else { continue };
                let history = index.history(key);
                let requests = history.timeline.total();
                // Changes that are closed at once read the same window.
                let mut known: HashMap<(Window, bool), Vec<Window>> = HashMap::new();
                for log in followers {
                    let Some(counts) = &logs[*log].window else { continue };
                    let spans = known
                        .entry((counts.window, counts.is_reread))
                        .or_insert_with(|| counts.spans_to_follow(rule, &history));
                    if !spans.is_empty() {
                        found[*log].push(FoundSource { requests, source, spans: spans.clone() });
                    }
                }
            }
            for ((due, found), log) in due.iter_mut().zip(found).zip(logs) {
                if let Some(counts) = &log.window {
                    due.add(rule.key, found, &counts.limits);
                }
            }
        }
        due
    }
}

fn is_followed_up(rule: &Rule) -> bool {
    rule.referenced_rules().iter().any(|referenced| referenced.follow_up)
}
