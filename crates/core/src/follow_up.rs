//! Follow-ups: reads of single sources, for the later rules of a sequence whose first rules matched.

use serde::{Deserialize, Serialize};

use crate::address::SourceIp;
use crate::group::RuleKey;
use crate::prefilter::Prefilter;
use crate::rule::{Expression, Rule, Rules};
use crate::time::{Second, Window};

/// Most sources of one follow-up: the filter of every provider takes so many addresses or networks beside the codes of
/// success. The shortest is CloudWatch's pattern, of 1,024 characters, where a network takes up to 22.
pub const FOLLOW_UP_SOURCES_MAX: usize = 30;

/// A read of single sources: the rules of a sequence that are searched only after the rules before them matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// The rule.
    pub rule: RuleKey,
    /// The sources, at most [`FOLLOW_UP_SOURCES_MAX`] in the daemon, each with the spans in which its requests count.
    /// The spans ascend, do not meet, and are at least one.
    pub sources: Vec<(SourceIp, Vec<Window>)>,
    /// Ticks in a row in which the read failed.
    pub failures: u32,
}

impl FollowUp {
    /// Returns the window that holds all spans, or `None` where there are none.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        let spans = || self.sources.iter().flat_map(|(_, spans)| spans);
        Window::new(spans().map(Window::earliest).min()?, spans().map(Window::latest).max()?)
    }

    /// Returns the part before `until`.
    #[must_use]
    pub fn before(&self, until: Second) -> FollowUp {
        self.cut(|span| Window::new(span.earliest(), span.latest().min(until)))
    }

    /// Returns the part from `until` on.
    #[must_use]
    pub fn from(&self, until: Second) -> FollowUp {
        self.cut(|span| Window::new(span.earliest().max(until), span.latest()))
    }

    /// Returns the filter that every request fits which this follow-up searches for.
    #[must_use]
    pub fn prefilter(&self, rules: &Rules) -> Prefilter {
        let rules = rules.rules.iter().filter(|rule| rule.key == self.rule);
        let followed = rules.flat_map(Rule::referenced_rules).filter(|referenced| referenced.follow_up);
        let selections = followed.flat_map(|referenced| &referenced.selections).map(Expression::prefilter).collect();
        let sources = self.sources.iter().map(|(source, _)| Prefilter::from_source(*source)).collect();
        Prefilter::And(vec![Prefilter::Or(sources), Prefilter::Or(selections)]).simplified()
    }

    fn cut(&self, cut: impl Fn(&Window) -> Option<Window>) -> FollowUp {
        let sources = self.sources.iter().map(|(source, spans)| (*source, spans.iter().filter_map(&cut).collect()));
        let sources = sources.filter(|(_, spans): &(SourceIp, Vec<Window>)| !spans.is_empty()).collect();
        FollowUp { rule: self.rule, sources, failures: self.failures }
    }
}
