//! Stored findings, and the keys by which they are found: by their actor, and by when their quiet time is over.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::group::GroupKey;
use stakeout_core::hash::HashKey;
use stakeout_core::rule::HeadKey;
use stakeout_core::time::Second;

use crate::deflate::{Deflater, Inflater};
use crate::error::{LedgerError, Result};
use crate::key::{Actor, FindingId, FindingState, Key};
use crate::rows::{encoded, parsed};

/// Bytes of the state (u8) and of the end of the quiet time (i64, little-endian) before the compressed finding.
const HEAD_BYTES: usize = 9;

/// What is known of a stored finding without decompressing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) state: FindingState,
    /// The last second of its quiet time.
    pub(crate) due: Second,
}

impl StoredHead {
    pub(crate) fn of<R>(finding: &Finding<R>) -> StoredHead {
        let is_open = finding.status == FindingStatus::Open;
        StoredHead {
            state: if is_open { FindingState::Open } else { FindingState::Closed },
            due: finding.episode.last.plus(finding.quiet_seconds),
        }
    }

    /// Reads the head of the value of `key`.
    pub(crate) fn read(key: Key, value: &[u8]) -> Result<StoredHead> {
        let head = value.split_first_chunk::<HEAD_BYTES>();
        match head {
            Some(([state @ (0 | 1), due @ ..], _)) => Ok(StoredHead {
                state: if *state == 1 { FindingState::Open } else { FindingState::Closed },
                due: Second(i64::from_le_bytes(*due)),
            }),
            _ => Err(LedgerError::damaged(format!("{key:?} has a malformed beginning"))),
        }
    }

    /// Returns the key that says when the quiet time is over.
    pub(crate) fn due_key(self, finding_id: FindingId) -> Key {
        Key::FindingDue(self.state, self.due, finding_id)
    }
}

/// Returns the value of a finding.
pub(crate) fn write(finding: &Finding<HeadKey>, deflater: &mut Deflater) -> Result<Vec<u8>> {
    let head = StoredHead::of(finding);
    let mut value = vec![head.state as u8];
    value.extend(head.due.0.to_le_bytes());
    deflater.append(&encoded(finding)?, &mut value)?;
    Ok(value)
}

/// Reads the finding in the value of `key`.
pub(crate) fn read(key: Key, value: &[u8], inflater: &mut Inflater) -> Result<Finding<HeadKey>> {
    StoredHead::read(key, value)?;
    let bytes = value.get(HEAD_BYTES..).and_then(|compressed| inflater.read(compressed));
    parsed(key, &bytes.ok_or_else(|| LedgerError::damaged(format!("{key:?} cannot be read")))?)
}

/// Returns the id of the finding with this key.
pub(crate) fn id_of(finding: FindingKey, key: &HashKey) -> FindingId {
    FindingId(keyed_hash(&finding.0.to_be_bytes(), key))
}

/// Bits of the hash of an actor that say where its rows are. The rows of an hour of a log are in at most 4,096 values, so a
/// flood of actors is a batch of few keys: the engine's memory follows their number. An ordinary hour has fewer actors than
/// that, each in a value of its own.
const ACTOR_BITS: u32 = 12;

/// Returns the actor of a group, by whom its rows are stored.
pub(crate) fn actor_of(group: &GroupKey, key: &HashKey) -> Actor {
    Actor(actor_hash(group, key) >> (u64::BITS - ACTOR_BITS))
}

fn actor_hash(group: &GroupKey, key: &HashKey) -> u64 {
    match group.source_ip() {
        Some(source) => keyed_hash(&encoded(&source).unwrap_or_default(), key),
        None => group_hash(group, key),
    }
}

/// Returns the key that says that the actor of `group` has the finding.
pub(crate) fn actor_key<R>(finding: &Finding<R>, key: &HashKey) -> Key {
    let (actor, group) = beginnings(&finding.group, key);
    Key::FindingOfActor(actor, group, id_of(finding.key, key))
}

/// Returns the beginnings of the hashes of the actor of a group, and of the group.
pub(crate) fn beginnings(group: &GroupKey, key: &HashKey) -> (u32, u32) {
    let beginning = |hash: u64| u32::try_from(hash >> 32).unwrap_or(u32::MAX);
    (beginning(actor_hash(group, key)), beginning(group_hash(group, key)))
}

fn group_hash(group: &GroupKey, key: &HashKey) -> u64 {
    keyed_hash(&encoded(group).unwrap_or_default(), key)
}

/// Returns the hash of `bytes` with the secret key.
pub(crate) fn keyed_hash(bytes: &[u8], key: &HashKey) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&key.0);
    hasher.write(bytes);
    hasher.finish()
}
