//! A block of the archive: up to 64 findings, compressed together, with their heads before them.
//!
//! ```text
//! bytes of the data (u32), number of findings (u16), checksum of the data (u64), checksum of all else (u64),
//! for each finding: key (u128), first and last second (i64), level (u8), bytes of the body (u32),
//! data: the bodies, deflated
//! ```
//!
//! Numbers are little-endian. The second checksum covers the segment and the position, to detect a block in the wrong
//! place. A reader skips a block by its heads, without reading its data. This module does not know what a body means.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use siphasher::sip::SipHasher13;
use stakeout_core::finding::FindingKey;
use stakeout_core::time::Second;

use crate::archived_finding::{ArchivedFinding, FindingHead};
use crate::error::{LedgerError, Result};

/// Most findings of a block. The findings of one commit share most strings, so more of them compress better; fewer are
/// decoded in vain.
pub(crate) const BLOCK_FINDINGS_MAX: usize = 64;
/// Bytes before the heads: two numbers and two checksums.
const PREFIX_BYTES: usize = 22;
/// Bytes of the prefix before the second checksum.
const NUMBERS_BYTES: usize = 14;
/// Bytes of one head, with the length of the body.
const HEAD_BYTES: usize = 37;

/// Where a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockPosition {
    /// The number of the segment.
    pub(crate) segment: u64,
    /// The first byte in it.
    pub(crate) at: u64,
}

/// A block that has no position yet.
pub(crate) struct NewBlock {
    /// The numbers, the checksum of the data, and room for the second checksum.
    prefix: [u8; PREFIX_BYTES],
    heads: Vec<u8>,
    data: Vec<u8>,
}

impl NewBlock {
    /// Compresses `findings`, of which there are at most [`BLOCK_FINDINGS_MAX`].
    ///
    /// Fails if they take 4 GiB.
    pub(crate) fn new(findings: &[ArchivedFinding]) -> Result<NewBlock> {
        let too_large = || LedgerError::refused("a block of the archive takes 4 GiB");
        let mut heads = Vec::with_capacity(findings.len() * HEAD_BYTES);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        for ArchivedFinding { head, body } in findings {
            heads.extend(head.key.0.to_le_bytes());
            heads.extend(head.first.0.to_le_bytes());
            heads.extend(head.last.0.to_le_bytes());
            heads.push(head.level);
            heads.extend(u32::try_from(body.len()).map_err(|_| too_large())?.to_le_bytes());
            encoder.write_all(body).map_err(|error| LedgerError::of_io("compress findings", error))?;
        }
        let data = encoder.finish().map_err(|error| LedgerError::of_io("compress findings", error))?;
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..4].copy_from_slice(&u32::try_from(data.len()).map_err(|_| too_large())?.to_le_bytes());
        prefix[4..6].copy_from_slice(&u16::try_from(findings.len()).map_err(|_| too_large())?.to_le_bytes());
        prefix[6..NUMBERS_BYTES].copy_from_slice(&checksum(&[&data]).to_le_bytes());
        Ok(NewBlock { prefix, heads, data })
    }

    /// Returns how many bytes the block takes in a file.
    pub(crate) fn bytes(&self) -> u64 {
        (PREFIX_BYTES + self.heads.len() + self.data.len()) as u64
    }

    /// Returns the bytes of the block at `position`.
    pub(crate) fn encode(mut self, position: BlockPosition) -> Vec<u8> {
        let checksum = checksum_of_heads(position, &self.prefix, &self.heads);
        self.prefix[NUMBERS_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        [&self.prefix[..], &self.heads, &self.data].concat()
    }
}

/// The heads of a stored block.
#[derive(Debug)]
pub(crate) struct BlockHeads {
    /// Each with the bytes of its body.
    heads: Vec<(FindingHead, u32)>,
    data: u64,
    data_bytes: u32,
    data_checksum: u64,
}

impl BlockHeads {
    /// Reads the heads of the block at `position` of a segment that ends at byte `end`.
    ///
    /// Fails with [`ErrorKind::InvalidData`] or [`ErrorKind::UnexpectedEof`] if there is no such block.
    pub(crate) fn read(file: &File, position: BlockPosition, end: u64) -> io::Result<BlockHeads> {
        let bytes_left = end.saturating_sub(position.at);
        if bytes_left < PREFIX_BYTES as u64 {
            return Err(damaged("the block ends too early"));
        }
        let mut prefix = [0; PREFIX_BYTES];
        file.read_exact_at(&mut prefix, position.at)?;
        let mut numbers = Numbers(&prefix);
        let data_bytes = u32::from_le_bytes(numbers.take()?);
        let findings = usize::from(u16::from_le_bytes(numbers.take()?));
        let data_checksum = u64::from_le_bytes(numbers.take()?);
        let heads_checksum = u64::from_le_bytes(numbers.take()?);
        let before_data = (PREFIX_BYTES + findings * HEAD_BYTES) as u64;
        if findings > BLOCK_FINDINGS_MAX || before_data + u64::from(data_bytes) > bytes_left {
            return Err(damaged("the block is longer than the file"));
        }
        let mut heads = vec![0; findings * HEAD_BYTES];
        file.read_exact_at(&mut heads, position.at + PREFIX_BYTES as u64)?;
        if checksum_of_heads(position, &prefix, &heads) != heads_checksum {
            return Err(damaged("the heads of the block do not match their checksum"));
        }
        let heads = heads.chunks_exact(HEAD_BYTES).map(parse_head).collect::<io::Result<_>>()?;
        Ok(BlockHeads { heads, data: position.at + before_data, data_bytes, data_checksum })
    }

    /// Returns the heads, in the order in which they were written.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &FindingHead> {
        self.heads.iter().map(|(head, _)| head)
    }

    /// Returns the byte after the block.
    pub(crate) fn end(&self) -> u64 {
        self.data + u64::from(self.data_bytes)
    }

    /// Reads the findings that `wanted` accepts, in the order in which they were written.
    ///
    /// Fails with [`ErrorKind::InvalidData`] or [`ErrorKind::UnexpectedEof`] if the data is damaged.
    pub(crate) fn findings(
        &self,
        file: &File,
        wanted: impl Fn(&FindingHead) -> bool,
    ) -> io::Result<Vec<ArchivedFinding>> {
        let mut data = vec![0; self.data_bytes as usize];
        file.read_exact_at(&mut data, self.data)?;
        if checksum(&[&data]) != self.data_checksum {
            return Err(damaged("the data of the block does not match its checksum"));
        }
        let mut bodies = DeflateDecoder::new(&data[..]);
        let mut findings = Vec::new();
        for (head, bytes) in &self.heads {
            let mut body = Vec::new();
            // Nothing is reserved for a length that the data may not hold.
            let read = bodies.by_ref().take((*bytes).into()).read_to_end(&mut body)?;
            if read != *bytes as usize {
                return Err(damaged("the data of the block ends too early"));
            }
            if wanted(head) {
                findings.push(ArchivedFinding { head: *head, body });
            }
        }
        Ok(findings)
    }
}

/// Takes numbers off the front of some bytes.
struct Numbers<'b>(&'b [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(|| damaged("a number is missing"))?;
        self.0 = rest;
        Ok(*number)
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<(FindingHead, u32)> {
    let mut numbers = Numbers(bytes);
    let head = FindingHead {
        key: FindingKey(u128::from_le_bytes(numbers.take()?)),
        first: Second(i64::from_le_bytes(numbers.take()?)),
        last: Second(i64::from_le_bytes(numbers.take()?)),
        level: u8::from_le_bytes(numbers.take()?),
    };
    Ok((head, u32::from_le_bytes(numbers.take()?)))
}

fn checksum_of_heads(position: BlockPosition, prefix: &[u8; PREFIX_BYTES], heads: &[u8]) -> u64 {
    checksum(&[&position.segment.to_le_bytes(), &position.at.to_le_bytes(), &prefix[..NUMBERS_BYTES], heads])
}

/// Returns the checksum of `parts`, without a key: it detects damage, not forgery.
pub(crate) fn checksum(parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
