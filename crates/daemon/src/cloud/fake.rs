//! What the demo asks of a cloud's fake. Each cloud implements it in its own file.

use std::io::Read as _;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use stakeout_core::time::Second;

/// A fake of a cloud's service, with the log of one cluster.
pub(crate) trait Fake {
    /// Returns the name for people.
    fn name(&self) -> &'static str;

    /// Returns the address of the fake.
    fn endpoint(&self) -> String;

    /// Returns the source for the demo's config: a list entry in one line.
    fn source(&self) -> String;

    /// Returns how much the fake has answered so far.
    fn served(&self) -> Served;

    /// Puts a recorded scan by kube-hunter into the log, so that it starts at `begin`. Returns the number of records.
    fn add_kube_hunter(&self, begin: Second) -> Result<usize>;

    /// Puts a recorded audit log file into the log, so that it starts at `begin`. Returns the number of records: none
    /// where the cloud has other records.
    fn add_audit_log(&self, _recording: &[u8], _begin: Second) -> Result<usize> {
        Ok(0)
    }
}

/// How much a fake has answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of answers.
    pub(crate) bytes: u64,
    /// Answers.
    pub(crate) answers: u64,
}

/// Returns the text of a recording.
pub(super) fn unpacked(recording: &[u8]) -> Result<String> {
    let mut text = String::new();
    GzDecoder::new(recording).read_to_string(&mut text).context("the recording is damaged")?;
    Ok(text)
}

/// Moves records in time so that the earliest has `begin` under `key`.
pub(super) fn move_to(records: &mut [serde_json::Value], key: &str, begin: Second) -> Result<()> {
    let time = |record: &serde_json::Value| -> Result<i64> {
        let text = record[key].as_str().context("a record without a time")?;
        Ok(text.parse::<Timestamp>()?.as_millisecond())
    };
    let times = records.iter().map(time).collect::<Result<Vec<i64>>>()?;
    let first = times.iter().min().context("the recording is empty")?;
    for (record, at) in records.iter_mut().zip(&times) {
        let moved = Timestamp::from_millisecond(begin.millis() + at - first)?;
        record[key] = serde_json::Value::from(format!("{moved:.3}"));
    }
    Ok(())
}
