//! The whole state as a stream of records: to move it from one engine to another, and as a back-up.
//!
//! ```text
//! "stakeout state\n", version of the stream, format of the state, the version of Stakeout
//! for each value:             'v', lengths, key, value, checksum
//! for each archived finding:  'a', lengths, head, body, checksum      (the first archived first)
//! 'e', lengths, nothing, the number of records, checksum
//! ```
//!
//! Numbers are little-endian. Checksums find damage; they do not protect from somebody who forges a stream.

use std::hash::Hasher;
use std::io::{self, Read, Write};

use siphasher::sip::SipHasher13;
use stakeout_core::finding::FindingKey;
use stakeout_core::time::Second;

use super::{FORMAT, Ledger, Turn, UNFINISHED};
use crate::archive::Archive;
use crate::archived_finding::{ArchivedFinding, FindingHead};
use crate::batch::Batch;
use crate::embedded::ArchiveOrder;
use crate::engine::{Engine, Location, Stay, TurnKind, catching};
use crate::error::{LedgerError, Result};
use crate::key::Key;

use crate::totals::Totals;
use crate::write_batch::parse_json;

const MAGIC: &[u8] = b"stakeout state\n";
/// The version of the stream itself, whatever the format of the state.
const STREAM: u32 = 1;
const VALUE: u8 = b'v';
const ARCHIVED: u8 = b'a';
const END: u8 = b'e';
/// No key and no head comes near this.
const KEY_BYTES_MAX: usize = 64;
/// As much as an engine takes in one value: a length beyond it is damage.
const VALUE_BYTES_MAX: usize = 256 << 20;
/// Records and bytes that are in memory at once while a state is imported, if there is more than one.
const BATCH_RECORDS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Most characters of the version that are read and shown.
const VERSION_BYTES_MAX: usize = 64;
/// The key, the first and the last second, and the level.
const HEAD_BYTES: usize = 16 + 8 + 8 + 1;

/// What a stream held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Values by key.
    pub values: u64,
    /// Findings of the archive.
    pub archived: u64,
}

impl Ledger {
    /// Writes all that is stored to `out`, as it is at one moment, and changes nothing.
    ///
    /// Fails as every read does, and where `out` does.
    pub fn export(&self, out: &mut impl Write) -> Result<Transferred> {
        self.read(|state| {
            let mut stream = StreamWriter::begin(out)?;
            stream.write_values(&self.engine)?;
            for finding in state.archive.reader().findings(ArchiveOrder::OldestFirst, |_| true) {
                let ArchivedFinding { head, body } = finding?;
                stream.write(ARCHIVED, &head_bytes(&head), &body)?;
            }
            stream.end()
        })
    }

    /// Writes the same without the archive.
    pub(super) fn export_values(&self, out: &mut impl Write) -> Result<Transferred> {
        self.read(|_| {
            let mut stream = StreamWriter::begin(out)?;
            stream.write_values(&self.engine)?;
            stream.end()
        })
    }

    /// Makes a state at `location`, where there must be none, of what [`Ledger::export`] wrote to `input`.
    ///
    /// Until all of it is there and whole, `location` holds no state that can be opened. Fails with [`LedgerError::Stream`]
    /// where the stream is damaged or not whole; then somebody must delete what is there.
    pub fn import(location: impl Into<Location>, input: &mut impl Read) -> Result<Transferred> {
        let mut stream = StreamReader::begin(input)?;
        let engine = Engine::open(&location.into(), Stay::Brief)?;
        catching("import a state", || {
            let mut import = Import::begin(&engine)?;
            while let Some(record) = stream.next()? {
                import.add(record)?;
            }
            import.finish()?;
            Ok(stream.read)
        })
    }
}

/// A state that is being imported.
pub(super) struct Import<'e> {
    engine: &'e Engine,
    batch: Batch,
    archived: Vec<ArchivedFinding>,
    archive: Archive,
    records: usize,
    bytes: usize,
    /// The number of the last write.
    writes: u64,
    /// What the imported numbers of everything are; they are written last.
    totals: Option<Totals>,
}

impl<'e> Import<'e> {
    pub(super) fn begin(engine: &'e Engine) -> Result<Import<'e>> {
        let _turn = Turn::begin(engine, TurnKind::Alone)?;
        if !engine.is_new()? {
            return Err(stream("there is a state already in the place that the config names; name an empty one"));
        }
        engine.begin(0)?;
        let mut batch = Batch::default();
        batch.put(Key::Format, UNFINISHED.to_le_bytes().to_vec())?;
        engine.apply(batch, 1)?;
        let archive = Archive::open(engine, Totals::EMPTY.archive)?;
        let (batch, archived) = Default::default();
        Ok(Import { engine, batch, archived, archive, records: 0, bytes: 0, writes: 1, totals: None })
    }

    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        self.records += 1;
        self.bytes += record.value.len();
        if record.tag == ARCHIVED {
            let head = head_of(&record.key).ok_or_else(|| stream("the head of an archived finding is malformed"))?;
            self.archived.push(ArchivedFinding { head, body: record.value });
        } else {
            match Key::parse(&record.key) {
                Some((Key::Totals, 0)) => self.totals = Some(parse_json(Key::Totals, &record.value)?),
                Some((Key::Format, _)) => return Err(stream("a value is stored under the key of the format")),
                Some((key, 0)) if key.has_value() => self.batch.put(key, record.value)?,
                Some((key, 0)) => self.batch.put_key(key),
                _ => return Err(stream("a key is none of a ledger")),
            }
        }
        if self.records >= BATCH_RECORDS_MAX || self.bytes >= BATCH_BYTES_MAX {
            let _turn = Turn::begin(self.engine, TurnKind::Alone)?;
            self.write()?;
        }
        Ok(())
    }

    /// Writes what is in memory, and ends the turn.
    fn write(&mut self) -> Result<()> {
        if !self.archived.is_empty() {
            self.archive.append(&std::mem::take(&mut self.archived))?;
        }
        (self.records, self.bytes) = (0, 0);
        self.writes += 1;
        self.engine.apply(std::mem::take(&mut self.batch), self.writes)
    }

    /// Writes the rest with the format, which makes all of it a state.
    fn finish(mut self) -> Result<()> {
        let _turn = Turn::begin(self.engine, TurnKind::Alone)?;
        let archive = self.archive.append(&std::mem::take(&mut self.archived))?;
        let totals = self.totals()?;
        self.end(Totals { archive, ..totals })
    }

    /// Does the same for a copy of the time `from`, whose archive stays as it is up to where the copy names it. `writes` were
    /// durable.
    pub(super) fn finish_restored(mut self, from: Second, writes: u64) -> Result<()> {
        let _turn = Turn::begin(self.engine, TurnKind::Alone)?;
        let totals = self.totals()?;
        self.writes = self.writes.max(writes);
        self.end(Totals { restored_from: Some(from), ..totals })
    }

    fn totals(&mut self) -> Result<Totals> {
        self.totals.take().ok_or_else(|| stream("the numbers of everything are missing"))
    }

    fn end(mut self, totals: Totals) -> Result<()> {
        self.writes = self.writes.max(totals.writes);
        let totals = Totals { writes: self.writes + 1, ..totals };
        let value = serde_json::to_vec(&totals).map_err(|error| stream(error.to_string()))?;
        self.batch.put(Key::Totals, value)?;
        self.batch.put(Key::Format, FORMAT.to_le_bytes().to_vec())?;
        self.write()
    }
}

/// One record of a stream.
pub(super) struct Record {
    tag: u8,
    key: Vec<u8>,
    value: Vec<u8>,
}

struct StreamWriter<'o, W> {
    out: &'o mut W,
    written: Transferred,
}

impl<'o, W: Write> StreamWriter<'o, W> {
    fn begin(out: &'o mut W) -> Result<StreamWriter<'o, W>> {
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let length = [u8::try_from(version.len()).unwrap_or(0)];
        let header = [MAGIC, &STREAM.to_le_bytes(), &FORMAT.to_le_bytes(), &length, version].concat();
        out.write_all(&header).map_err(|error| LedgerError::of_io("write the export", error))?;
        Ok(StreamWriter { out, written: Transferred::default() })
    }

    /// Writes all values of an engine.
    fn write_values(&mut self, engine: &Engine) -> Result<()> {
        for any in [Key::Hash].into_iter().chain(Key::KINDS) {
            if any.has_value() {
                for value in engine.values(any.kind()) {
                    let (key, value) = value?;
                    self.write(VALUE, &key.chunk(0), &value)?;
                }
            } else {
                for key in engine.keys([any.kind()]) {
                    self.write(VALUE, &key?.chunk(0), &[])?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, tag: u8, key: &[u8], value: &[u8]) -> Result<()> {
        let too_long = |_| LedgerError::refused("a value is too long for an export");
        let key_length = u16::try_from(key.len()).map_err(too_long)?.to_le_bytes();
        let value_length = u32::try_from(value.len()).map_err(too_long)?.to_le_bytes();
        let head = [&[tag][..], &key_length, &value_length, key].concat();
        let sum = checksum(self.written.records(), &head, value).to_le_bytes();
        for part in [&head[..], value, &sum] {
            self.out.write_all(part).map_err(|error| LedgerError::of_io("write the export", error))?;
        }
        self.written.count(tag);
        Ok(())
    }

    fn end(mut self) -> Result<Transferred> {
        let records = self.written.records().to_le_bytes();
        self.write(END, &[], &records)?;
        self.out.flush().map_err(|error| LedgerError::of_io("write the export", error))?;
        Ok(self.written)
    }
}

pub(super) struct StreamReader<'i, R> {
    input: &'i mut R,
    read: Transferred,
}

impl<'i, R: Read> StreamReader<'i, R> {
    pub(super) fn begin(input: &'i mut R) -> Result<StreamReader<'i, R>> {
        let mut reader = StreamReader { input, read: Transferred::default() };
        if reader.bytes(MAGIC.len()).ok().is_none_or(|magic| magic != MAGIC) {
            return Err(stream("this is not what `stakeout state export` writes"));
        }
        let (version, format) = (reader.u32()?, reader.u32()?);
        let [length] = reader.array()?;
        let by = reader.bytes(usize::from(length).min(VERSION_BYTES_MAX))?;
        let by = String::from_utf8_lossy(&by).escape_debug().to_string();
        match (version, format) {
            (STREAM, FORMAT) => Ok(reader),
            (STREAM, _) => Err(stream(format!(
                "Stakeout {by} wrote it in format {format}, and this version reads {FORMAT}: import it with that version"
            ))),
            _ => Err(stream(format!("Stakeout {by} wrote it in version {version}, and this version reads {STREAM}"))),
        }
    }

    /// Returns the next record, or `None` after the last one, when all that was written was read.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let number = self.read.records();
        let [tag] = self.array()?;
        let key_length = u16::from_le_bytes(self.array()?);
        let value_length = self.u32()?;
        let length = usize::try_from(value_length).unwrap_or(usize::MAX);
        if usize::from(key_length) > KEY_BYTES_MAX || length > VALUE_BYTES_MAX {
            return Err(stream(format!("record {number} is damaged: it is too long")));
        }
        let key = self.bytes(usize::from(key_length))?;
        let value = self.bytes(length)?;
        let head = [&[tag][..], &key_length.to_le_bytes(), &value_length.to_le_bytes(), &key].concat();
        if u64::from_le_bytes(self.array()?) != checksum(number, &head, &value) {
            return Err(stream(format!("record {number} is damaged: its checksum is another one")));
        }
        match tag {
            VALUE | ARCHIVED => {
                self.read.count(tag);
                Ok(Some(Record { tag, key, value }))
            }
            END if value == number.to_le_bytes() && self.is_over()? => Ok(None),
            END => Err(stream("records are missing, or something follows the last one")),
            _ => Err(stream(format!("record {number} is of an unknown kind"))),
        }
    }

    fn is_over(&mut self) -> Result<bool> {
        let read = self.input.read(&mut [0]).map_err(|error| LedgerError::of_io("read the export", error))?;
        Ok(read == 0)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.input.take(length as u64).read_to_end(&mut bytes);
        match read.map_err(|error| LedgerError::of_io("read the export", error))? {
            read if read == length => Ok(bytes),
            _ => Err(stream(format!("it ends in record {}: it is not whole", self.read.records()))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| LedgerError::of_io("read the export", io::ErrorKind::UnexpectedEof.into()))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }
}

impl Transferred {
    fn records(&self) -> u64 {
        self.values + self.archived
    }

    fn count(&mut self, tag: u8) {
        match tag {
            VALUE => self.values += 1,
            ARCHIVED => self.archived += 1,
            _ => {}
        }
    }
}

/// Returns the checksum of a record. It depends on the record's number, so that none can be lost or change its place.
fn checksum(number: u64, head: &[u8], value: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(number, u64::from(STREAM));
    hasher.write(head);
    hasher.write(value);
    hasher.finish()
}

fn head_bytes(head: &FindingHead) -> Vec<u8> {
    let (first, last) = (head.first.0.to_le_bytes(), head.last.0.to_le_bytes());
    [&head.key.0.to_le_bytes()[..], &first, &last, &[head.level]].concat()
}

fn head_of(bytes: &[u8]) -> Option<FindingHead> {
    let bytes: &[u8; HEAD_BYTES] = bytes.try_into().ok()?;
    let (key, rest) = bytes.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let [level] = rest.try_into().ok()?;
    let (first, last) = (Second(i64::from_le_bytes(*first)), Second(i64::from_le_bytes(*last)));
    Some(FindingHead { key: FindingKey(u128::from_le_bytes(*key)), first, last, level })
}

fn stream(reason: impl Into<String>) -> LedgerError {
    LedgerError::Stream { reason: reason.into() }
}
