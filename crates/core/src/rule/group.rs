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

/// A [`GroupValue`] that lends its text: most requests are of a group that is known.
pub(super) enum GroupPart<'a> {
    Address(SourceIp),
    Text(Cow<'a, str>),
    Missing,
}

impl<'a> GroupPart<'a> {
    /// Writes what distinguishes it from every other part.
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            GroupPart::Missing => to.push(0),
            GroupPart::Address(SourceIp::V4(address)) => {
                to.push(1);
                to.extend(address.octets());
            }
            GroupPart::Address(SourceIp::V6Net(upper)) => {
                to.push(2);
                to.extend(upper.to_le_bytes());
            }
            GroupPart::Text(text) => {
                to.push(3);
                to.extend((text.len() as u64).to_le_bytes());
                to.extend(text.as_bytes());
            }
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

impl<'a> From<&'a GroupValue> for GroupPart<'a> {
    fn from(value: &'a GroupValue) -> GroupPart<'a> {
        match value {
            GroupValue::Address(source) => GroupPart::Address(*source),
            GroupValue::Text(text) => GroupPart::Text(text.into()),
            GroupValue::Missing => GroupPart::Missing,
        }
    }
}

impl From<GroupPart<'_>> for GroupValue {
    fn from(part: GroupPart<'_>) -> GroupValue {
        match part {
            GroupPart::Address(source) => GroupValue::Address(source),
            GroupPart::Text(text) => GroupValue::Text(text.into_owned()),
            GroupPart::Missing => GroupValue::Missing,
        }
    }
}

/// Returns the keyed hash of a group, or `None` where a part of it is an address that the request does not name. `buffer`
/// is scratch space.
pub(super) fn hash_of<'a>(
    parts: impl Iterator<Item = Option<GroupPart<'a>>>,
    hasher: &SipHasher13,
    buffer: &mut Vec<u8>,
) -> Option<u64> {
    buffer.clear();
    buffer.push(GROUP);
    for part in parts {
        part?.write(buffer);
    }
    Some(hasher.hash(buffer))
}

/// Returns the keyed hash of a rule. Exclusive or joins it with the hash of a group: no client knows either, so none can
/// make two pairs of rule and group equal.
pub(super) fn hash_of_rule(rule: RuleKey, hasher: &SipHasher13) -> u64 {
    let mut bytes = [RULE; 9];
    bytes[1..].copy_from_slice(&rule.0.to_le_bytes());
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
