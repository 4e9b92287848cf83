//! Stored findings, and the keys by which they are found: by their actor, and by when their quiet time is over.

use std::collections::BTreeSet;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use stakeout_core::address::SourceIp;
use stakeout_core::finding::{Finding, FindingKey, FindingStatus};
use stakeout_core::group::GroupKey;
use stakeout_core::hash::HashKey;
use stakeout_core::incident::Actor;
use stakeout_core::rule::HeadKey;
use stakeout_core::time::Second;

use crate::deflate::{Deflater, Inflater};
use crate::error::{LedgerError, Result};
use crate::key::{FindingId, FindingState, Key, RowActor};
use crate::rows::{encoded, parsed};

/// Bytes of the state (u8) and of when it is due (i64, little-endian) before the finding.
const HEAD_BYTES: usize = 9;

/// What is known of a stored finding without decompressing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) state: FindingState,
    /// The last second of its quiet time, or, of a closed one, since when its incident is quiet.
    pub(crate) due: Second,
}

impl StoredHead {
    pub(crate) fn of<R>(finding: &Finding<R>) -> StoredHead {
        match finding.status {
            FindingStatus::Open => {
                StoredHead { state: FindingState::Open, due: finding.episode.last.plus(finding.quiet_seconds) }
            }
            FindingStatus::Quiet | FindingStatus::MergedInto(_) => {
                StoredHead { state: FindingState::Closed, due: finding.quiet_since() }
            }
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

    /// Returns the key that says when it is due.
    pub(crate) fn due_key(self, finding_id: FindingId) -> Key {
        Key::FindingDue(self.state, self.due, finding_id)
    }
}

/// Returns the value of a finding: its head, the finding without samples and context with the length of that before it, and
/// these, compressed. The crowd of a day has ten thousand findings, each of which is read for every message and without samples.
pub(crate) fn write(mut finding: Finding<HeadKey>, deflater: &mut Deflater) -> Result<Vec<u8>> {
    let head = StoredHead::of(&finding);
    let seen = encoded(&(std::mem::take(&mut finding.evidence), finding.context.take()))?;
    let bare = encoded(&finding)?;
    let length = u32::try_from(bare.len()).map_err(|_| LedgerError::refused("a finding is longer than 4 GiB"))?;
    let mut value = vec![head.state as u8];
    value.extend(head.due.0.to_le_bytes());
    value.extend(length.to_le_bytes());
    value.extend(bare);
    deflater.append(&seen, &mut value)?;
    Ok(value)
}

/// Reads the finding in the value of `key`.
pub(crate) fn read(key: Key, value: &[u8], inflater: &mut Inflater) -> Result<Finding<HeadKey>> {
    let (bare, seen) = parts(key, value)?;
    let seen = inflater.read(seen).ok_or_else(|| LedgerError::damaged(format!("{key:?} cannot be read")))?;
    let (evidence, context) = parsed(key, &seen)?;
    Ok(Finding { evidence, context, ..parsed(key, bare)? })
}

/// Reads the finding in the value of `key` without its samples and context, which are most of it and are compressed.
pub(crate) fn read_bare(key: Key, value: &[u8]) -> Result<Finding<HeadKey>> {
    parsed(key, parts(key, value)?.0)
}

/// Returns the finding without samples and context, and these.
fn parts(key: Key, value: &[u8]) -> Result<(&[u8], &[u8])> {
    StoredHead::read(key, value)?;
    let split = value.get(HEAD_BYTES..).and_then(|rest| {
        let (length, rest) = rest.split_first_chunk()?;
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
    });
    split.ok_or_else(|| LedgerError::damaged(format!("{key:?} is cut")))
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
pub(crate) fn actor_of(group: &GroupKey, key: &HashKey) -> RowActor {
    RowActor(actor_hash(group, key) >> (u64::BITS - ACTOR_BITS))
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

/// Returns the beginning of the hash of a source address as the actor of groups.
pub(crate) fn beginning_of(source: SourceIp, key: &HashKey) -> u32 {
    beginning(keyed_hash(&encoded(&source).unwrap_or_default(), key))
}

/// Returns the beginnings of the hashes of the actor of a group, and of the group.
pub(crate) fn beginnings(group: &GroupKey, key: &HashKey) -> (u32, u32) {
    (beginning(actor_hash(group, key)), beginning(group_hash(group, key)))
}

/// Returns the keys by which incidents find the finding: that of its actor, and those of the few addresses that an account
/// lists. An address has its findings by their group already.
pub(crate) fn incident_keys(finding: &Finding, key: &HashKey) -> BTreeSet<Key> {
    let own = Actor::of(finding);
    let listed = own.few_listed(finding).map(Actor::Address);
    let by_group = finding.source_ip().map(Actor::Address);
    let wanted = listed.chain([own.clone()]).filter(|actor| Some(actor) != by_group.as_ref());
    let id = id_of(finding.key, key);
    wanted.map(|actor| Key::FindingOfIncident(incident_hash(&actor, key), id)).collect()
}

/// Returns the keyed hash of the actor of incidents.
pub(crate) fn incident_hash(actor: &Actor, key: &HashKey) -> u64 {
    keyed_hash(&encoded(actor).unwrap_or_default(), key)
}

fn beginning(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX)
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
