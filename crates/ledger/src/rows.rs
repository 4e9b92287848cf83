//! The rows of an actor in an hour of a source, as one value.
//!
//! An actor usually matches several rules with the same requests, so its rows show the same samples: the value has each
//! sample once. Postcard names no fields: a change of `CountKey`, `Tally` or `Sample` is a new format of the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stakeout_core::address::SourceIp;
use stakeout_core::distinct::ValueSeconds;
use stakeout_core::evidence::{Evidence, Sample};
use stakeout_core::group::CountKey;
use stakeout_core::hash::TextHash;
use stakeout_core::names::Names;
use stakeout_core::tally::{SecondCount, Tally};
use stakeout_core::time::{Minute, Second};

use crate::deflate::{Deflater, Inflater};
use crate::error::{LedgerError, Result};
use crate::key::Key;

/// The rows of an actor in an hour of a source.
pub(crate) type ActorRows = BTreeMap<CountKey, BTreeMap<Minute, Tally>>;

#[derive(Serialize, Deserialize)]
struct StoredRows {
    /// The samples of all rows, each once.
    samples: Vec<Arc<Sample>>,
    groups: Vec<(CountKey, Vec<StoredRow>)>,
}

/// A tally whose samples are numbers of samples.
#[derive(Serialize, Deserialize)]
struct StoredRow {
    minute: Minute,
    seconds: Vec<SecondCount>,
    sources: ValueSeconds<SourceIp>,
    texts: ValueSeconds<TextHash>,
    clusters: Names,
    samples: Vec<u32>,
    is_cut: bool,
    late: bool,
}

/// Returns how many rows there are.
pub(crate) fn count(rows: &ActorRows) -> usize {
    rows.values().map(BTreeMap::len).sum()
}

/// Returns the value of `rows`.
pub(crate) fn write(rows: ActorRows, deflater: &mut Deflater) -> Result<Vec<u8>> {
    let mut stored = StoredRows { samples: Vec::new(), groups: Vec::with_capacity(rows.len()) };
    let mut number_of: HashMap<(u32, Second, String), u32> = HashMap::new();
    for (key, minutes) in rows {
        let minutes = minutes.into_iter().map(|(minute, tally)| {
            let is_cut = tally.evidence.is_cut();
            let samples = tally.evidence.into_samples().into_iter().map(|sample| {
                *number_of.entry((sample.rank, sample.at, sample.audit_id.clone())).or_insert_with(|| {
                    stored.samples.push(sample);
                    u32::try_from(stored.samples.len() - 1).unwrap_or(u32::MAX)
                })
            });
            StoredRow {
                minute,
                samples: samples.collect(),
                seconds: tally.seconds,
                sources: tally.sources,
                texts: tally.texts,
                clusters: tally.clusters,
                is_cut,
                late: tally.late,
            }
        });
        let minutes = minutes.collect();
        stored.groups.push((key, minutes));
    }
    let mut value = Vec::new();
    deflater.append(&encoded(&stored)?, &mut value)?;
    Ok(value)
}

/// Reads the rows that `keep` accepts from the value of `key`.
pub(crate) fn read(
    key: Key,
    value: &[u8],
    inflater: &mut Inflater,
    keep: &mut impl FnMut(&CountKey) -> bool,
) -> Result<ActorRows> {
    let damaged = || LedgerError::damaged(format!("{key:?} cannot be read"));
    let bytes = inflater.read(value).ok_or_else(damaged)?;
    let stored: StoredRows = parsed(key, &bytes)?;
    let mut rows = ActorRows::new();
    for (count_key, minutes) in stored.groups {
        if !keep(&count_key) {
            continue;
        }
        let mut tallies = BTreeMap::new();
        for row in minutes {
            let mut evidence = Evidence::default();
            for number in row.samples {
                let sample = stored.samples.get(number as usize).ok_or_else(damaged)?;
                evidence.add(sample.clone(), usize::MAX);
            }
            if row.is_cut {
                evidence.note_more();
            }
            let StoredRow { minute, seconds, sources, texts, clusters, late, .. } = row;
            tallies.insert(minute, Tally { seconds, sources, texts, clusters, evidence, late });
        }
        rows.insert(count_key, tallies);
    }
    Ok(rows)
}

/// Returns the encoded `value`.
pub(crate) fn encoded(value: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| LedgerError::refused(format!("a value cannot be encoded: {error}")))
}

/// Parses the whole of `bytes`, which are stored under `key`.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(key: Key, bytes: &[u8]) -> Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(LedgerError::damaged(format!("{key:?} is too long"))),
        Err(error) => Err(LedgerError::damaged(format!("{key:?} cannot be read: {error}"))),
    }
}
