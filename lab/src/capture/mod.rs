//! The capture reader: a file or standard input becomes a sequence of [`Frame`]s. The first arrow of the straight line.
//!
//! It reads pcap and pcapng, in micro- and nanoseconds and both byte orders, as they are or compressed with gzip or
//! zstd; the contents decide, never the name. Records are framed by the crate `pcap-file`, through its slice parsers
//! rather than its readers, because those allocate 8 MB, cannot say at which byte they stopped, and refuse what tcpdump
//! reads: a fraction of a second that is too large, a packet longer than the snap length or than its own wire length, a
//! comment that is not UTF-8. A reader holds one buffer of 256 KiB, which grows to [`BLOCK_LENGTH_MAX`] at most, and
//! what a decompressor needs (zstd: a window of up to 128 MiB, if the file asks for one).
//!
//! How it treats what is not plain:
//!
//! | in the file | the frame |
//! |---|---|
//! | packet cut by a snap length | the bytes there are; `original_length` from the file |
//! | packet longer than the snap length or than its wire length | all its bytes; `original_length` from the file |
//! | fraction of a second of one second or more | carried over into the seconds |
//! | seconds after 2038 | seconds are unsigned, up to 2106 in pcap |
//! | time before 1970 or after 2554 (pcapng) | saturated |
//! | simple packet block, which has no time | the time of the frame before it, 0 for the first |
//! | old or unknown version number in a pcap header | ignored: the layout never changed |
//! | unknown blocks and options, name resolution, statistics, secrets | skipped, however long |
//! | other link types than Ethernet | an Ethernet header instead, see [`link`] |
//! | link type that is not supported, beside others (pcapng) | none: counted, see [`Capture::unsupported`] |
//! | garbage behind the last gzip member | none: see [`Capture::warning`] |
//!
//! Damage ends the reading: the frames before it come first, then one [`CaptureError`] that says where, then the end.
//! Inside a compressed file the bytes just before the damage may be lost, as the decompressor never hands them over: at
//! most 16 KiB with gzip, and with zstd the block that is damaged, at most 128 KiB. A wrong byte that still decompresses
//! is noticed by the checksum at the end of the file only, and not at all if the file has none.
//!
//! What is not here: parsing of packets, writing of captures, and live interfaces.

mod clock;
pub mod compression;
pub mod error;
pub mod link;
mod order;
mod pcap;
mod pcapng;
mod stream;
mod unsupported;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use self::error::CaptureError;
pub use self::pcapng::{BLOCK_LENGTH_MAX, INTERFACES_MAX};
pub use self::stream::RECORD_LENGTH_MAX;
use self::stream::Stream;
pub use self::unsupported::Unsupported;
use crate::Frame;

/// A capture being read, frame by frame, in the order of the file.
pub struct Capture {
    stream: Stream,
    format: Format,
    ended: bool,
    frames_max: u64,
    unsupported: Unsupported,
    /// The error to end with, should all packets be of unsupported link types.
    unsupported_first: Option<Box<CaptureError>>,
}

/// What a format found next in the file.
enum Next {
    Frame,
    /// A packet of an interface with this link type, and where it begins.
    Unsupported {
        number: u32,
        offset: u64,
    },
    End,
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
}

impl Capture {
    /// Opens the file at `path`, or standard input if `path` is `-`, and reads the file header.
    ///
    /// Fails if the file cannot be opened or read, is empty, is no capture, ends within its header, or (pcap) has an
    /// unsupported link type. A pcapng file names link types later: see [`Capture::next_into`].
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::new(Stream::open(path)?)
    }

    /// Reads a capture from `reader`; `name` stands for the path in errors. Fails as [`Capture::open`] does.
    pub fn from_reader(reader: impl Read + Send + 'static, name: impl Into<PathBuf>) -> Result<Self, CaptureError> {
        Self::new(Stream::from_reader(reader, name.into())?)
    }

    fn new(mut stream: Stream) -> Result<Self, CaptureError> {
        let format = match stream.magic()? {
            stream::Magic::Pcap => Format::Pcap(pcap::Pcap::new(&mut stream)?),
            stream::Magic::Pcapng => Format::Pcapng(pcapng::Pcapng::default()),
        };
        Ok(Self { stream, format, ended: false, frames_max: u64::MAX, unsupported: Unsupported::default(), unsupported_first: None })
    }

    /// Ends the capture after so many frames, unsupported ones included.
    pub fn stop_after(&mut self, frames_max: u64) {
        self.frames_max = frames_max;
    }

    /// Reads the next frame into `frame`, reusing its buffer; `Ok(false)` at the end of the capture. Frames of unsupported link types are
    /// left out and counted, and the others keep their index in the file.
    ///
    /// On `Ok(false)` and on an error `frame` stays as it was. After either, every further call returns `Ok(false)`.
    ///
    /// Fails at the first damage, at a read error of the file or its compression, and at the end of a pcapng file in which all packets are of
    /// unsupported link types.
    #[inline]
    pub fn next_into(&mut self, frame: &mut Frame) -> Result<bool, CaptureError> {
        while !self.ended {
            if self.stream.frame_index >= self.frames_max {
                return self.end();
            }
            let next = match &mut self.format {
                Format::Pcap(pcap) => pcap.next_into(&mut self.stream, frame),
                Format::Pcapng(pcapng) => pcapng.next_into(&mut self.stream, frame),
            };
            match next {
                Ok(Next::Frame) => {
                    frame.index = self.stream.frame_index;
                    self.stream.frame_index += 1;
                    return Ok(true);
                }
                Ok(Next::Unsupported { number, offset }) => self.leave_out(number, offset),
                Ok(Next::End) => return self.end(),
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    #[cold]
    fn leave_out(&mut self, number: u32, offset: u64) {
        if self.unsupported_first.is_none() {
            self.unsupported_first = Some(Box::new(self.stream.unsupported(number, offset)));
        }
        self.unsupported.add(number);
        self.stream.frame_index += 1;
    }

    /// The end of the capture, which is an error if there was nothing to give.
    #[cold]
    fn end(&mut self) -> Result<bool, CaptureError> {
        self.ended = true;
        match self.unsupported_first.take() {
            Some(error) if self.unsupported.count() == self.stream.frame_index => Err(*error),
            _ => Ok(false),
        }
    }

    /// The frames left out so far, by link type.
    #[must_use]
    pub fn unsupported(&self) -> &Unsupported {
        &self.unsupported
    }

    /// What is odd about the file as far as it was read, and no damage.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let path = self.stream.path().display();
        self.stream.garbage.is_found().then(|| format!("{path}: decompression OK, trailing garbage ignored"))
    }

    /// Bytes taken from the file so far; of a compressed file, compressed ones. Runs ahead of the frames by a buffer.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.stream.bytes_read()
    }

    /// Length of the file in bytes, compressed if it is; `None` for standard input, pipes and readers.
    #[must_use]
    pub fn bytes_total(&self) -> Option<u64> {
        self.stream.bytes_total
    }

    /// Frames read so far, those left out included; also the index of the next one.
    #[must_use]
    pub fn frames_count(&self) -> u64 {
        self.stream.frame_index
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames_count = self.frames_count();
        formatter.debug_struct("Capture").field("frames_count", &frames_count).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// The frames, each in a buffer of its own; an error is the last item. [`Capture::next_into`] is the faster way.
impl Iterator for Capture {
    type Item = Result<Frame, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut frame = Frame::default();
        self.next_into(&mut frame).map(|read| read.then_some(frame)).transpose()
    }
}
