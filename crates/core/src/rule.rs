//! Rules: what to look for, in Sigma's words, and when enough of it is a finding.

mod case;
mod condition;
mod correlation;
mod counting;
mod detection;
mod encoding;
mod explanation;
mod filter;
mod glob;
mod head;
mod load;
mod modifier;
mod pattern;
mod requirement;
mod selection;
mod sigma;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{self, SourceIp};
use crate::diagnostic::Diagnostic;
use crate::distinct::TextHash;
use crate::episode::Threshold;
use crate::evidence::SampleKey;
use crate::field::{Field, FieldValue};
use crate::gathering::Needs;
use crate::observation::Observation;
use crate::prefilter::Prefilter;
use crate::progress::FollowUp;
use crate::tally::{GroupKey, GroupValue, Legs, RuleKey};
use crate::text::bounded;

pub use case::{Case, CaseEvent, CaseResult, ReadEnvelope};
pub use counting::{Burst, Counting, Leg};
pub use detection::Expression;
pub use explanation::{Explanation, Hop, Name, Outcome, Reading, Role, Stage, Step, Trace, Tried, TriedLeg, Wanted};
pub use filter::Filter;
pub use head::{HeadKey, Level, RuleHead};
pub use load::{RuleFile, load};

/// Longest value of a group that is kept, in characters; longer ones share the group of their beginning.
const GROUP_TEXT_CHARS_MAX: usize = 256;
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
    pub source_ip: SourceIpReading,
    /// MITRE ATT&CK tactics from `tags`, such as `discovery`.
    pub tactics: Vec<String>,
    /// The fingerprint of its logic.
    pub key: RuleKey,
    /// The file that it stands in.
    pub file: String,
    /// The line of that file at which it begins.
    pub line: usize,
}

/// Which entry of `sourceIPs` a rule takes for the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceIpReading {
    /// The one that no client can forge: from the right, the first that is no trusted proxy.
    Trusted,
    /// The first, as Panther reads it. Whoever sends the request chooses it.
    First,
    /// Every one for itself, as Splunk reads them.
    Each,
}

/// The active rules, and the cases that stand beside them.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The rules, in the order of their names.
    pub rules: Vec<Rule>,
    /// Their test cases, in the order of the files.
    pub cases: Vec<Case>,
    /// The filters that are laid over them, in the order of the files.
    pub filters: Vec<Filter>,
    /// What their authors hardly meant, though it is allowed.
    pub warnings: Vec<Diagnostic>,
    /// Every detection by name, also those that only a correlation counts: cases may stand beside them.
    detections: Vec<Detection>,
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

/// Which legs of sequences a fold looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// All but the follow-ups; rules that are no sequence as well.
    First,
    /// The follow-ups alone.
    FollowUp,
}

/// A group that a request counts for, and what of it counts there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Match {
    /// The group.
    pub group: GroupKey,
    /// The legs that it belongs to, where the rule is a sequence.
    pub legs: Legs,
    /// Who sent it, where the rule counts or lists sources.
    pub source: Option<SourceIp>,
    /// The value that the rule counts, where that is no address.
    pub text: Option<TextHash>,
}

impl Rule {
    /// Returns the groups that `observation` counts for: none where it does not fit, or has no address or value to be
    /// counted by; several only where the rule reads each entry of `sourceIPs`, or its legs group by other fields.
    ///
    /// A follow-up leg counts only what belongs to no other leg, so that a request is counted in one pass alone.
    #[must_use]
    pub fn matches_of(&self, observation: &Observation, pass: Pass, key: &SampleKey) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        for client in self.clients_of(observation) {
            for (group, legs) in self.groups_for(observation, client, pass) {
                let Some((source, text)) = self.values_of(observation, client, key) else {
                    continue;
                };
                matches.push(Match { group, legs, source, text });
            }
        }
        joined(matches)
    }

    /// Returns the groups that `observation` counts for in either pass.
    #[must_use]
    pub fn groups_of(&self, observation: &Observation) -> Vec<GroupKey> {
        let key = SampleKey([0; 16]);
        let passes = [Pass::First, Pass::FollowUp];
        passes.into_iter().flat_map(|pass| self.matches_of(observation, pass, &key)).map(|found| found.group).collect()
    }

    /// Tells whether `observation` fits the rule, but names no address that it could be counted by.
    #[must_use]
    pub fn lacks_address(&self, observation: &Observation, pass: Pass) -> bool {
        let by_address = self.group_by.contains(&SOURCE_IP) || self.counts_sources();
        by_address && self.clients_of(observation).iter().all(Option::is_none) && self.fits(observation, None, pass)
    }

    /// Tells whether no request can fit the rule, because it needs a field that no event has.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let are_idle = |selections: &[Expression]| {
            selections.iter().all(|selection| selection.prefilter().simplified().is_nothing())
        };
        are_idle(&self.selections) || self.legs().iter().any(|leg| are_idle(&leg.selections))
    }

    /// Tells whether the values that it counts are addresses.
    #[must_use]
    pub fn counts_sources(&self) -> bool {
        matches!(&self.counting, Counting::Values { field } if *field == SOURCE_IP)
    }

    /// Tells whether its findings list who sent the requests: their group is no address.
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

    /// Returns the legs of a sequence; none where the rule is no sequence.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        match &self.counting {
            Counting::Sequence { legs, .. } => legs,
            Counting::Events | Counting::Values { .. } => &[],
        }
    }

    /// Returns what has to come together for an episode.
    #[must_use]
    pub fn needs(&self) -> Needs {
        Needs::of(&self.counting, self.threshold.count)
    }

    /// Returns how far apart, in seconds, requests can lie that come together.
    #[must_use]
    pub fn reach_seconds(&self) -> i64 {
        self.threshold.timespan_seconds.saturating_add(self.needs().reach_seconds())
    }

    /// Returns the groups that `observation` belongs to as `client`'s, with the legs that put it there.
    fn groups_for(&self, observation: &Observation, client: Option<IpAddr>, pass: Pass) -> Vec<(GroupKey, Legs)> {
        if self.legs().is_empty() {
            let group = self.fits(observation, client, pass).then(|| group_of(&self.group_by, observation, client));
            return group.flatten().map(|group| (group, Legs::default())).into_iter().collect();
        }
        if pass == Pass::FollowUp && self.fits(observation, client, Pass::First) {
            return Vec::new();
        }
        let legs = self.legs().iter().enumerate().filter(|(_, leg)| leg.follow_up == (pass == Pass::FollowUp));
        legs.filter(|(_, leg)| any_holds(&leg.selections, observation, client))
            .filter_map(|(place, leg)| {
                Some((group_of(&leg.group_by, observation, client)?, Legs::default().and(place)))
            })
            .collect()
    }

    fn fits(&self, observation: &Observation, client: Option<IpAddr>, pass: Pass) -> bool {
        match &self.counting {
            Counting::Sequence { legs, .. } => legs
                .iter()
                .filter(|leg| leg.follow_up == (pass == Pass::FollowUp))
                .any(|leg| any_holds(&leg.selections, observation, client)),
            Counting::Events | Counting::Values { .. } => {
                pass == Pass::First && any_holds(&self.selections, observation, client)
            }
        }
    }

    fn clients_of(&self, observation: &Observation) -> Vec<Option<IpAddr>> {
        let chain = &observation.event.source_ips;
        match self.source_ip {
            SourceIpReading::Trusted => vec![observation.client],
            SourceIpReading::First => vec![chain.first().and_then(|entry| address::parse(entry))],
            SourceIpReading::Each => {
                let mut clients: Vec<Option<IpAddr>> = chain.iter().map(|entry| address::parse(entry)).collect();
                clients.sort_unstable();
                clients.dedup();
                clients
            }
        }
    }

    /// Returns the source to note and the value to count, or `None` where the request has no value to be counted.
    fn values_of(
        &self,
        observation: &Observation,
        client: Option<IpAddr>,
        key: &SampleKey,
    ) -> Option<(Option<SourceIp>, Option<TextHash>)> {
        let source = client.map(SourceIp::of);
        let noted = source.filter(|_| self.lists_sources() || self.counts_sources());
        match &self.counting {
            Counting::Values { field } if *field == SOURCE_IP => Some((Some(source?), None)),
            Counting::Values { field } => {
                let text = text_of(field.value_of(observation, client))?;
                Some((noted, Some(TextHash::of(&text, key))))
            }
            Counting::Events | Counting::Sequence { .. } => Some((noted, None)),
        }
    }
}

/// Returns the matches by group, each group with all the legs that put the request there, each source of it once.
fn joined(mut matches: Vec<Match>) -> Vec<Match> {
    if matches.len() > 1 {
        matches.sort_by(|left, right| (&left.group, left.source).cmp(&(&right.group, right.source)));
        for place in 0..matches.len() {
            let all = matches.iter().filter(|other| other.group == matches[place].group);
            matches[place].legs = Legs(all.fold(0, |legs, other| legs | other.legs.0));
        }
        matches.dedup();
    }
    matches
}

fn any_holds(selections: &[Expression], observation: &Observation, client: Option<IpAddr>) -> bool {
    selections.iter().any(|selection| selection.holds(observation, client))
}

/// Returns the group that `fields` make of a request, or `None` where one of them is an address that it does not name.
fn group_of(fields: &[Field], observation: &Observation, client: Option<IpAddr>) -> Option<GroupKey> {
    let values = fields.iter().map(|field| match field {
        field if *field == SOURCE_IP => client.map(|client| GroupValue::Address(SourceIp::of(client))),
        field => Some(match text_of(field.value_of(observation, client)) {
            Some(text) => GroupValue::Text(bounded(&text, GROUP_TEXT_CHARS_MAX)),
            None => GroupValue::Missing,
        }),
    });
    values.collect::<Option<Vec<_>>>().map(GroupKey)
}

/// Returns a field's one value as text.
fn text_of(value: FieldValue<'_>) -> Option<Cow<'_, str>> {
    match value {
        FieldValue::Text(text) => Some(text.into()),
        FieldValue::Made(text) => Some(text.into()),
        FieldValue::Number(number) => Some(number.to_string().into()),
        FieldValue::Fact(fact) => Some(fact.to_string().into()),
        FieldValue::Missing | FieldValue::Texts(_) => None,
    }
}

impl Rules {
    /// Returns the filter that every request fits which some rule could match. Follow-ups have one of their own.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        let selections = self.rules.iter().flat_map(|rule| match &rule.counting {
            Counting::Sequence { legs, .. } => {
                legs.iter().filter(|leg| !leg.follow_up).flat_map(|leg| &leg.selections).collect()
            }
            Counting::Events | Counting::Values { .. } => rule.selections.iter().collect::<Vec<_>>(),
        });
        Prefilter::Or(selections.map(Expression::prefilter).collect()).simplified()
    }

    /// Tells whether some rule has legs that are followed up.
    #[must_use]
    pub fn have_follow_ups(&self) -> bool {
        self.rules.iter().flat_map(Rule::legs).any(|leg| leg.follow_up)
    }

    /// Returns the filter that every request fits which `follow_up` looks for.
    #[must_use]
    pub fn follow_up_prefilter(&self, follow_up: &FollowUp) -> Prefilter {
        let rules = self.rules.iter().filter(|rule| rule.key == follow_up.rule);
        let legs = rules.flat_map(Rule::legs).filter(|leg| leg.follow_up).flat_map(|leg| &leg.selections);
        let sources = follow_up.sources.iter().map(|(source, _)| Prefilter::from_source(*source));
        Prefilter::And(vec![Prefilter::Or(sources.collect()), Prefilter::Or(legs.map(Expression::prefilter).collect())])
            .simplified()
    }

    /// Returns the longest time, in seconds, over which requests of one episode can lie apart.
    #[must_use]
    pub fn longest_reach_seconds(&self) -> i64 {
        self.rules.iter().map(|rule| rule.threshold.quiet_seconds.max(rule.reach_seconds())).max().unwrap_or(0)
    }

    /// Returns the rule of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.head.name == name)
    }
}
