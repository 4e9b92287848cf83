//! The archive in PostgreSQL: a row for each finding, in the order in which they were archived.
//!
//! The position of a row is the number of bytes that were archived before it. So the bytes of the archive are known from its
//! ends, and the oldest ones that are too much from the position alone. A reader has a connection of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use stakeout_core::finding::FindingKey;
use stakeout_core::time::Second;
use tokio_postgres::Row;

use super::connection::Connection;
use super::options::PostgresOptions;
use super::store::Store;
use crate::archived_finding::{ArchivedFinding, FindingHead};
use crate::deflate::{Deflater, Inflater};
use crate::embedded::{ArchiveOrder, ArchivePosition};
use crate::error::{LedgerError, Result};

const APPEND: &str = "
    INSERT INTO archive (position, key, first, last, level, value)
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bytea[])";
const BEGIN: &str = "SELECT coalesce(min(position), $1) FROM archive";
const EXPIRE: &str = "DELETE FROM archive WHERE last < $1 OR position < $2";
/// The heads between two positions, without these.
const NEWEST_HEADS: &str = "
    SELECT position, key, first, last, level FROM archive WHERE position > $1 AND position < $2
    ORDER BY position DESC LIMIT 4096";
const OLDEST_HEADS: &str = "
    SELECT position, key, first, last, level FROM archive WHERE position > $1 AND position < $2
    ORDER BY position LIMIT 4096";
const NEWEST_BODIES: &str = "SELECT position, value FROM archive WHERE position = ANY($1) ORDER BY position DESC";
const OLDEST_BODIES: &str = "SELECT position, value FROM archive WHERE position = ANY($1) ORDER BY position";
/// Findings whose bodies are read at once.
const BODIES_MAX: usize = 256;

/// The archive of a schema up to an end.
#[derive(Debug)]
pub(crate) struct TableArchive {
    store: Arc<Store>,
    end: ArchivePosition,
}

impl TableArchive {
    /// Returns the archive up to `end`.
    pub(crate) fn new(store: Arc<Store>, end: ArchivePosition) -> TableArchive {
        TableArchive { store, end }
    }

    /// Appends `findings` in the turn of the store, and returns the new end. They are there when the turn is committed.
    pub(crate) fn append(&mut self, findings: &[ArchivedFinding]) -> Result<ArchivePosition> {
        let (mut position, mut deflater) = (number(self.end.bytes), Deflater::new());
        let (mut positions, mut keys, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lasts, mut levels, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for ArchivedFinding { head, body } in findings {
            let mut value = Vec::new();
            deflater.append(body, &mut value)?;
            positions.push(position);
            position = position.saturating_add(i64::try_from(value.len()).unwrap_or(i64::MAX));
            keys.push(head.key.0.to_be_bytes().to_vec());
            firsts.push(head.first.0);
            lasts.push(head.last.0);
            levels.push(i16::from(head.level));
            values.push(value);
        }
        self.store.query("archive findings", APPEND, &[&positions, &keys, &firsts, &lasts, &levels, &values])?;
        self.end.bytes = position.cast_unsigned();
        Ok(self.end)
    }

    /// Deletes the findings that ended before `before`, and the oldest ones while all take more than `bytes_max`. Returns how
    /// many bytes are gone from its beginning.
    pub(crate) fn expire(&self, before: Second, bytes_max: u64) -> Result<u64> {
        let bytes_before = self.bytes()?;
        let kept_from = number(self.end.bytes.saturating_sub(bytes_max));
        self.store.query("delete archived findings", EXPIRE, &[&before.0, &kept_from])?;
        Ok(bytes_before.saturating_sub(self.bytes()?))
    }

    /// Returns the bytes that the archive takes.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let end = self.end.bytes;
        let rows = self.store.query("measure the archive", BEGIN, &[&number(end)])?;
        let begin = rows.first().map_or(end, |row| row.get::<_, i64>(0).cast_unsigned());
        Ok(end.saturating_sub(begin))
    }

    /// Returns a reader of all that was appended up to now.
    pub(crate) fn reader(&self) -> TableReader {
        TableReader { options: self.store.options().clone(), end: self.end }
    }
}

fn number(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// The archive as it was when this was made. Connects when it is read.
#[derive(Clone, Debug)]
pub(crate) struct TableReader {
    options: PostgresOptions,
    end: ArchivePosition,
}

impl TableReader {
    /// Returns the findings whose heads `wanted` accepts, in this order of their archiving; the bodies of others are not read.
    /// What was deleted meanwhile does not come.
    pub(crate) fn findings<F: Fn(&FindingHead) -> bool>(self, order: ArchiveOrder, wanted: F) -> TableFindings<F> {
        let TableReader { options, end } = self;
        let (heads, found) = (VecDeque::new(), VecDeque::new());
        TableFindings { options, order, rest: Some((-1, number(end.bytes))), wanted, connection: None, heads, found }
    }
}

/// Iterates over archived findings.
pub(crate) struct TableFindings<F> {
    options: PostgresOptions,
    order: ArchiveOrder,
    /// All findings between these positions are still to be read; `None` where there are none.
    rest: Option<(i64, i64)>,
    wanted: F,
    connection: Option<Box<Connection>>,
    /// The heads of wanted findings, the next one first.
    heads: VecDeque<(i64, FindingHead)>,
    found: VecDeque<ArchivedFinding>,
}

impl<F: Fn(&FindingHead) -> bool> Iterator for TableFindings<F> {
    type Item = Result<ArchivedFinding>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(finding) = self.found.pop_front() {
                return Some(Ok(finding));
            }
            let step = match (self.heads.is_empty(), self.rest) {
                (false, _) => self.read_bodies(),
                (true, Some(rest)) => self.read_heads(rest),
                (true, None) => return None,
            };
            if let Err(error) = step {
                (self.rest, self.heads) = (None, VecDeque::new());
                return Some(Err(error));
            }
        }
    }
}

impl<F: Fn(&FindingHead) -> bool> TableFindings<F> {
    fn connection(&mut self) -> Result<&Connection> {
        if self.connection.is_none() {
            self.connection = Some(Box::new(Connection::open(&self.options)?));
        }
        Ok(self.connection.as_ref().expect("it was just opened"))
    }

    fn read_heads(&mut self, (after, before): (i64, i64)) -> Result<()> {
        let sql = match self.order {
            ArchiveOrder::NewestFirst => NEWEST_HEADS,
            ArchiveOrder::OldestFirst => OLDEST_HEADS,
        };
        let connection = self.connection()?;
        let rows = connection.wait("read the archive", connection.client().query(sql, &[&after, &before]))?;
        self.rest = rows.last().map(|row| match self.order {
            ArchiveOrder::NewestFirst => (after, row.get(0)),
            ArchiveOrder::OldestFirst => (row.get(0), before),
        });
        for row in &rows {
            let head = head_of(row)?;
            if (self.wanted)(&head) {
                self.heads.push_back((row.get(0), head));
            }
        }
        Ok(())
    }

    fn read_bodies(&mut self) -> Result<()> {
        let heads: Vec<(i64, FindingHead)> = self.heads.drain(..self.heads.len().min(BODIES_MAX)).collect();
        let positions: Vec<i64> = heads.iter().map(|(position, _)| *position).collect();
        let sql = match self.order {
            ArchiveOrder::NewestFirst => NEWEST_BODIES,
            ArchiveOrder::OldestFirst => OLDEST_BODIES,
        };
        let connection = self.connection()?;
        let rows = connection.wait("read the archive", connection.client().query(sql, &[&positions]))?;
        let mut inflater = Inflater::new();
        let mut heads = heads.into_iter();
        for row in rows {
            let (position, value): (i64, &[u8]) = (row.get(0), row.get(1));
            let Some((_, head)) = heads.find(|(of, _)| *of == position) else { break };
            let body = inflater.read(value);
            let body = body.ok_or_else(|| LedgerError::damaged("an archived finding cannot be decompressed"))?;
            self.found.push_back(ArchivedFinding { head, body });
        }
        Ok(())
    }
}

fn head_of(row: &Row) -> Result<FindingHead> {
    let malformed = || LedgerError::damaged("the head of an archived finding cannot be read");
    let key: [u8; 16] = row.get::<_, &[u8]>(1).try_into().map_err(|_| malformed())?;
    let level = u8::try_from(row.get::<_, i16>(4)).map_err(|_| malformed())?;
    let (first, last) = (Second(row.get(2)), Second(row.get(3)));
    Ok(FindingHead { key: FindingKey(u128::from_be_bytes(key)), first, last, level })
}
