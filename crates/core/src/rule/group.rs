//! What makes the group of a request: one part for each field that the rule counts by.

use std::borrow::Cow;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::SOURCE_IP;
use crate::address::SourceIp;
use crate::field::{Field, FieldValue};
use crate::group::{GroupKey, GroupValue, RuleKey};
use crate::observation::Observation;
use crate::text::{bounded, bounded_cow};

/// Longest value of a group that is kept, in characters; longer ones share the group of their beginning.
const GROUP_TEXT_CHARS_MAX: usize = 256;

/// A [`GroupValue`] that lends its text: most requests are of a group that is known.
pub(super) enum Part<'a> {
    Address(SourceIp),
    Text(Cow<'a, str>),
    Missing,
}

impl<'a> Part<'a> {
    /// Writes what tells it apart from every other part.
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Part::Missing => to.push(0),
            Part::Address(SourceIp::V4(address)) => {
                to.push(1);
                to.extend(address.octets());
            }
            Part::Address(SourceIp::V6Net(upper)) => {
                to.push(2);
                to.extend(upper.to_le_bytes());
            }
            Part::Text(text) => {
                to.push(3);
                to.extend((text.len() as u64).to_le_bytes());
                to.extend(text.as_bytes());
            }
        }
    }

    /// Returns what the value of a field other than `source_ip` makes.
    pub(super) fn of(value: &FieldValue<'a>) -> Part<'a> {
        match text_of(value) {
            Some(Cow::Borrowed(text)) => Part::Text(bounded_cow(text, GROUP_TEXT_CHARS_MAX)),
            Some(Cow::Owned(text)) => Part::Text(bounded(&text, GROUP_TEXT_CHARS_MAX).into()),
            None => Part::Missing,
        }
    }
}

impl<'a> From<&'a GroupValue> for Part<'a> {
    fn from(value: &'a GroupValue) -> Part<'a> {
        match value {
            GroupValue::Address(source) => Part::Address(*source),
            GroupValue::Text(text) => Part::Text(text.into()),
            GroupValue::Missing => Part::Missing,
        }
    }
}

impl From<Part<'_>> for GroupValue {
    fn from(part: Part<'_>) -> GroupValue {
        match part {
            Part::Address(source) => GroupValue::Address(source),
            Part::Text(text) => GroupValue::Text(text.into_owned()),
            Part::Missing => GroupValue::Missing,
        }
    }
}

/// Returns the group that `fields` make of a request, or `None` where one of them is an address that it does not name.
pub(super) fn group_of(fields: &[Field], observation: &Observation, client: Option<IpAddr>) -> Option<GroupKey> {
    let values = fields.iter().map(|field| match field {
        field if *field == SOURCE_IP => client.map(|client| GroupValue::Address(SourceIp::of(client))),
        field => Some(Part::of(&field.value_of(observation, client)).into()),
    });
    values.collect::<Option<Vec<_>>>().map(GroupKey)
}

/// Returns the keyed hash of a rule and a group, or `None` where a part of it is an address that nobody named. `written`
/// is room for what is hashed.
pub(super) fn hash_of<'a>(
    rule: RuleKey,
    parts: impl Iterator<Item = Option<Part<'a>>>,
    hasher: &SipHasher13,
    written: &mut Vec<u8>,
) -> Option<u64> {
    written.clear();
    written.extend(rule.0.to_le_bytes());
    for part in parts {
        part?.write(written);
    }
    Some(hasher.hash(written))
}

/// Returns a field's one value as text.
pub(super) fn text_of<'a>(value: &FieldValue<'a>) -> Option<Cow<'a, str>> {
    match value {
        FieldValue::Text(text) => Some((*text).into()),
        FieldValue::Made(text) => Some(text.clone().into()),
        FieldValue::Number(number) => Some(number.to_string().into()),
        FieldValue::Fact(fact) => Some(fact.to_string().into()),
        FieldValue::Missing | FieldValue::Texts(_) => None,
    }
}
