//! Rules: what to look for, in Sigma's words, and when enough of it is a finding.

mod case;
mod condition;
mod conditions;
mod correlation;
mod counting;
mod detection;
mod document;
mod encoding;
mod explanation;
mod filter;
mod glob;
mod group;
mod head;
mod load;
mod matcher;
mod modifier;
mod pattern;
mod reference;
mod requirement;
mod selection;
mod story;
mod verdicts;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::address;
use crate::diagnostic::Diagnostic;
use crate::event::CutFields;
use crate::field::Field;
use crate::group::{GroupKey, RuleKey};
use crate::hash::HashKey;
use crate::observation::Observation;
use crate::prefilter::Prefilter;

pub use case::{Case, CaseEvent, CaseResult, ReadEnvelope};
pub use counting::{CountCondition, Counting, ReferencedRule, RepeatLimit, Threshold};
pub use detection::Expression;
pub use explanation::{
    ChainEntry, ClientResult, Explanation, Name, Outcome, PatternResult, Role, RuleResult, SourceChoice, Stage, Step,
    Trace,
};
pub use filter::Filter;
pub use head::{HeadKey, Level, RuleHead};
pub use load::{Origin, RuleFile, load};
pub use matcher::{Match, Matcher};
pub use story::{Story, StoryValue};

/// The field that names who sent a request.
const SOURCE_IP: Field = Field::Named("source_ip");

/// A rule that opens findings: what it selects, what it counts by, and when that is enough.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What people are shown of it.
    pub head: Arc<RuleHead>,
    /// Its selections; a request that fits any one of them counts.
    pub selections: Vec<Expression>,
    /// What is counted of them.
    pub counting: Counting,
    /// The fields that it counts by; none where all requests are one group.
    pub group_by: Vec<Field>,
    /// When the count is an episode, and when that is over.
    pub threshold: Threshold,
    /// Which entry of `sourceIPs` it takes for the source.
    pub source_ip: SourceIpMode,
    /// The fingerprint of its logic.
    pub key: RuleKey,
    /// Who wrote it.
    pub origin: Origin,
    /// Its file.
    pub file: String,
    /// The line where it begins.
    pub line: usize,
}

/// Which entry of `sourceIPs` a rule takes for the source (`stakeout: source_ip:`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceIpMode {
    /// The one that clients cannot forge: from the right, the first that is not a trusted proxy.
    Trusted,
    /// The first, as Panther reads it. The sender of the request chooses it.
    First,
    /// Every one, as Splunk reads them.
    Each,
}

/// The active rules, with their test cases and filters.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The rules, in the order of their names.
    pub rules: Vec<Rule>,
    /// Their test cases, in the order of the files.
    pub cases: Vec<Case>,
    /// The filters, in the order of the files.
    pub filters: Vec<Filter>,
    /// Probable mistakes of their authors.
    pub warnings: Vec<Diagnostic>,
    /// A note for each rule or filter of the user that replaces a built-in one.
    pub replacements: Vec<Diagnostic>,
    /// Whether a rule or filter is the user's.
    has_own: bool,
    /// Where every rule is written, also those that only others count, in the order of the files.
    places: Vec<RulePlace>,
    /// Every detection, also those that only a correlation counts: they can have test cases too.
    detections: Vec<Detection>,
}

/// Where a rule is written, and which rules it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// Who wrote it.
    pub origin: Origin,
    /// Its file.
    pub file: String,
    /// The line where it begins.
    pub line: usize,
    name: String,
    counts: Vec<String>,
}

/// A detection with the names of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Detection {
    name: String,
    /// As far as the filters let it through.
    expression: Expression,
    /// Its selections by name.
    selections: Vec<(String, Expression)>,
}

/// Which rules of sequences a fold searches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// All but the follow-ups; rules that are no sequence as well.
    First,
    /// The follow-ups alone.
    FollowUp,
}

impl Rule {
    /// Returns the groups that `observation` counts for in either pass: none where it does not fit, or has no address or
    /// value to be counted by.
    #[must_use]
    pub fn groups_of(&self, observation: &Observation) -> Vec<GroupKey> {
        let groups_in = |pass| {
            let mut matcher = Matcher::new([self], pass, HashKey([0; 16]));
            let mut matches = Vec::new();
            matcher.match_all(observation, &mut matches);
            matches.iter().map(|found| matcher.key_of(found, observation).group).collect::<Vec<_>>()
        };
        [Pass::First, Pass::FollowUp].into_iter().flat_map(groups_in).collect()
    }

    /// Returns whether no request can match the rule, because it needs a field that no event has.
    #[must_use]
    pub fn never_matches(&self) -> bool {
        let never_fit = |selections: &[Expression]| {
            selections.iter().all(|selection| selection.prefilter().simplified().is_nothing())
        };
        never_fit(&self.selections) || self.referenced_rules().iter().any(|rule| never_fit(&rule.selections))
    }

    /// Returns whether the values that it counts are addresses.
    #[must_use]
    pub fn counts_sources(&self) -> bool {
        matches!(&self.counting, Counting::Values { field } if *field == SOURCE_IP)
    }

    /// Returns whether its findings list who sent the requests: their group is no address.
    #[must_use]
    pub fn lists_sources(&self) -> bool {
        !self.group_by.contains(&SOURCE_IP)
    }

    /// Returns the name of the field whose distinct values it counts.
    #[must_use]
    pub fn counted_field(&self) -> Option<String> {
        match &self.counting {
            Counting::Values { field } => Some(field.name()),
            Counting::Events | Counting::Sequence { .. } => None,
        }
    }

    /// Returns the referenced rules of a sequence; none where the rule is not a sequence.
    #[must_use]
    pub fn referenced_rules(&self) -> &[ReferencedRule] {
        match &self.counting {
            Counting::Sequence { rules, .. } => rules,
            Counting::Events | Counting::Values { .. } => &[],
        }
    }

    /// Returns the fields that a provider may cut and that the rule reads, to match, to group or to count.
    #[must_use]
    pub fn cut_by(&self) -> CutFields {
        let referenced = || self.referenced_rules().iter();
        let selections = self.selections.iter().chain(referenced().flat_map(|rule| &rule.selections));
        let counted = match &self.counting {
            Counting::Values { field } => Some(field),
            Counting::Events | Counting::Sequence { .. } => None,
        };
        let grouped = self.group_by.iter().chain(referenced().flat_map(|rule| &rule.group_by));
        let fields = grouped.chain(counted).map(Field::cut_by);
        selections.map(Expression::cut_by).chain(fields).fold(CutFields::default(), CutFields::and)
    }

    /// Returns how far apart, in seconds, requests can lie that come together.
    #[must_use]
    pub fn reach_seconds(&self) -> i64 {
        let conditions = self.referenced_rules().iter().filter_map(|rule| rule.count_condition);
        let longest = conditions.map(|condition| condition.timespan_seconds).max().unwrap_or(0);
        self.threshold.timespan_seconds.saturating_add(longest)
    }

    /// Returns the longest time, in seconds, over which two requests can lie apart, without another between them, that
    /// decide together about an episode.
    #[must_use]
    pub fn episode_reach_seconds(&self) -> i64 {
        let repeat = self.threshold.repeat.map_or(0, |repeat| repeat.within_seconds);
        self.threshold.quiet_seconds.max(self.reach_seconds().saturating_add(repeat))
    }
}

impl SourceIpMode {
    /// Returns whom a rule that reads so takes for the sender of a request, each once.
    fn clients_of(self, observation: &Observation) -> Vec<Option<IpAddr>> {
        let chain = &observation.event.source_ips;
        match self {
            SourceIpMode::Trusted => vec![observation.client],
            SourceIpMode::First => vec![chain.first().and_then(|entry| address::parse(entry))],
            SourceIpMode::Each => {
                let mut clients: Vec<Option<IpAddr>> = chain.iter().map(|entry| address::parse(entry)).collect();
                clients.sort_unstable();
                clients.dedup();
                clients
            }
        }
    }
}

impl Rules {
    /// Returns the filter that every request fits which some rule could match. Follow-ups have one of their own.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        let selections = self.rules.iter().flat_map(|rule| match &rule.counting {
            Counting::Sequence { rules, .. } => {
                rules.iter().filter(|rule| !rule.follow_up).flat_map(|rule| &rule.selections).collect()
            }
            Counting::Events | Counting::Values { .. } => rule.selections.iter().collect::<Vec<_>>(),
        });
        Prefilter::Or(selections.map(Expression::prefilter).collect()).simplified()
    }

    /// Returns whether some rule has follow-ups.
    #[must_use]
    pub fn have_follow_ups(&self) -> bool {
        self.rules.iter().flat_map(Rule::referenced_rules).any(|rule| rule.follow_up)
    }

    /// Returns the names of the rules that cannot judge a request of which `cut` was cut, in the order of the rules.
    #[must_use]
    pub fn blinded_by(&self, cut: CutFields) -> Vec<&str> {
        let is_blind = |rule: &&Rule| rule.cut_by().meets(cut);
        self.rules.iter().filter(is_blind).map(|rule| rule.head.name.as_str()).collect()
    }

    /// Returns the longest time, in seconds, over which requests of one episode can lie apart.
    #[must_use]
    pub fn longest_reach_seconds(&self) -> i64 {
        self.rules.iter().map(Rule::episode_reach_seconds).max().unwrap_or(0)
    }

    /// Returns the same of those rules that reach at most half as far as the furthest. One rule that counts over days must
    /// not keep the rows of all others for days.
    #[must_use]
    pub fn near_reach_seconds(&self) -> i64 {
        let half = self.longest_reach_seconds() / 2;
        self.rules.iter().map(Rule::episode_reach_seconds).filter(|reach| *reach <= half).max().unwrap_or(0)
    }

    /// Returns the rules that reach further than that.
    #[must_use]
    pub fn far_rules(&self) -> HashSet<RuleKey> {
        let near = self.near_reach_seconds();
        self.rules.iter().filter(|rule| rule.episode_reach_seconds() > near).map(|rule| rule.key).collect()
    }

    /// Returns where the rule of this name is written, and every rule that it counts, in the order of the files.
    #[must_use]
    pub fn places_of(&self, name: &str) -> Vec<&RulePlace> {
        let mut names = vec![name];
        // Only what is counted is added, and each name once, so this ends.
        let mut next = 0;
        while let Some(name) = names.get(next).copied() {
            let counted = self.places.iter().filter(|place| place.name == name).flat_map(|place| &place.counts);
            for other in counted {
                if !names.contains(&other.as_str()) {
                    names.push(other);
                }
            }
            next += 1;
        }
        self.places.iter().filter(|place| names.contains(&place.name.as_str())).collect()
    }

    /// Removes the rule of this name: it opens no findings any more, but correlations that name it still count it. Returns
    /// whether there was one.
    pub fn disable(&mut self, name: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.head.name != name);
        self.cases.retain(|case| case.rule != name);
        self.rules.len() < before
    }

    /// Returns the rule of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.head.name == name)
    }
}

#[cfg(test)]
mod tests;
