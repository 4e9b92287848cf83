//! Groups: what a rule counts requests for, and which of its referenced rules a request fits.

use std::borrow::Cow;
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

/// A rule and what one of its groups has beside the address of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupBase {
    /// The rule.
    pub rule: RuleKey,
    /// The values; `None` is the address.
    pub values: Vec<Option<GroupValue>>,
}

impl GroupBase {
    /// Returns whether the group has the address of the sender.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.values.iter().any(Option::is_none)
    }

    /// Returns the values of the group of this sender.
    pub fn values_of(&self, source: Option<SourceIp>) -> impl Iterator<Item = Cow<'_, GroupValue>> {
        self.values.iter().filter_map(move |value| match value {
            Some(value) => Some(Cow::Borrowed(value)),
            None => source.map(|source| Cow::Owned(GroupValue::Address(source))),
        })
    }

    /// Returns the group of this sender.
    #[must_use]
    pub fn of(&self, source: Option<SourceIp>) -> CountKey {
        CountKey { rule: self.rule, group: GroupKey(self.values_of(source).map(Cow::into_owned).collect()) }
    }
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
