//! Opens files and standard input, and turns their bytes into text: decompressed, and in UTF-8.
//!
//! The first bytes decide what a file is, not its name. Forms may be in each other, as `x.gz` in `x.gz`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bzip2::bufread::MultiBzDecoder;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::GzDecoder;
use indicatif::ProgressBar;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Buffer for compressed bytes. Plain bytes are read in larger blocks, which bypass it.
const BUFFER_BYTES: usize = 64 * 1024;
/// How often a file may be compressed.
const LAYERS_MAX: usize = 4;
/// How many bytes show what a file is.
const BEGINNING_BYTES: u64 = 10;
/// Memory that the decoder of an `.xz` file may take, in KiB: four times what `xz -9` needs.
const XZ_MEMORY_KIB: u32 = 256 * 1024;

/// The name that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// A file that can be read several times. What cannot, as standard input or a pipe, is copied to a temporary file first.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    path: PathBuf,
    copy: Option<Arc<File>>,
}

/// A reader of a file at its own position: others may read the same file.
pub(crate) struct FileAt {
    file: Arc<File>,
    at: u64,
}

impl InputFile {
    /// Returns the files at `paths`; `-` is standard input.
    pub(crate) fn all(paths: &[PathBuf]) -> anyhow::Result<Vec<InputFile>> {
        let open = |path: &PathBuf| {
            InputFile::of(path)
                .map_err(|error| anyhow::Error::new(error).context(format!("cannot read {}", path.display())))
        };
        paths.iter().map(open).collect()
    }

    fn of(path: &Path) -> io::Result<InputFile> {
        let copy = if path == Path::new(STANDARD_INPUT) {
            Some(copy_of(io::stdin().lock())?)
        } else {
            let file = File::open(path)?;
            if file.metadata()?.is_file() { None } else { Some(copy_of(file)?) }
        };
        Ok(InputFile { path: path.to_owned(), copy: copy.map(Arc::new) })
    }

    /// Returns the path, as the user wrote it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file at its byte `at`.
    pub(crate) fn open_at(&self, at: u64) -> io::Result<FileAt> {
        let file = match &self.copy {
            Some(copy) => copy.clone(),
            None => Arc::new(File::open(&self.path)?),
        };
        Ok(FileAt { file, at })
    }

    /// Opens the file and returns its text. `bar` counts the bytes of the file.
    pub(crate) fn text(&self, bar: &ProgressBar) -> io::Result<Box<dyn Read>> {
        text_of(bar.wrap_read(self.open_at(0)?))
    }
}

impl FileAt {
    /// Returns the length of the file in bytes.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Read for FileAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Copies `bytes` to a temporary file that only this user can read. The file has no name, so nothing remains of it.
fn copy_of(mut bytes: impl Read) -> io::Result<File> {
    let in_folder = |error: io::Error| {
        let folder = std::env::temp_dir();
        io::Error::new(
            error.kind(),
            format!("{error} (it is copied to {} first; TMPDIR names another folder)", folder.display()),
        )
    };
    let mut file = tempfile::tempfile().map_err(in_folder)?;
    let mut buffer = vec![0; 4 * BUFFER_BYTES];
    loop {
        let read = match bytes.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok(file);
        }
        io::Write::write_all(&mut file, &buffer[..read]).map_err(in_folder)?;
    }
}

/// Returns whether the bytes are UTF-8 text already, neither compressed nor in another encoding.
pub(crate) fn is_plain(bytes: &mut impl Read) -> io::Result<bool> {
    let beginning = beginning_of(bytes)?;
    Ok(Compression::of(&beginning).is_none() && encoding_of(&beginning).is_none())
}

/// Returns the text in `bytes`, decompressed and in UTF-8.
pub(crate) fn text_of(bytes: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut bytes: Box<dyn Read> = Box::new(bytes);
    for _ in 0..LAYERS_MAX {
        let beginning = beginning_of(&mut bytes)?;
        let compression = Compression::of(&beginning);
        let encoding = encoding_of(&beginning);
        bytes = Box::new(Cursor::new(beginning).chain(bytes));
        match (compression, encoding) {
            (Some(compression), _) => bytes = compression.decoder(bytes),
            (None, Some(encoding)) => {
                return Ok(Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(bytes)));
            }
            (None, None) => break,
        }
    }
    Ok(bytes)
}

/// Returns the data in a base64 text, decompressed and at most `bytes_max` of it; `None` where the text is not such data.
pub(crate) fn unpack(text: &str, bytes_max: usize) -> Option<Vec<u8>> {
    const ANY_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let data = GeneralPurpose::new(alphabet, ANY_PADDING).decode(text).ok()?;
    let mut unpacked = Vec::new();
    // Damaged data is used up to the damage.
    let _ = text_of(Cursor::new(data)).ok()?.take(bytes_max as u64).read_to_end(&mut unpacked);
    Some(unpacked)
}

fn beginning_of(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    bytes.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Returns the encoding of UTF-16 text, by its byte order mark or, without one, by the zeros beside its first letters.
fn encoding_of(beginning: &[u8]) -> Option<&'static Encoding> {
    match beginning {
        [0xff, 0xfe, ..] | [b'{' | b'[', 0, _, 0, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] | [0, b'{' | b'[', 0, _, ..] => Some(UTF_16BE),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    fn of(beginning: &[u8]) -> Option<Compression> {
        match beginning {
            [0x1f, 0x8b, ..] => Some(Compression::Gzip),
            // A frame, or a skippable frame, with which pzstd begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Compression::Bzip2),
            _ => None,
        }
    }

    fn decoder(self, bytes: Box<dyn Read>) -> Box<dyn Read> {
        let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
        match self {
            Compression::Gzip => Box::new(Gzip { member: Some(GzDecoder::new(bytes)) }),
            Compression::Zstd => Box::new(Zstd { decoder: FrameDecoder::new(), source: bytes, is_in_frame: false }),
            Compression::Xz => Box::new(XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB)),
            Compression::Bzip2 => Box::new(MultiBzDecoder::new(bytes)),
        }
    }
}

/// Decompresses all members of a gzip file: `cat a.gz b.gz` makes several. Padding and other bytes behind them are ignored,
/// as gzip itself does.
struct Gzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let source = self.member.take().map(GzDecoder::into_inner);
            self.member = source.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut source: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let rest = source.fill_buf()?;
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            let is_member = matches!(rest, [0x1f] | [0x1f, 0x8b, ..]);
            return Ok(is_member.then(|| GzDecoder::new(source)));
        }
        source.consume(zeros);
    }
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
