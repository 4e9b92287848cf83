//! Cuts values into chunks, and joins them again.
//!
//! sled moves pages over 128 KiB into files that it never fsyncs, and a leaf holds up to 16 records whatever their
//! size. So no stored value is larger than [`CHUNK_BYTES_MAX`]. The first chunk begins with the length of the value and
//! a checksum of its key and bytes, which detects missing, mixed and stale chunks.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::error::{LedgerError, Result};
use crate::key::Key;

/// The longest value that the engine ever stores.
pub(crate) const CHUNK_BYTES_MAX: usize = 4096;
/// Length (u32) and checksum (u64), little-endian, at the beginning of the first chunk.
const HEADER_BYTES: usize = 12;
/// Most chunks of one value: the key has 16 bits for their number.
const CHUNKS_MAX: usize = 1 << 16;

/// Cuts one value into chunks as it is written, so that it is never in memory twice.
pub(crate) struct ChunkWriter<'b> {
    batch: &'b mut sled::Batch,
    key: Key,
    /// The first chunk, until the length and the checksum are known.
    first: Option<Vec<u8>>,
    chunk: Vec<u8>,
    chunks: usize,
    bytes: u64,
    hasher: SipHasher13,
}

impl<'b> ChunkWriter<'b> {
    pub(crate) fn new(batch: &'b mut sled::Batch, key: Key) -> ChunkWriter<'b> {
        ChunkWriter {
            batch,
            key,
            first: None,
            chunk: vec![0; HEADER_BYTES],
            chunks: 0,
            bytes: 0,
            hasher: checksum_of(key),
        }
    }

    /// Appends to the value.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK_BYTES_MAX {
                self.cut()?;
            }
            let free = CHUNK_BYTES_MAX - self.chunk.len();
            let (now, later) = bytes.split_at(free.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the value and returns how many chunks it has.
    pub(crate) fn finish(mut self) -> Result<usize> {
        self.cut()?;
        let mut first = self.first.take().expect("the cut above keeps the first chunk");
        // 65,536 chunks of 4,096 bytes are far below 2^32.
        let length = u32::try_from(self.bytes).map_err(|_| too_long(self.key))?;
        first[..4].copy_from_slice(&length.to_le_bytes());
        first[4..HEADER_BYTES].copy_from_slice(&self.hasher.finish().to_le_bytes());
        self.put(0, &first);
        Ok(self.chunks)
    }

    fn cut(&mut self) -> Result<()> {
        let number = u16::try_from(self.chunks).map_err(|_| too_long(self.key))?;
        let chunk = std::mem::take(&mut self.chunk);
        let data = if number == 0 { &chunk[HEADER_BYTES..] } else { &chunk[..] };
        self.hasher.write(data);
        self.bytes += data.len() as u64;
        self.chunks += 1;
        if number == 0 {
            self.first = Some(chunk);
        } else {
            self.put(number, &chunk);
            self.chunk = chunk;
            self.chunk.clear();
        }
        Ok(())
    }

    fn put(&mut self, number: u16, chunk: &[u8]) {
        assert!(chunk.len() <= CHUNK_BYTES_MAX, "a chunk of {} bytes is too long", chunk.len());
        self.batch.insert(self.key.chunk(number), chunk);
    }
}

fn too_long(key: Key) -> LedgerError {
    LedgerError::refused(format!("{key:?} needs more than {CHUNKS_MAX} chunks"))
}

/// Begins the checksum of a value. It covers the key, to detect a value under the wrong key.
fn checksum_of(key: Key) -> SipHasher13 {
    let mut hasher = SipHasher13::new();
    hasher.write(&key.body());
    hasher
}

/// Iterates over stored values in the order of their keys, with one chunk in memory at a time.
pub(crate) struct ValueReader {
    records: sled::Iter,
    ahead: Option<(Key, u16, sled::IVec)>,
}

impl ValueReader {
    pub(crate) fn new(records: sled::Iter) -> ValueReader {
        ValueReader { records, ahead: None }
    }

    /// Returns the next value. The previous one must be finished.
    pub(crate) fn next_value(&mut self) -> Result<Option<StoredValue<'_>>> {
        let Some((key, number, first)) = self.next_chunk()? else {
            return Ok(None);
        };
        let header = (number == 0).then(|| first.first_chunk::<HEADER_BYTES>()).flatten();
        let Some([a, b, c, d, checksum @ ..]) = header else {
            return Err(LedgerError::damaged(format!("{key:?} lacks its first chunk")));
        };
        let bytes = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let checksum = u64::from_le_bytes(*checksum);
        let mut value = StoredValue {
            reader: self,
            key,
            bytes,
            checksum,
            hasher: checksum_of(key),
            chunks_read: 0,
            bytes_unread: bytes,
            at: HEADER_BYTES,
            chunk: sled::IVec::default(),
        };
        value.take(first, HEADER_BYTES)?;
        Ok(Some(value))
    }

    fn next_chunk(&mut self) -> Result<Option<(Key, u16, sled::IVec)>> {
        if self.ahead.is_some() {
            return Ok(self.ahead.take());
        }
        let Some(record) = self.records.next() else {
            return Ok(None);
        };
        let (stored, chunk) = record.map_err(|error| LedgerError::of_engine("read the database", error))?;
        let (key, number) = Key::parse(&stored).ok_or_else(|| LedgerError::damaged("a record has an unknown key"))?;
        Ok(Some((key, number, chunk)))
    }
}

/// A stored value that is being read. Its bytes are verified only when [`StoredValue::finish`] has returned.
pub(crate) struct StoredValue<'w> {
    reader: &'w mut ValueReader,
    key: Key,
    bytes: usize,
    checksum: u64,
    hasher: SipHasher13,
    chunks_read: usize,
    /// Bytes of the value in chunks that were not read yet.
    bytes_unread: usize,
    at: usize,
    chunk: sled::IVec,
}

impl StoredValue<'_> {
    /// Returns the key of the value.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Returns how many bytes are left to read.
    pub(crate) fn bytes_left(&self) -> usize {
        self.bytes_unread + (self.chunk.len() - self.at)
    }

    /// Replaces the contents of `into` with the next `n` bytes.
    pub(crate) fn read(&mut self, n: usize, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        if n > self.bytes_left() {
            return Err(self.damaged("ends too early"));
        }
        while into.len() < n {
            if self.at == self.chunk.len() {
                self.next_chunk()?;
            }
            let end = self.chunk.len().min(self.at + (n - into.len()));
            into.extend_from_slice(&self.chunk[self.at..end]);
            self.at = end;
        }
        Ok(())
    }

    /// Reads the rest, and verifies that the chunks belong together.
    pub(crate) fn finish(mut self) -> Result<()> {
        while self.bytes_unread > 0 {
            self.next_chunk()?;
        }
        if self.hasher.finish() != self.checksum {
            return Err(self.damaged("does not match its checksum"));
        }
        self.reader.ahead = self.reader.next_chunk()?;
        match &self.reader.ahead {
            Some((key, ..)) if *key == self.key => Err(self.damaged("has too many chunks")),
            _ => Ok(()),
        }
    }

    /// Returns the whole value, verified.
    pub(crate) fn into_bytes(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(self.bytes, &mut bytes)?;
        self.finish()?;
        Ok(bytes)
    }

    fn next_chunk(&mut self) -> Result<()> {
        match self.reader.next_chunk()? {
            Some((key, number, chunk)) if key == self.key && usize::from(number) == self.chunks_read => {
                self.take(chunk, 0)
            }
            _ => Err(self.damaged("lacks a chunk")),
        }
    }

    /// Continues with `chunk`, in which the value begins at `from`.
    fn take(&mut self, chunk: sled::IVec, from: usize) -> Result<()> {
        let data = &chunk[from..];
        if data.len() != self.bytes_unread.min(CHUNK_BYTES_MAX - from) {
            return Err(self.damaged("has a chunk of the wrong length"));
        }
        self.hasher.write(data);
        self.bytes_unread -= data.len();
        self.chunks_read += 1;
        self.at = from;
        self.chunk = chunk;
        Ok(())
    }

    pub(crate) fn damaged(&self, what: &str) -> LedgerError {
        LedgerError::damaged(format!("{:?} {what}", self.key))
    }
}

#[cfg(test)]
mod tests;
