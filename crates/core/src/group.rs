//! Groups: what a rule counts requests for, and which of its referenced rules a request fits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::SourceIp;

/// Most rules that a temporal correlation references: each is a bit of [`ReferencedRuleSet`].
pub const REFERENCED_RULES_MAX: usize = 16;

/// One group of a rule: a value for each of its `group-by` fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupKey(pub Vec<GroupValue>);

impl GroupKey {
    /// Returns the first address in the key.
    #[must_use]
    pub fn source_ip(&self) -> Option<SourceIp> {
        self.0.iter().find_map(|value| match value {
            GroupValue::Address(source) => Some(*source),
            GroupValue::Text(_) | GroupValue::Missing => None,
        })
    }
}

/// The value of one `group-by` field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupValue {
    /// `source_ip`.
    Address(SourceIp),
    /// Any other field, bounded.
    Text(String),
    /// The event lacks the field. Never used for `source_ip`: a request without one enters no group.
    Missing,
}

impl fmt::Display for GroupValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupValue::Address(address) => address.fmt(f),
            GroupValue::Text(text) => f.write_str(text),
            GroupValue::Missing => f.write_str("-"),
        }
    }
}

/// The fingerprint of a rule's logic: a rule that changes leaves its old rows behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleKey(pub u64);

/// A rule (by fingerprint) and one of its groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CountKey {
    /// The rule.
    pub rule: RuleKey,
    /// The group.
    pub group: GroupKey,
}

/// The referenced rules of a temporal correlation that a request fits: bit `n` stands for the rule at index `n`. Empty
/// where the rule is not a temporal correlation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReferencedRuleSet(pub u16);

impl ReferencedRuleSet {
    /// Returns this set with the rule at `index`, which is below [`REFERENCED_RULES_MAX`].
    #[must_use]
    pub fn with(self, index: usize) -> ReferencedRuleSet {
        ReferencedRuleSet(self.0 | 1 << index)
    }

    /// Returns whether the rule at `index` is in the set.
    #[must_use]
    pub fn contains(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }
}
