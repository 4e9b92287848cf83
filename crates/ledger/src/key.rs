//! The keys of everything that is stored: a letter for the kind, a body of fixed width, the number of the chunk.
//!
//! Numbers are big-endian, so that keys sort like the things that they name. No key holds text, and what an attacker
//! wrote is hashed with the secret key of the ledger: nobody can choose where something is stored. No key is longer than
//! 22 bytes, which sled keeps without an allocation of their own.

use std::ops::{Bound, Range};

use stakeout_core::delivery::DeliveryId;
use stakeout_core::novelty::SeenKey;
use stakeout_core::rule::HeadKey;
use stakeout_core::source::SourceId;
use stakeout_core::time::{Minute, Second};

/// Flips the sign bit, so that times before 1970 come before those after.
const SIGN: u64 = 1 << 63;
const HOUR_SIGN: u32 = 1 << 31;
/// The minute of an hour at which a record of rows begins: the windows of the default schedule begin there too, so one
/// window writes one record.
const HOUR_BEGINS_BEFORE: i64 = 10;

/// The beginning of the keyed hash of an actor: of the source address of a group, or of the whole group where it has none.
/// Actors that share it share their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowActor(pub(crate) u64);

/// An hour of record time, which begins at minute 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(i32);

impl Hour {
    /// Returns the hour of a minute. Hours that do not fit in 32 bits, hundreds of thousands of years from now, are one.
    pub(crate) fn of(minute: Minute) -> Hour {
        let hour = minute.0.saturating_add(HOUR_BEGINS_BEFORE).div_euclid(60);
        Hour(i32::try_from(hour).unwrap_or(if hour < 0 { i32::MIN } else { i32::MAX }))
    }

    /// Returns its number; hour 0 begins ten minutes before 1970.
    pub(crate) fn number(self) -> i32 {
        self.0
    }

    /// Returns the hour with this number.
    pub(crate) fn from_number(number: i32) -> Hour {
        Hour(number)
    }

    /// The first hour, and the last.
    pub(crate) const MIN: Hour = Hour(i32::MIN);
    pub(crate) const MAX: Hour = Hour(i32::MAX);

    /// Returns the hours from this one to `last`, both included.
    pub(crate) fn to(self, last: Hour) -> impl Iterator<Item = Hour> {
        (self.0..=last.0).map(Hour)
    }

    /// Returns the first minute of the hour.
    pub(crate) fn begin(self) -> Minute {
        Minute(i64::from(self.0) * 60 - HOUR_BEGINS_BEFORE)
    }

    /// Returns the first minute after the hour.
    pub(crate) fn end(self) -> Minute {
        Minute((i64::from(self.0) + 1) * 60 - HOUR_BEGINS_BEFORE)
    }
}

/// The key of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The version of this layout. Its own key and encoding stay the same in every version.
    Format,
    /// The key of the hash that chooses samples and hides what keys are made of.
    Hash,
    /// The numbers of everything; the last record of each batch.
    Totals,
    /// How far a source is read.
    Progress(SourceId),
    /// The rows of an actor in an hour of a source. The hour comes first, so that new rows are written side by side, and
    /// the oldest are deleted side by side.
    Rows(Hour, SourceId, RowActor),
    /// Says that an actor has rows in an hour of a source.
    RowsOfActor(RowActor, Hour, SourceId),
    /// The metadata of a rule.
    RuleMeta(HeadKey),
    /// A finding.
    Finding(FindingId),
    /// Says that a group of an actor has a finding, by the beginnings of their hashes.
    FindingOfActor(u32, u32, FindingId),
    /// Says which findings decide about the incidents of an actor, by its keyed hash.
    FindingOfIncident(u64, FindingId),
    /// Says when the quiet time of an open finding is over, and since when the incident of a closed one is.
    FindingDue(FindingState, Second, FindingId),
    /// A group that waits until a second, by the keyed hash of its rule and group.
    Waiting(Second, u64),
    /// The days on which a group or a cluster was seen.
    Seen(SeenKey),
    /// What a destination shows of an incident, by the keyed hashes of both.
    Shown(IncidentHash, DestinationHash),
    /// A pending delivery.
    Delivery(DeliveryId),
}

/// The keyed hash of a finding's key. The key itself is a hash without a secret, so somebody could search for two findings
/// whose keys begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FindingId(pub(crate) u64);

/// The keyed hash of an incident's key, which anybody can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IncidentHash(pub(crate) u64);

/// The keyed hash of the name of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DestinationHash(pub(crate) u64);

/// Whether a stored finding goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FindingState {
    Closed = 0,
    Open = 1,
}

impl FindingId {
    pub(crate) const MIN: FindingId = FindingId(0);
    pub(crate) const MAX: FindingId = FindingId(u64::MAX);
}

/// Keys of one kind that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    /// Where it begins.
    pub(crate) first: Bound<Key>,
    /// The last key, which belongs to it.
    pub(crate) last: Key,
}

impl KeyRange {
    /// Returns the stored keys of all chunks. The range is never backwards.
    pub(crate) fn chunks(&self) -> Range<Vec<u8>> {
        let first = match self.first {
            Bound::Included(first) => first.body(),
            Bound::Excluded(before) => before.chunks_from(0).end,
            Bound::Unbounded => vec![self.last.letter()],
        };
        first.clone()..self.last.chunks_from(0).end.max(first)
    }
}

impl Key {
    /// Returns the key without the chunk's number.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = vec![self.letter()];
        match self {
            Key::Format | Key::Hash | Key::Totals => {}
            Key::Progress(source) => body.extend(source.0.to_be_bytes()),
            Key::Rows(hour, source, actor) => {
                body.extend(hour_bytes(*hour));
                body.extend(source.0.to_be_bytes());
                body.extend(actor.0.to_be_bytes());
            }
            Key::RowsOfActor(actor, hour, source) => {
                body.extend(actor.0.to_be_bytes());
                body.extend(hour_bytes(*hour));
                body.extend(source.0.to_be_bytes());
            }
            Key::RuleMeta(rule) => body.extend(rule.0.to_be_bytes()),
            Key::Finding(finding) => body.extend(finding.0.to_be_bytes()),
            Key::FindingOfActor(actor, group, finding) => {
                body.extend(actor.to_be_bytes());
                body.extend(group.to_be_bytes());
                body.extend(finding.0.to_be_bytes());
            }
            Key::FindingOfIncident(actor, finding) => {
                body.extend(actor.to_be_bytes());
                body.extend(finding.0.to_be_bytes());
            }
            Key::FindingDue(state, at, finding) => {
                body.push(*state as u8);
                body.extend((at.0.cast_unsigned() ^ SIGN).to_be_bytes());
                body.extend(finding.0.to_be_bytes());
            }
            Key::Waiting(until, group) => {
                body.extend((until.0.cast_unsigned() ^ SIGN).to_be_bytes());
                body.extend(group.to_be_bytes());
            }
            Key::Seen(group) => body.extend(group.0.to_be_bytes()),
            Key::Shown(incident, destination) => {
                body.extend(incident.0.to_be_bytes());
                body.extend(destination.0.to_be_bytes());
            }
            Key::Delivery(delivery) => body.extend(delivery.0.to_be_bytes()),
        }
        body
    }

    /// Returns the key of one chunk.
    pub(crate) fn chunk(&self, number: u16) -> Vec<u8> {
        let mut key = self.body();
        key.extend(number.to_be_bytes());
        key
    }

    /// Returns the keys of all chunks from `number` on.
    pub(crate) fn chunks_from(&self, number: u16) -> Range<Vec<u8>> {
        let mut end = self.chunk(u16::MAX);
        end.push(0);
        self.chunk(number)..end
    }

    /// A key of each kind, in the order of the kinds.
    pub(crate) const KINDS: [Key; 13] = [
        Key::RowsOfActor(RowActor(0), Hour::MIN, SourceId(0)),
        Key::Delivery(DeliveryId(0)),
        Key::Finding(FindingId::MIN),
        Key::FindingOfActor(0, 0, FindingId::MIN),
        Key::RuleMeta(HeadKey(0)),
        Key::FindingOfIncident(0, FindingId::MIN),
        Key::Seen(SeenKey(0)),
        Key::Progress(SourceId(0)),
        Key::FindingDue(FindingState::Closed, Second(i64::MIN), FindingId::MIN),
        Key::Rows(Hour::MIN, SourceId(0), RowActor(0)),
        Key::Shown(IncidentHash(0), DestinationHash(0)),
        Key::Totals,
        Key::Waiting(Second(i64::MIN), 0),
    ];

    /// Returns whether values are stored under keys of this kind. The others say by being there what there is to say.
    pub(crate) fn has_value(&self) -> bool {
        !matches!(
            self,
            Key::RowsOfActor(..) | Key::FindingOfActor(..) | Key::FindingOfIncident(..) | Key::FindingDue(..)
        )
    }

    /// Returns the keys of everything of the same kind.
    pub(crate) fn kind(&self) -> KeyRange {
        let (first, last) = match self {
            Key::Format | Key::Hash | Key::Totals => (*self, *self),
            Key::Progress(_) => (Key::Progress(SourceId(0)), Key::Progress(SourceId(u32::MAX))),
            Key::Rows(..) => (
                Key::Rows(Hour::MIN, SourceId(0), RowActor(0)),
                Key::Rows(Hour::MAX, SourceId(u32::MAX), RowActor(u64::MAX)),
            ),
            Key::RowsOfActor(..) => (
                Key::RowsOfActor(RowActor(0), Hour::MIN, SourceId(0)),
                Key::RowsOfActor(RowActor(u64::MAX), Hour::MAX, SourceId(u32::MAX)),
            ),
            Key::RuleMeta(_) => (Key::RuleMeta(HeadKey(0)), Key::RuleMeta(HeadKey(u64::MAX))),
            Key::Finding(_) => (Key::Finding(FindingId::MIN), Key::Finding(FindingId::MAX)),
            Key::FindingOfActor(..) => {
                (Key::FindingOfActor(0, 0, FindingId::MIN), Key::FindingOfActor(u32::MAX, u32::MAX, FindingId::MAX))
            }
            Key::FindingOfIncident(..) => {
                (Key::FindingOfIncident(0, FindingId::MIN), Key::FindingOfIncident(u64::MAX, FindingId::MAX))
            }
            Key::FindingDue(..) => (
                Key::FindingDue(FindingState::Closed, Second(i64::MIN), FindingId::MIN),
                Key::FindingDue(FindingState::Open, Second(i64::MAX), FindingId::MAX),
            ),
            Key::Waiting(..) => (Key::Waiting(Second(i64::MIN), 0), Key::Waiting(Second(i64::MAX), u64::MAX)),
            Key::Seen(_) => (Key::Seen(SeenKey(0)), Key::Seen(SeenKey(u64::MAX))),
            Key::Shown(..) => (
                Key::Shown(IncidentHash(0), DestinationHash(0)),
                Key::Shown(IncidentHash(u64::MAX), DestinationHash(u64::MAX)),
            ),
            Key::Delivery(_) => (Key::Delivery(DeliveryId(0)), Key::Delivery(DeliveryId(u64::MAX))),
        };
        first.to(last)
    }

    /// Returns the keys from this one to `last`, which is of the same kind, both included.
    pub(crate) fn to(self, last: Key) -> KeyRange {
        KeyRange { first: Bound::Included(self), last }
    }

    /// Returns the keys of the same kind that come after this one.
    pub(crate) fn and_later(self) -> KeyRange {
        KeyRange { first: Bound::Excluded(self), ..self.kind() }
    }

    /// Returns the keys of all rows of a source in an hour.
    pub(crate) fn rows_of_source(hour: Hour, source: SourceId) -> KeyRange {
        Key::Rows(hour, source, RowActor(0)).to(Key::Rows(hour, source, RowActor(u64::MAX)))
    }

    /// Returns the keys that say where an actor has rows from the first to the last hour, both included.
    pub(crate) fn hours_of_actor(actor: RowActor, first: Hour, last: Hour) -> KeyRange {
        Key::RowsOfActor(actor, first, SourceId(0)).to(Key::RowsOfActor(actor, last, SourceId(u32::MAX)))
    }

    /// Returns the keys that say which findings an actor has.
    pub(crate) fn findings_of_actor(actor: u32) -> KeyRange {
        Key::FindingOfActor(actor, 0, FindingId::MIN).to(Key::FindingOfActor(actor, u32::MAX, FindingId::MAX))
    }

    /// Returns the keys that say which findings decide about the incidents of an actor.
    pub(crate) fn findings_of_incidents(actor: u64) -> KeyRange {
        Key::FindingOfIncident(actor, FindingId::MIN).to(Key::FindingOfIncident(actor, FindingId::MAX))
    }

    /// Returns the keys that say which findings in this state are due from `from` on and before `before`.
    pub(crate) fn findings_due(state: FindingState, from: Second, before: Second) -> KeyRange {
        let first = Key::FindingDue(state, from, FindingId::MIN);
        first.to(Key::FindingDue(state, before.plus(-1), FindingId::MAX))
    }

    /// Returns the keys of what destinations show of an incident.
    pub(crate) fn shown_of(incident: IncidentHash) -> KeyRange {
        Key::Shown(incident, DestinationHash(0)).to(Key::Shown(incident, DestinationHash(u64::MAX)))
    }

    /// Parses a stored key into the key of the value and the number of the chunk.
    pub(crate) fn parse(stored: &[u8]) -> Option<(Key, u16)> {
        let (letter, rest) = stored.split_first()?;
        let (body, chunk) = rest.split_last_chunk()?;
        let mut parts = Parts(body);
        let key = match letter {
            b'v' => Key::Format,
            b'k' => Key::Hash,
            b't' => Key::Totals,
            b'p' => Key::Progress(SourceId(parts.u32()?)),
            b'r' => Key::Rows(parts.hour()?, SourceId(parts.u32()?), RowActor(parts.u64()?)),
            b'a' => Key::RowsOfActor(RowActor(parts.u64()?), parts.hour()?, SourceId(parts.u32()?)),
            b'h' => Key::RuleMeta(HeadKey(parts.u64()?)),
            b'f' => Key::Finding(FindingId(parts.u64()?)),
            b'g' => Key::FindingOfActor(parts.u32()?, parts.u32()?, FindingId(parts.u64()?)),
            b'i' => Key::FindingOfIncident(parts.u64()?, FindingId(parts.u64()?)),
            b'q' => {
                let state = match parts.take::<1>()? {
                    [0] => FindingState::Closed,
                    [1] => FindingState::Open,
                    _ => return None,
                };
                Key::FindingDue(state, Second((parts.u64()? ^ SIGN).cast_signed()), FindingId(parts.u64()?))
            }
            b'w' => Key::Waiting(Second((parts.u64()? ^ SIGN).cast_signed()), parts.u64()?),
            b'n' => Key::Seen(SeenKey(parts.u64()?)),
            b's' => Key::Shown(IncidentHash(parts.u64()?), DestinationHash(parts.u64()?)),
            b'd' => Key::Delivery(DeliveryId(parts.u64()?)),
            _ => return None,
        };
        parts.0.is_empty().then_some((key, u16::from_be_bytes(*chunk)))
    }

    /// Returns what the keys that begin with `letter` name, in words.
    pub(crate) fn kind_name(letter: u8) -> &'static str {
        match letter {
            b'p' => "progress",
            b'r' => "rows",
            b'a' => "rows by actor",
            b'h' => "rules",
            b'f' => "findings",
            b'g' => "findings by actor",
            b'i' => "findings by incident",
            b'q' => "findings by end",
            b'w' => "waiting groups",
            b'n' => "days of groups",
            b's' => "shown incidents",
            b'd' => "deliveries",
            _ => "other",
        }
    }

    /// Returns the first byte of all keys of the kind.
    pub(crate) fn letter(&self) -> u8 {
        match self {
            Key::Format => b'v',
            Key::Hash => b'k',
            Key::Totals => b't',
            Key::Progress(_) => b'p',
            Key::Rows(..) => b'r',
            Key::RowsOfActor(..) => b'a',
            Key::RuleMeta(_) => b'h',
            Key::Finding(_) => b'f',
            Key::FindingOfActor(..) => b'g',
            Key::FindingOfIncident(..) => b'i',
            Key::FindingDue(..) => b'q',
            Key::Waiting(..) => b'w',
            Key::Seen(_) => b'n',
            Key::Shown(..) => b's',
            Key::Delivery(_) => b'd',
        }
    }
}

fn hour_bytes(hour: Hour) -> [u8; 4] {
    (hour.0.cast_unsigned() ^ HOUR_SIGN).to_be_bytes()
}

/// The rest of a body that is being parsed.
struct Parts<'b>(&'b [u8]);

impl Parts<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*part)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn hour(&mut self) -> Option<Hour> {
        Some(Hour((self.u32()? ^ HOUR_SIGN).cast_signed()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn keys() -> impl Strategy<Value = Key> {
        let state = prop_oneof![Just(FindingState::Open), Just(FindingState::Closed)];
        prop_oneof![
            Just(Key::Format),
            Just(Key::Hash),
            Just(Key::Totals),
            any::<u32>().prop_map(|n| Key::Progress(SourceId(n))),
            any::<(i32, u32, u64)>().prop_map(|(h, s, a)| Key::Rows(Hour(h), SourceId(s), RowActor(a))),
            any::<(i32, u32, u64)>().prop_map(|(h, s, a)| Key::RowsOfActor(RowActor(a), Hour(h), SourceId(s))),
            any::<u64>().prop_map(|n| Key::RuleMeta(HeadKey(n))),
            any::<u64>().prop_map(|n| Key::Finding(FindingId(n))),
            any::<(u32, u32, u64)>().prop_map(|(a, g, f)| Key::FindingOfActor(a, g, FindingId(f))),
            any::<(u64, u64)>().prop_map(|(a, f)| Key::FindingOfIncident(a, FindingId(f))),
            (state, any::<i64>(), any::<u64>()).prop_map(|(s, at, f)| Key::FindingDue(s, Second(at), FindingId(f))),
            any::<(i64, u64)>().prop_map(|(until, group)| Key::Waiting(Second(until), group)),
            any::<u64>().prop_map(|n| Key::Seen(SeenKey(n))),
            any::<(u64, u64)>().prop_map(|(i, d)| Key::Shown(IncidentHash(i), DestinationHash(d))),
            any::<u64>().prop_map(|n| Key::Delivery(DeliveryId(n))),
        ]
    }

    proptest! {
        #[test]
        fn a_key_round_trips_and_is_short(key in keys(), chunk: u16) {
            let stored = key.chunk(chunk);
            prop_assert_eq!(Key::parse(&stored), Some((key, chunk)));
            prop_assert!(key.chunks_from(chunk).contains(&stored) && key.kind().chunks().contains(&stored));
            prop_assert!(stored.len() <= 22);
        }

        #[test]
        fn hours_and_times_sort_before_and_after_1970(a: (i32, u32, u64), b: (i32, u32, u64), c: i64, d: i64) {
            let stored = |(hour, source, actor)| Key::Rows(Hour(hour), SourceId(source), RowActor(actor)).chunk(0);
            prop_assert_eq!(a.cmp(&b), stored(a).cmp(&stored(b)));
            let due = |at| Key::FindingDue(FindingState::Open, Second(at), FindingId(0)).chunk(0);
            prop_assert_eq!(c.cmp(&d), due(c).cmp(&due(d)));
        }

        #[test]
        fn an_hour_holds_its_minutes(minute in any::<i64>()) {
            let hour = Hour::of(Minute(minute));
            if hour.0 != i32::MIN && hour.0 != i32::MAX {
                prop_assert!(Minute(minute) < hour.end() && minute >= hour.end().0 - 60);
            }
        }

        #[test]
        fn ranges_hold_what_they_name(hour: i32, source: u32, actor: u64, group: u32, chunk: u16) {
            let (hour, source, actor) = (Hour(hour), SourceId(source), RowActor(actor));
            prop_assert!(Key::rows_of_source(hour, source).chunks().contains(&Key::Rows(hour, source, actor).chunk(chunk)));
            prop_assert!(Key::hours_of_actor(actor, hour, hour).chunks().contains(&Key::RowsOfActor(actor, hour, source).chunk(chunk)));
            let finding = Key::FindingOfActor(source.0, group, FindingId(actor.0));
            prop_assert!(Key::findings_of_actor(source.0).chunks().contains(&finding.chunk(chunk)));
            let finding = Key::FindingOfIncident(actor.0, FindingId(u64::from(group)));
            prop_assert!(Key::findings_of_incidents(actor.0).chunks().contains(&finding.chunk(chunk)));
            let (incident, destination) = (IncidentHash(actor.0), DestinationHash(u64::from(group)));
            prop_assert!(Key::shown_of(incident).chunks().contains(&Key::Shown(incident, destination).chunk(chunk)));
        }

        #[test]
        fn parsing_arbitrary_bytes_never_panics(stored: Vec<u8>) {
            if let Some((key, chunk)) = Key::parse(&stored) {
                prop_assert_eq!(key.chunk(chunk), stored);
            }
        }
    }
}
