//! Rules: what to look for, in Sigma's words, and when enough of it is a finding.

mod case;
mod condition;
mod correlation;
mod counting;
mod detection;
mod encoding;
mod filter;
mod glob;
mod head;
mod load;
mod modifier;
mod pattern;
mod selection;
mod sigma;

use std::net::IpAddr;

use crate::address::{self, SourceIp};
use crate::diagnostic::Diagnostic;
use crate::episode::Threshold;
use crate::field::{Field, FieldValue};
use crate::observation::Observation;
use crate::prefilter::Prefilter;
use crate::tally::{GroupKey, GroupValue, RuleKey};
use crate::text::bounded;

pub use case::{Case, CaseResult};
pub use counting::{Burst, Counting, Leg};
pub use detection::Expression;
pub use filter::Filter;
pub use head::{Level, RuleHead};
pub use load::{RuleFile, load};

/// Longest value of a group that is kept, in characters; longer ones share the group of their beginning.
const GROUP_TEXT_CHARS_MAX: usize = 256;

/// A rule that opens findings: what it selects, what it counts by, and when that is enough.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What people are shown of it.
    pub head: RuleHead,
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
    detections: Vec<(String, Expression)>,
}

impl Rule {
    /// Returns the groups that `observation` counts for: none where it does not fit, or has no address to count
    /// it for; several only where the rule reads each entry of `sourceIPs`.
    #[must_use]
    pub fn groups_of(&self, observation: &Observation) -> Vec<GroupKey> {
        self.fitting_clients(observation).filter_map(|client| self.group_of(observation, client)).collect()
    }

    /// Tells whether `observation` fits the rule's selections, whether or not it can be counted.
    #[must_use]
    pub fn fits(&self, observation: &Observation) -> bool {
        self.fitting_clients(observation).next().is_some()
    }

    /// Tells whether no request can fit the rule, because each selection needs a field that no event has.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.selections.iter().all(|selection| selection.prefilter().simplified().is_nothing())
    }

    fn fitting_clients(&self, observation: &Observation) -> impl Iterator<Item = Option<IpAddr>> {
        self.clients_of(observation)
            .into_iter()
            .filter(|client| self.selections.iter().any(|selection| selection.holds(observation, *client)))
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

    fn group_of(&self, observation: &Observation, client: Option<IpAddr>) -> Option<GroupKey> {
        let values = self.group_by.iter().map(|field| match field {
            Field::Named("source_ip") => client.map(|client| GroupValue::Address(SourceIp::of(client))),
            field => Some(match field.value_of(observation, client) {
                FieldValue::Text(text) => GroupValue::Text(bounded(text, GROUP_TEXT_CHARS_MAX)),
                FieldValue::Made(text) => GroupValue::Text(bounded(&text, GROUP_TEXT_CHARS_MAX)),
                FieldValue::Number(number) => GroupValue::Text(number.to_string()),
                FieldValue::Fact(fact) => GroupValue::Text(fact.to_string()),
                FieldValue::Missing | FieldValue::Texts(_) => GroupValue::Missing,
            }),
        });
        values.collect::<Option<Vec<_>>>().map(GroupKey)
    }
}

impl Rules {
    /// Returns the filter that every request fits which some rule could match.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        let selections = self.rules.iter().flat_map(|rule| &rule.selections);
        Prefilter::Or(selections.map(Expression::prefilter).collect()).simplified()
    }

    /// Returns the longest time, in seconds, over which requests of one episode can lie apart.
    #[must_use]
    pub fn longest_reach_seconds(&self) -> i64 {
        self.rules
            .iter()
            .map(|rule| rule.threshold.quiet_seconds.max(rule.threshold.timespan_seconds))
            .max()
            .unwrap_or(0)
    }

    /// Returns the rule of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.head.name == name)
    }
}
