//! What a rule counts: requests, distinct values, or kinds of requests that come together.

use serde::Serialize;

use super::{Expression, Pass};
use crate::field::Field;

/// What is counted for a group, in Sigma's four types of correlation. The fingerprint of a rule includes the serialized
/// names, so they do not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Counting {
    /// `event_count`: requests that fit any selection of the rule. A rule without a correlation counts so as well.
    Events,
    /// `value_count`: distinct values of a field among them. A request without the field has no value to count.
    Values {
        /// The field, which holds one value.
        #[serde(serialize_with = "super::detection::name_of")]
        field: Field,
    },
    /// `temporal` and `temporal_ordered`: every referenced rule matches within the timespan.
    Sequence {
        /// The referenced rules, at least two, in the order of the correlation's `rules`.
        #[serde(rename = "legs")]
        rules: Vec<ReferencedRule>,
        /// Whether they must come in that order.
        is_ordered: bool,
    },
}

/// One of the rules that a temporal correlation joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferencedRule {
    /// The name of the rule, as it is shown.
    pub name: String,
    /// Its selections; a request that fits any one of them matches it. They are among the sequence's own.
    pub selections: Vec<Expression>,
    /// The fields that make the group in this rule, aliases resolved; as many as the sequence groups by.
    #[serde(serialize_with = "names_of")]
    pub group_by: Vec<Field>,
    /// How many requests it needs, where it is an `event_count` correlation itself; else one is enough.
    #[serde(rename = "burst")]
    pub count_condition: Option<CountCondition>,
    /// Whether the daemon searches for it only after the rule before it matched (`stakeout: follow_up: true`). The
    /// prefilter leaves it out. Never set on the first rule, nor without an order.
    pub follow_up: bool,
}

/// A number of requests within a timespan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CountCondition {
    /// Requests, at least 1.
    pub count: u64,
    /// They differ by at most this; never longer than the timespan of the sequence.
    pub timespan_seconds: i64,
}

/// When a rule's count opens an episode, and when the episode is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Requests or distinct values that open an episode, at least 1; of a temporal correlation the number of its rules.
    pub count: u64,
    /// A span holds requests whose seconds differ by at most this.
    pub timespan_seconds: i64,
    /// An episode goes on while the next match comes at most this long after the last.
    pub quiet_seconds: i64,
    /// How often the requests around an episode's first one may repeat; `None` for any number of times.
    pub repeat: Option<RepeatLimit>,
    /// In how many days before an episode its group may have no request (`stakeout: new_for`); `None` for any group.
    pub new_for_days: Option<i64>,
}

/// An upper bound (`stakeout: repeat_max`): who asks for the same again and again is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatLimit {
    /// Requests for each distinct value that a `value_count` counts; of a temporal correlation, requests of each referenced
    /// detection.
    pub max: u64,
    /// The bound holds until so many seconds after the first request. Before that is read, no finding opens.
    pub within_seconds: i64,
}

impl ReferencedRule {
    /// Returns the pass that searches for it.
    #[must_use]
    pub fn pass(&self) -> Pass {
        if self.follow_up { Pass::FollowUp } else { Pass::First }
    }
}

fn names_of<S: serde::Serializer>(fields: &[Field], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(fields.iter().map(Field::name))
}
