//! The keys of everything that is stored: a letter for the kind, a body of fixed width, the number of the chunk.
//!
//! Numbers are big-endian, so that keys sort like the things that they name. No key holds text: an attacker cannot
//! choose where something is stored.

use std::ops::Range;

use stakeout_core::delivery::DeliveryId;
use stakeout_core::finding::FindingKey;
use stakeout_core::rule::HeadKey;
use stakeout_core::source::SourceId;
use stakeout_core::time::Minute;

/// Flips the sign bit of a minute, so that minutes before 1970 come before those after.
const SIGN: u64 = 1 << 63;

/// The key of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The version of this layout. Its own key and encoding stay the same in every version.
    Format,
    /// The key of the hash that chooses samples.
    Sampling,
    /// The id of the next delivery.
    NextDelivery,
    /// How many batches were written; the last record of each batch.
    Writes,
    /// How far a source is read.
    Progress(SourceId),
    /// The rows of a minute of a source. The minute comes first, because both reads of minutes (around a window, and
    /// the oldest) want those of all sources: each is one scan in ascending order.
    Minute(Minute, SourceId),
    /// The metadata of a rule.
    RuleMeta(HeadKey),
    /// A finding.
    Finding(FindingKey),
    /// A pending delivery.
    Delivery(DeliveryId),
}

impl Key {
    /// Returns the key without the chunk's number.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = vec![self.letter()];
        match self {
            Key::Format | Key::Sampling | Key::NextDelivery | Key::Writes => {}
            Key::Progress(source) => body.extend(source.0.to_be_bytes()),
            Key::Minute(minute, source) => {
                body.extend((minute.0.cast_unsigned() ^ SIGN).to_be_bytes());
                body.extend(source.0.to_be_bytes());
            }
            Key::RuleMeta(rule) => body.extend(rule.0.to_be_bytes()),
            Key::Finding(finding) => body.extend(finding.0.to_be_bytes()),
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

    /// Returns the keys of everything of the same kind.
    pub(crate) fn kind(&self) -> Range<Vec<u8>> {
        vec![self.letter()]..vec![self.letter() + 1]
    }

    /// Returns the keys of all minutes in `[earliest, latest_exclusive)`, or `None` where that holds none.
    pub(crate) fn minutes(earliest: Minute, latest_exclusive: Minute) -> Option<Range<Vec<u8>>> {
        let begin = |minute| Key::Minute(minute, SourceId(0)).body();
        (earliest < latest_exclusive).then(|| begin(earliest)..begin(latest_exclusive))
    }

    /// Parses a stored key into the key of the value and the number of the chunk.
    pub(crate) fn parse(stored: &[u8]) -> Option<(Key, u16)> {
        let (letter, rest) = stored.split_first()?;
        let (body, chunk) = rest.split_last_chunk()?;
        let key = match letter {
            b'v' if body.is_empty() => Key::Format,
            b'k' if body.is_empty() => Key::Sampling,
            b'n' if body.is_empty() => Key::NextDelivery,
            b'w' if body.is_empty() => Key::Writes,
            b'p' => Key::Progress(SourceId(u32::from_be_bytes(body.try_into().ok()?))),
            b'm' => {
                let (minute, source) = body.split_first_chunk()?;
                let minute = (u64::from_be_bytes(*minute) ^ SIGN).cast_signed();
                let source = u32::from_be_bytes(source.try_into().ok()?);
                Key::Minute(Minute(minute), SourceId(source))
            }
            b'h' => Key::RuleMeta(HeadKey(u64::from_be_bytes(body.try_into().ok()?))),
            b'f' => Key::Finding(FindingKey(u128::from_be_bytes(body.try_into().ok()?))),
            b'd' => Key::Delivery(DeliveryId(u64::from_be_bytes(body.try_into().ok()?))),
            _ => return None,
        };
        Some((key, u16::from_be_bytes(*chunk)))
    }

    fn letter(&self) -> u8 {
        match self {
            Key::Format => b'v',
            Key::Sampling => b'k',
            Key::NextDelivery => b'n',
            Key::Writes => b'w',
            Key::Progress(_) => b'p',
            Key::Minute(..) => b'm',
            Key::RuleMeta(_) => b'h',
            Key::Finding(_) => b'f',
            Key::Delivery(_) => b'd',
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = Key> {
        prop_oneof![
            Just(Key::Format),
            Just(Key::Sampling),
            Just(Key::NextDelivery),
            Just(Key::Writes),
            any::<u32>().prop_map(|n| Key::Progress(SourceId(n))),
            (any::<i64>(), any::<u32>()).prop_map(|(m, s)| Key::Minute(Minute(m), SourceId(s))),
            any::<u64>().prop_map(|n| Key::RuleMeta(HeadKey(n))),
            any::<u128>().prop_map(|n| Key::Finding(FindingKey(n))),
            any::<u64>().prop_map(|n| Key::Delivery(DeliveryId(n))),
        ]
    }

    proptest! {
        #[test]
        fn a_key_round_trips(key in keys(), chunk: u16) {
            let stored = key.chunk(chunk);
            prop_assert_eq!(Key::parse(&stored), Some((key, chunk)));
            prop_assert!(key.chunks_from(chunk).contains(&stored) && key.kind().contains(&stored));
        }

        #[test]
        fn minutes_sort_before_and_after_1970(a: (i64, u32, u16), b: (i64, u32, u16)) {
            let stored = |(minute, source, chunk): (i64, u32, u16)| {
                Key::Minute(Minute(minute), SourceId(source)).chunk(chunk)
            };
            prop_assert_eq!(a.cmp(&b), stored(a).cmp(&stored(b)));
        }

        #[test]
        fn parsing_arbitrary_bytes_never_panics(stored: Vec<u8>) {
            if let Some((key, chunk)) = Key::parse(&stored) {
                prop_assert_eq!(key.chunk(chunk), stored);
            }
        }
    }
}
