//! The keys of everything that is stored: a letter for the kind, a body of fixed width, the number of the chunk.
//!
//! IdAllocator are big-endian, so that the order of keys is the order of what they name. No key holds a text: what an
//! attacker writes cannot choose where it is stored.

use std::ops::Range;

use stakeout_core::delivery::DeliveryId;
use stakeout_core::finding::FindingKey;
use stakeout_core::rule::HeadKey;
use stakeout_core::source::SourceId;
use stakeout_core::time::Minute;

/// Flips the sign bit of a minute, so that minutes before 1970 come before those after.
const SIGN: u64 = 1 << 63;

/// What a value is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The version of this layout. Its own key and spelling stay as they are in every version.
    Format,
    /// The key of the hash that chooses samples.
    Sampling,
    /// The number of the next delivery.
    NextDelivery,
    /// How many batches were written: the last thing in each of them.
    Writes,
    /// How far a source is read.
    Progress(SourceId),
    /// The rows of a minute of a source. The minute comes first, because both that ask for minutes (a window's
    /// neighbourhood, the oldest) want those of all sources: each is one scan in ascending order.
    Minute(Minute, SourceId),
    /// What is shown of a rule.
    Head(HeadKey),
    /// A finding.
    Finding(FindingKey),
    /// What a destination is owed.
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
            Key::Head(head) => body.extend(head.0.to_be_bytes()),
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

    /// Returns what a stored key spells, with the number of the chunk.
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
            b'h' => Key::Head(HeadKey(u64::from_be_bytes(body.try_into().ok()?))),
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
            Key::Head(_) => b'h',
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
            any::<u64>().prop_map(|n| Key::Head(HeadKey(n))),
            any::<u128>().prop_map(|n| Key::Finding(FindingKey(n))),
            any::<u64>().prop_map(|n| Key::Delivery(DeliveryId(n))),
        ]
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(key in keys(), chunk: u16) {
            let stored = key.chunk(chunk);
            prop_assert_eq!(Key::parse(&stored), Some((key, chunk)));
            prop_assert!(key.chunks_from(chunk).contains(&stored) && key.kind().contains(&stored));
        }

        #[test]
        fn minutes_lie_in_order_before_and_after_1970(a: (i64, u32, u16), b: (i64, u32, u16)) {
            let stored = |(minute, source, chunk): (i64, u32, u16)| {
                Key::Minute(Minute(minute), SourceId(source)).chunk(chunk)
            };
            prop_assert_eq!(a.cmp(&b), stored(a).cmp(&stored(b)));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(stored: Vec<u8>) {
            if let Some((key, chunk)) = Key::parse(&stored) {
                prop_assert_eq!(key.chunk(chunk), stored);
            }
        }
    }
}
