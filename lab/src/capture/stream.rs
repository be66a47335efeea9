//! The bytes of a capture: from a file or standard input, decompressed, through one buffer that knows its position.
//!
//! A read error is kept until the bytes before it are used up, so that the frames before the damage come first.
//! What is not here: the decompression itself, and the meaning of the bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compression::TrailingGarbage;
use super::{CaptureError, compression, unsupported};

/// Most captured bytes of one packet; a record that claims more is damage. Also the limit of libpcap and Wireshark.
pub const RECORD_LENGTH_MAX: u32 = 262_144;

/// Initial length of the buffer, bytes.
const BUFFER_LENGTH: usize = 256 * 1024;

/// Which of the two formats begins here.
pub(super) enum Magic {
    Pcap,
    Pcapng,
}

pub(super) struct Stream {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    read_max: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Position of `buffer[start]` in the decompressed stream.
    offset: u64,
    /// Index of the next frame, for errors.
    pub(super) frame_index: u64,
    exhausted: bool,
    error: Option<io::Error>,
    bytes_read: Arc<AtomicU64>,
    pub(super) bytes_total: Option<u64>,
    pub(super) garbage: TrailingGarbage,
}

impl Stream {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            return Self::from_reader(io::stdin(), PathBuf::from("standard input"));
        }
        let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (file, metadata) = opened.map_err(|source| CaptureError::Open { path: path.to_owned(), source })?;
        if metadata.is_dir() {
            return Err(CaptureError::Directory { path: path.to_owned() });
        }
        let mut stream = Self::from_reader(file, path.to_owned())?;
        stream.bytes_total = metadata.is_file().then_some(metadata.len());
        Ok(stream)
    }

    pub(super) fn from_reader(reader: impl Read + Send + 'static, path: PathBuf) -> Result<Self, CaptureError> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = Counted { reader, bytes_read: Arc::clone(&bytes_read) };
        let garbage = TrailingGarbage::default();
        let (reader, read_max) = compression::reader(counted, Some(garbage.clone())).map_err(|source| CaptureError::Read {
            path: path.clone(),
            offset: 0,
            frame_index: 0,
            source,
        })?;
        Ok(Self {
            path,
            reader,
            read_max,
            buffer: vec![0; BUFFER_LENGTH],
            start: 0,
            end: 0,
            offset: 0,
            frame_index: 0,
            exhausted: false,
            error: None,
            bytes_read,
            bytes_total: None,
            garbage,
        })
    }

    /// Which format begins here; nothing is taken.
    pub(super) fn magic(&mut self) -> Result<Magic, CaptureError> {
        if !self.fill(4) {
            if self.bytes().is_empty() && self.error.is_none() {
                return Err(CaptureError::Empty { path: self.path.clone() });
            }
            return Err(self.truncated("file header", 24));
        }
        let magic = std::array::from_fn(|at| self.bytes()[at]);
        match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] | [0xa1, 0xb2, 0xc3, 0xd4] | [0x4d, 0x3c, 0xb2, 0xa1] | [0xa1, 0xb2, 0x3c, 0x4d] => Ok(Magic::Pcap),
            [0x0a, 0x0d, 0x0d, 0x0a] => Ok(Magic::Pcapng),
            _ => Err(CaptureError::NotACapture { path: self.path.clone(), magic, looks_like: looks_like(magic) }),
        }
    }

    /// The bytes at hand, from the current position.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads until `needed` bytes are at hand; `false` if there are not so many. Callers bound `needed`.
    #[inline]
    pub(super) fn fill(&mut self, needed: usize) -> bool {
        self.end - self.start >= needed || self.refill(needed)
    }

    #[cold]
    fn refill(&mut self, needed: usize) -> bool {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < needed {
            self.buffer.resize(needed.next_power_of_two(), 0);
        }
        while self.end < needed && !self.exhausted {
            let room_end = self.buffer.len().min(self.end.saturating_add(self.read_max));
            match self.reader.read(&mut self.buffer[self.end..room_end]) {
                Ok(0) => self.exhausted = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.exhausted = true;
                    self.error = Some(error);
                }
            }
        }
        self.end >= needed
    }

    /// Moves on by `count` bytes, which must be at hand.
    #[inline]
    pub(super) fn take(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start, "{count} of {} bytes", self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Moves on by `count` bytes however many they are, or to the end; returns how many it were.
    pub(super) fn skip(&mut self, count: u64) -> u64 {
        let mut left = count;
        while left > 0 && self.fill(1) {
            let step = self.bytes().len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.take(step);
            left -= step as u64;
        }
        count - left
    }

    /// The file, as errors name it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Position in the decompressed stream, bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Whether the stream ends here; a read error that waits here is returned.
    pub(super) fn at_end(&mut self) -> Result<bool, CaptureError> {
        if self.fill(1) {
            return Ok(false);
        }
        match self.error.take() {
            None => Ok(true),
            Some(source) => Err(self.read_error(source, self.offset)),
        }
    }

    /// The error for something that begins here, needs `needed` bytes and does not have them: cut, or unreadable.
    #[cold]
    pub(super) fn truncated(&mut self, what: &'static str, needed: u64) -> CaptureError {
        let found = self.bytes().len() as u64;
        self.truncated_after(self.offset, found, what, needed)
    }

    /// The same for something that began at `offset` and has `found` bytes, some of which were taken.
    #[cold]
    pub(super) fn truncated_after(&mut self, offset: u64, found: u64, what: &'static str, needed: u64) -> CaptureError {
        match self.error.take() {
            Some(source) => self.read_error(source, offset + found),
            None => CaptureError::Truncated { path: self.path.clone(), offset, frame_index: self.frame_index, what, needed, found },
        }
    }

    fn read_error(&self, source: io::Error, offset: u64) -> CaptureError {
        CaptureError::Read { path: self.path.clone(), offset, frame_index: self.frame_index, source }
    }

    /// The error that `make` makes of path, offset of what begins here, and frame index.
    #[cold]
    pub(super) fn damaged(&self, make: impl FnOnce(PathBuf, u64, u64) -> CaptureError) -> CaptureError {
        make(self.path.clone(), self.offset, self.frame_index)
    }

    /// The error for a packet that claims more than [`RECORD_LENGTH_MAX`].
    #[cold]
    pub(super) fn too_long(&self, length: u32) -> CaptureError {
        self.damaged(|path, offset, frame_index| CaptureError::LengthField {
            path,
            offset,
            frame_index,
            what: "packet",
            length,
            length_min: 0,
            length_max: RECORD_LENGTH_MAX,
            step: 1,
        })
    }

    /// The error for the link type of something at `offset`, which is not supported.
    #[cold]
    pub(super) fn unsupported(&self, number: u32, offset: u64) -> CaptureError {
        let (path, frame_index) = (self.path.clone(), self.frame_index);
        CaptureError::LinkType { path, offset, frame_index, number, name: unsupported::name(number) }
    }
}

/// Counts the bytes that pass, for a progress bar.
struct Counted<R> {
    reader: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What a file that begins like this may be, to help whoever passed it.
fn looks_like(magic: [u8; 4]) -> Option<&'static str> {
    Some(match magic {
        [b's', b'n', b'o', b'o'] => "snoop",
        [0x34, 0xcd, 0xb2, 0xa1] | [0xa1, 0xb2, 0xcd, 0x34] => "pcap with Kuznetzov's longer record header",
        [b'G', b'M', b'B', b'U'] => "Microsoft Network Monitor",
        [0x1f, 0x8b, ..] => "gzip within gzip or zstd",
        [0x28, 0xb5, 0x2f, 0xfd] => "zstd within gzip or zstd",
        [0xfd, b'7', b'z', b'X'] => "xz",
        [b'B', b'Z', b'h', _] => "bzip2",
        [0x04, 0x22, 0x4d, 0x18] => "lz4",
        [b'P', b'K', 3, 4] => "zip",
        [0x7f, b'E', b'L', b'F'] => "an ELF object",
        [b'P', b'A', b'R', b'1'] => "parquet",
        _ if magic.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => "text",
        _ => return None,
    })
}
