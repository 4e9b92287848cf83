//! The follow-ups of a closed window: searches for the later rules of sequences whose first rules matched.

use std::collections::{BTreeMap, HashSet};

use super::WindowCounts;
use super::group_index::{GroupHistory, GroupIndex};
use crate::address::SourceIp;
use crate::follow_up::FollowUp;
use crate::group::{CountKey, RuleKey};
use crate::rule::Rule;
use crate::tally::{Rows, StoredMinute};
use crate::threshold::Temporal;
use crate::time::{Minute, Window};

/// The follow-ups of a window, and how many sources exceeded the limits.
#[derive(Debug, Default)]
pub(super) struct DueFollowUps {
    pub(super) follow_ups: Vec<FollowUp>,
    pub(super) sources_left_out: usize,
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
        let reach = rules.map(|rule| rule.reach_seconds()).max().filter(|_| self.is_reread)?;
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
        let rules = self.rules.rules.iter().filter(|rule| !self.is_follow_up && is_followed_up(rule));
        let followed: HashSet<RuleKey> = rules.map(|rule| rule.key).collect();
        let minutes = minutes.values().chain(found_before.iter().map(|stored| &stored.rows));
        minutes.flat_map(Rows::keys).filter(|key| followed.contains(&key.rule)).cloned().collect()
    }

    /// Returns the follow-ups of the groups of the window and of those that reach into it. Those with most requests go first.
    pub(super) fn due_follow_ups(&self, index: &GroupIndex<'_>, followed: &HashSet<CountKey>) -> DueFollowUps {
        let mut due = DueFollowUps::default();
        for rule in self.rules.rules.iter().filter(|rule| is_followed_up(rule)) {
            let groups = index.groups_of(rule.key).filter(|(key, _)| followed.contains(*key));
            let mut found: Vec<(u64, SourceIp, Vec<Window>)> = groups
                .filter_map(|(key, history)| {
                    let spans = self.spans_to_follow(rule, &history);
                    let requests = history.timeline.total();
                    (!spans.is_empty()).then_some((requests, key.group.source_ip()?, spans))
                })
                .collect();
            found.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
            let left = self.limits.follow_ups_max.saturating_sub(due.follow_ups.len());
            let sources_max = left.saturating_mul(self.limits.follow_up_sources_max);
            due.sources_left_out += found.len().saturating_sub(sources_max);
            found.truncate(sources_max);
            due.follow_ups.extend(found.chunks(self.limits.follow_up_sources_max).map(|some| FollowUp {
                rule: rule.key,
                sources: some.iter().map(|(_, source, spans)| (*source, spans.clone())).collect(),
                failures: 0,
            }));
        }
        due
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

fn is_followed_up(rule: &Rule) -> bool {
    rule.referenced_rules().iter().any(|referenced| referenced.follow_up)
}
