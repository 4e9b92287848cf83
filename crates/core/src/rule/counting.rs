//! What a rule counts: requests, distinct values, or kinds of requests that come together.

use serde::Serialize;

use super::Expression;
use crate::field::Field;

/// What is counted for a group, in Sigma's four types of correlation.
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
    /// `temporal` and `temporal_ordered`: every leg comes within the timespan.
    Sequence {
        /// The legs, at least two, in the order of the correlation's `rules`.
        legs: Vec<ReferencedRule>,
        /// Whether they must come in that order.
        is_ordered: bool,
    },
}

/// One of the rules that a temporal correlation joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferencedRule {
    /// The name of the rule, as it is shown.
    pub name: String,
    /// Its selections; a request that fits any one of them belongs to the leg. They are among the rule's own.
    pub selections: Vec<Expression>,
    /// The fields that make the group in this leg, aliases resolved; as many as the rule groups by.
    #[serde(serialize_with = "names_of")]
    pub group_by: Vec<Field>,
    /// How many requests the leg takes, where it is an `event_count` correlation itself; else one is enough.
    pub burst: Option<CountCondition>,
    /// Whether it is looked for only after the leg before it was found (`stakeout: follow_up: true`), so that no
    /// prefilter holds it. Never set on the first leg, nor without an order.
    pub follow_up: bool,
}

/// A burst: so many requests within such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CountCondition {
    /// Requests, at least 1.
    pub count: u64,
    /// They differ by at most this; never longer than the timespan of the rule that the leg belongs to.
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
}

fn names_of<S: serde::Serializer>(fields: &[Field], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(fields.iter().map(Field::name))
}
