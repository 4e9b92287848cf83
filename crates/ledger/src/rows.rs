//! The encoding of rows and findings: postcard, with the length of each row before it.
//!
//! A reader skips the counts and samples of groups that it does not need without decoding them, and holds one row at a
//! time. Postcard names no fields: a change of `CountKey`, `Tally`, `Sample` or `Finding`
//! is a new format of the ledger.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stakeout_core::finding::Finding;
use stakeout_core::group::CountKey;
use stakeout_core::rule::HeadKey;
use stakeout_core::tally::Rows;

use crate::chunk::{ChunkWriter, StoredValue};
use crate::error::{LedgerError, Result};

/// Bytes of the length before each row (u32, little-endian).
const LENGTH_BYTES: usize = 4;

/// Appends `rows` to a value.
pub(crate) fn write(rows: &Rows, value: &mut ChunkWriter<'_>) -> Result<()> {
    let mut row = Vec::new();
    for (key, tally) in rows {
        row.clear();
        encode(key, &mut row)?;
        encode(tally, &mut row)?;
        let length = u32::try_from(row.len()).map_err(|_| LedgerError::refused("a row is longer than 4 GiB"))?;
        value.write(&length.to_le_bytes())?;
        value.write(&row)?;
    }
    Ok(())
}

/// Appends `part` to `row`.
pub(crate) fn encode(part: &impl Serialize, row: &mut Vec<u8>) -> Result<()> {
    postcard::to_io(part, row)
        .map(|_| ())
        .map_err(|error| LedgerError::refused(format!("a row or finding cannot be encoded: {error}")))
}

/// Reads the rows that `keep` accepts, and verifies the value.
///
/// `keep` may see a damaged key; its row is never returned.
pub(crate) fn read(mut value: StoredValue<'_>, keep: &mut impl FnMut(&CountKey) -> bool) -> Result<Rows> {
    let mut rows = Rows::new();
    let mut bytes = Vec::new();
    while value.bytes_left() > 0 {
        value.read(LENGTH_BYTES, &mut bytes)?;
        let length = bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        value.read(length, &mut bytes)?;
        let (key, tally) = parse(&value, &bytes)?;
        if keep(&key) {
            let (tally, rest) = parse(&value, tally)?;
            if !rest.is_empty() || rows.insert(key, tally).is_some() {
                return Err(value.damaged("has a malformed row"));
            }
        }
    }
    value.finish()?;
    Ok(rows)
}

/// Reads a finding, and verifies the value.
pub(crate) fn read_finding(value: StoredValue<'_>) -> Result<Finding<HeadKey>> {
    let key = value.key();
    let bytes = value.into_bytes()?;
    match postcard::take_from_bytes(&bytes) {
        Ok((finding, [])) => Ok(finding),
        _ => Err(LedgerError::damaged(format!("{key:?} cannot be read"))),
    }
}

fn parse<'b, T: DeserializeOwned>(value: &StoredValue<'_>, bytes: &'b [u8]) -> Result<(T, &'b [u8])> {
    postcard::take_from_bytes(bytes).map_err(|error| value.damaged(&format!("has a row that cannot be read: {error}")))
}
