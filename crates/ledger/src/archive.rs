//! The archive: findings that are over, which no commit reads. Each engine keeps them in its own way.

use std::sync::Arc;

use stakeout_core::time::Second;

use crate::archived_finding::{ArchivedFinding, FindingHead};
use crate::embedded::{self, ArchiveOrder, ArchivePosition};
use crate::engine::Engine;
use crate::error::Result;
use crate::postgres::{TableArchive, TableFindings, TableReader};

/// The archive of a ledger.
#[derive(Debug)]
pub(crate) enum Archive {
    Files(embedded::Archive),
    Table(TableArchive),
}

impl Archive {
    /// Opens the archive of what `engine` keeps, up to `position`.
    pub(crate) fn open(engine: &Engine, position: ArchivePosition) -> Result<Archive> {
        match engine {
            Engine::Embedded(embedded) => embedded.archive(position).map(Archive::Files),
            Engine::Postgres(store) => Ok(Archive::Table(TableArchive::new(Arc::clone(store), position))),
        }
    }

    /// Appends `findings`, and returns the new end of the archive. They are a part of it when the batch is durable that names
    /// this end.
    pub(crate) fn append(&mut self, findings: &[ArchivedFinding]) -> Result<ArchivePosition> {
        match self {
            Archive::Files(files) => files.append(findings),
            Archive::Table(table) => table.append(findings),
        }
    }

    /// Returns a reader of all that was appended up to now.
    pub(crate) fn reader(&self) -> ArchiveReader {
        match self {
            Archive::Files(files) => ArchiveReader::Files(files.reader()),
            Archive::Table(table) => ArchiveReader::Table(table.reader()),
        }
    }

    /// Deletes findings that ended before `before`, and the oldest ones while the archive takes more than `bytes_max`; some
    /// of both may stay. Returns how many bytes are gone.
    pub(crate) fn expire(&mut self, before: Second, bytes_max: u64) -> Result<u64> {
        match self {
            Archive::Files(files) => Ok(files.expire(before, bytes_max)?.bytes),
            Archive::Table(table) => table.expire(before, bytes_max),
        }
    }

    /// Returns the bytes that the archive takes.
    pub(crate) fn bytes(&self) -> Result<u64> {
        match self {
            Archive::Files(files) => Ok(files.bytes()),
            Archive::Table(table) => table.bytes(),
        }
    }
}

/// The archive as it was when [`Archive::reader`] was called. It needs the engine no more.
#[derive(Debug)]
pub(crate) enum ArchiveReader {
    Files(embedded::ArchiveReader),
    Table(TableReader),
}

impl ArchiveReader {
    /// Returns the findings whose heads `wanted` accepts, in this order of their archiving. What is damaged is an error, and the
    /// others still come.
    pub(crate) fn findings<F: Fn(&FindingHead) -> bool>(self, order: ArchiveOrder, wanted: F) -> ArchiveFindings<F> {
        match self {
            ArchiveReader::Files(files) => ArchiveFindings::Files(files.findings(order, wanted)),
            ArchiveReader::Table(table) => ArchiveFindings::Table(table.findings(order, wanted)),
        }
    }
}

/// Iterates over the findings of an archive.
pub(crate) enum ArchiveFindings<F> {
    Files(embedded::Findings<F>),
    Table(TableFindings<F>),
}

impl<F: Fn(&FindingHead) -> bool> Iterator for ArchiveFindings<F> {
    type Item = Result<ArchivedFinding>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            ArchiveFindings::Files(files) => files.next(),
            ArchiveFindings::Table(table) => table.next(),
        }
    }
}
