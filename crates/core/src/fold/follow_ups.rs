//! What a closed window owes beside its findings: to look for the later legs of sequences whose first were found.

use std::collections::HashSet;

use super::Counted;
use super::book::{Book, Page};
use crate::address::SourceIp;
use crate::gathering::Legs;
use crate::progress::FollowUp;
use crate::rule::Rule;
use crate::tally::{CountKey, Rows, RuleKey};
use crate::time::Window;

/// What is owed, and how many sources had no room in it.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) follow_ups: Vec<FollowUp>,
    pub(super) sources_left_out: usize,
}

impl Counted {
    /// Returns the groups in which later legs may have to be looked for; a follow-up has none.
    pub(super) fn keys_to_follow(&self) -> HashSet<CountKey> {
        let rules = self.rules.rules.iter().filter(|rule| !self.is_follow_up && has_follow_up(rule));
        let followed: HashSet<RuleKey> = rules.map(|rule| rule.key).collect();
        self.minutes.values().flat_map(Rows::keys).filter(|key| followed.contains(&key.rule)).cloned().collect()
    }

    /// Returns the follow-ups of what the window found. Those with most requests go first.
    pub(super) fn owed_follow_ups(&self, book: &Book<'_>, followed: &HashSet<CountKey>) -> Owed {
        let mut owed = Owed::default();
        for rule in self.rules.rules.iter().filter(|rule| has_follow_up(rule)) {
            let pages = book.pages(rule.key).filter(|(key, _)| followed.contains(*key));
            let mut found: Vec<(u64, SourceIp, Vec<Window>)> = pages
                .filter_map(|(key, page)| {
                    let spans = self.spans_behind(rule, &page);
                    let requests = page.timeline.moments.values().map(|moment| moment.n).sum();
                    (!spans.is_empty()).then_some((requests, key.group.source_ip()?, spans))
                })
                .collect();
            found.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
            let room = self.limits.follow_ups_max.saturating_sub(owed.follow_ups.len());
            let sources_max = room.saturating_mul(self.limits.follow_up_sources_max);
            owed.sources_left_out += found.len().saturating_sub(sources_max);
            found.truncate(sources_max);
            owed.follow_ups.extend(found.chunks(self.limits.follow_up_sources_max).map(|some| FollowUp {
                rule: rule.key,
                sources: some.iter().map(|(_, source, spans)| (*source, spans.clone())).collect(),
                failures: 0,
            }));
        }
        owed
    }

    /// Returns when the legs behind the first ones count. What came in the window may complete them later, as long as
    /// requests of one sequence can lie apart.
    fn spans_behind(&self, rule: &Rule, page: &Page<'_>) -> Vec<Window> {
        let bursts: Vec<_> = rule.legs().iter().take_while(|leg| !leg.follow_up).map(|leg| leg.burst).collect();
        let timespan_seconds = rule.threshold.timespan_seconds;
        let reach = timespan_seconds.saturating_add(rule.needs().reach_seconds());
        let within = Window::new(self.window.earliest(), self.window.latest().plus(reach)).unwrap_or(self.window);
        Legs::new(&bursts, true, timespan_seconds).spans_behind(&page.timeline, within)
    }
}

fn has_follow_up(rule: &Rule) -> bool {
    rule.legs().iter().any(|leg| leg.follow_up)
}
