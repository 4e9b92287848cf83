//! What makes the group of a request: one part for each field that the rule counts by.

use std::borrow::Cow;

use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::field::FieldValue;
use crate::group::{GroupValue, RuleKey};
use crate::text::{bounded, bounded_cow};

/// Longest value of a group that is kept, in characters; longer ones share the group of their beginning.
const GROUP_TEXT_CHARS_MAX: usize = 256;

/// What a hash is of. The same bytes have another hash as something else.
const GROUP: u8 = 1;
const RULE: u8 = 2;
/// See [`GROUP`].
pub(super) const COMPARED: u8 = 3;
/// See [`GROUP`].
pub(super) const READ: u8 = 4;
const SOURCE: u8 = 5;

/// A [`GroupValue`] that lends its text: most requests are of a group that is known.
pub(super) enum GroupPart<'a> {
    /// The address of the sender, which has a hash of its own.
    Address,
    Text(Cow<'a, str>),
    Missing,
}

impl<'a> GroupPart<'a> {
    /// Writes what distinguishes it from every other part.
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            GroupPart::Missing => to.push(0),
            GroupPart::Address => to.push(1),
            GroupPart::Text(text) => {
                to.push(3);
                to.extend((text.len() as u64).to_le_bytes());
                to.extend(text.as_bytes());
            }
        }
    }

    /// Returns the value that is kept; `None` for the address.
    pub(super) fn into_value(self) -> Option<GroupValue> {
        match self {
            GroupPart::Address => None,
            GroupPart::Text(text) => Some(GroupValue::Text(text.into_owned())),
            GroupPart::Missing => Some(GroupValue::Missing),
        }
    }

    /// Returns what the value of a field other than `source_ip` makes.
    pub(super) fn of(value: &FieldValue<'a>) -> GroupPart<'a> {
        match text_of(value) {
            Some(Cow::Borrowed(text)) => GroupPart::Text(bounded_cow(text, GROUP_TEXT_CHARS_MAX)),
            Some(Cow::Owned(text)) => GroupPart::Text(bounded(&text, GROUP_TEXT_CHARS_MAX).into()),
            None => GroupPart::Missing,
        }
    }
}

/// Returns the keyed hash of what a group has beside the address. `buffer` is scratch space.
pub(super) fn hash_of<'a>(
    parts: impl Iterator<Item = GroupPart<'a>>,
    hasher: &SipHasher13,
    buffer: &mut Vec<u8>,
) -> u64 {
    buffer.clear();
    buffer.push(GROUP);
    parts.for_each(|part| part.write(buffer));
    hasher.hash(buffer)
}

/// Returns the keyed hash of a rule. Exclusive or joins it with the hashes of a group's values and of its address: no client
/// knows any of them, so none can make two groups equal.
pub(super) fn hash_of_rule(rule: RuleKey, hasher: &SipHasher13) -> u64 {
    let mut bytes = [RULE; 9];
    bytes[1..].copy_from_slice(&rule.0.to_le_bytes());
    hasher.hash(&bytes)
}

/// Returns the keyed hash of a sender.
pub(super) fn hash_of_source(source: SourceIp, hasher: &SipHasher13) -> u64 {
    let (kind, bits) = match source {
        SourceIp::V4(address) => (0, u64::from(address.to_bits())),
        SourceIp::V6Net(upper) => (1, upper),
    };
    let mut bytes = [SOURCE; 10];
    bytes[1] = kind;
    bytes[2..].copy_from_slice(&bits.to_le_bytes());
    hasher.hash(&bytes)
}

/// Returns a field's one value as text.
pub(super) fn text_of<'a>(value: &FieldValue<'a>) -> Option<Cow<'a, str>> {
    match value {
        FieldValue::Text(text) => Some((*text).into()),
        FieldValue::Owned(text) => Some(text.clone().into()),
        FieldValue::Number(number) => Some(number.to_string().into()),
        FieldValue::Bool(fact) => Some(fact.to_string().into()),
        FieldValue::Missing | FieldValue::Texts(_) => None,
    }
}
