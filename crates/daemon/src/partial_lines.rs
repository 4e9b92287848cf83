//! Lines that a container runtime wrote in parts: in the format of CRI, or as records of Docker.
//!
//! <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>

use std::mem::take;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use stakeout_core::decode::LINE_BYTES_MAX;

use crate::line_reader::BEGINNING;

/// The first parts of a line of each stream.
#[derive(Debug, Default)]
pub(crate) struct PartialLines {
    stdout: String,
    stderr: String,
}

/// A record of Docker's `json-file` driver. It cuts lines of more than 16 KiB; the last part ends with a line end
/// (<https://docs.docker.com/engine/logging/drivers/json-file/>).
#[derive(Deserialize, Serialize)]
struct DockerRecord {
    log: String,
    stream: String,
    time: String,
}

impl PartialLines {
    /// Takes a line of a log. Returns `None` where it is not a part of a line, `Some(None)` where further parts follow, and
    /// the whole line with the time of its last part.
    pub(crate) fn join(&mut self, line: &str) -> Option<Option<String>> {
        let mut words = line.splitn(4, ' ');
        let (time, stream, tag, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        if !time.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let parts = self.of(stream)?;
        match tag {
            "P" => {
                append(parts, text.trim_end_matches('\r'));
                Some(None)
            }
            _ if parts.is_empty() => None,
            _ => Some(Some(format!("{time} {stream} F {}{text}", take(parts)))),
        }
    }

    /// Takes a record. Returns `None` where it is not a part of an event, else the records that are complete now, with the
    /// time of their last part.
    ///
    /// Other tools write such records too, without a line end: a whole event is no part.
    pub(crate) fn join_record(&mut self, record: &[u8]) -> Option<Vec<String>> {
        if !record.starts_with(b"{\"log\":") && !record.starts_with(b"{\"log\": ") {
            return None;
        }
        let mut record: DockerRecord = serde_json::from_slice(record).ok()?;
        let parts = self.of(&record.stream)?;
        let is_ended = record.log.ends_with('\n');
        let begins = record.log.as_bytes().starts_with(BEGINNING);
        if parts.is_empty() {
            if !begins || is_ended || is_whole(&record.log) {
                return None;
            }
            append(parts, &record.log);
            return Some(Vec::new());
        }
        let before = begins.then(|| record.with(take(parts)));
        if is_ended || is_whole(&record.log) || !append(parts, &record.log) {
            record.log.insert_str(0, &take(parts));
            return Some(before.into_iter().chain([record.to_text()]).collect());
        }
        if !is_whole(parts) {
            return Some(before.into_iter().collect());
        }
        record.log = take(parts);
        Some(before.into_iter().chain([record.to_text()]).collect())
    }

    /// Returns the lines whose last part is missing.
    pub(crate) fn rest(&mut self) -> impl Iterator<Item = String> {
        [take(&mut self.stdout), take(&mut self.stderr)].into_iter().filter(|line| !line.is_empty())
    }

    fn of(&mut self, stream: &str) -> Option<&mut String> {
        match stream {
            "stdout" => Some(&mut self.stdout),
            "stderr" => Some(&mut self.stderr),
            _ => None,
        }
    }
}

impl DockerRecord {
    fn with(&self, log: String) -> String {
        DockerRecord { log, stream: self.stream.clone(), time: self.time.clone() }.to_text()
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Adds a part. Returns `false` if the line is too long for it.
fn append(parts: &mut String, part: &str) -> bool {
    let fits = parts.len() + part.len() <= LINE_BYTES_MAX;
    if fits {
        parts.push_str(part);
    }
    fits
}

fn is_whole(text: &str) -> bool {
    text.trim_end().ends_with('}') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}
