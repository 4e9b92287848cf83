//! Opens a file or standard input, plain or compressed with gzip or zstd.
//!
//! The first bytes decide the compression, not the file's name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Buffer for compressed bytes. Plain bytes are read in larger blocks, which bypass it.
const BUFFER_BYTES: usize = 64 * 1024;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens `path`, or standard input for `-`, and returns its text. `bar` counts the bytes of the file.
pub(crate) fn open(path: &Path, bar: &ProgressBar) -> io::Result<Box<dyn Read>> {
    let bytes: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    text_of(bar.wrap_read(bytes))
}

/// Returns whether the bytes are compressed.
pub(crate) fn is_compressed(bytes: &mut impl Read) -> io::Result<bool> {
    let mut first = Vec::new();
    bytes.take(ZSTD.len() as u64).read_to_end(&mut first)?;
    Ok(first.starts_with(GZIP) || first.starts_with(ZSTD))
}

/// Returns the text in `bytes`, decompressed if necessary.
pub(crate) fn text_of(bytes: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
    let first = bytes.fill_buf()?;
    if first.starts_with(GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(bytes)));
    }
    if first.starts_with(ZSTD) {
        return Ok(Box::new(Zstd { decoder: FrameDecoder::new(), source: bytes, is_in_frame: false }));
    }
    Ok(Box::new(bytes))
}

/// Decompresses all frames of a zstd stream: `zstd -T0` and `cat a.zst b.zst` write several.
struct Zstd<R> {
    decoder: FrameDecoder,
    source: R,
    is_in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Enters the next frame, or returns `false` at the end of the stream. Skippable frames contain no text.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut (&mut self.source).take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_in_frame {
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    self.decoder
                        .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                }
                let read = self.decoder.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            self.is_in_frame = self.next_frame()?;
            if !self.is_in_frame {
                return Ok(0);
            }
        }
    }
}
