//! What can be wrong with a capture, and where.
//!
//! Every offset counts bytes of the *decompressed* stream from 0 and points at the beginning of the damaged header,
//! record or block. Every frame index is that of the frame which could not be read, so it is also the number of frames
//! that were.

use std::io;
use std::path::PathBuf;

/// Why a capture could not be read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("{}: cannot open the capture", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// The path is that of a directory.
    #[error("{}: a directory; give the captures in it", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },

    /// The file cannot be read, or its compression is damaged or cut.
    #[error("{}: frame {frame_index}: cannot read past byte {offset}", path.display())]
    Read {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Bytes of the decompressed stream that could be read.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// What the operating system or the decompressor says.
        source: io::Error,
    },

    /// There is not a single byte.
    #[error("{}: the file is empty; a capture has at least a header of 24 bytes", path.display())]
    Empty {
        /// The file, or the name given to the reader.
        path: PathBuf,
    },

    /// The first bytes are those of another kind of file.
    #[error(
        "{}: not a capture: begins with {:02x?}{}; supported are pcap and pcapng, plain or compressed with gzip or zstd",
        path.display(), magic, looks_like.map(|kind| format!(", which looks like {kind}")).unwrap_or_default()
    )]
    NotACapture {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// The first four bytes of the decompressed stream.
        magic: [u8; 4],
        /// What kind of file begins like that, where known.
        looks_like: Option<&'static str>,
    },

    /// The file ends inside something.
    #[error("{}: frame {frame_index}: {what} at byte {offset} needs {needed} bytes, the file ends after {found}", path.display())]
    Truncated {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the incomplete part begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// The incomplete part.
        what: &'static str,
        /// Its length in bytes.
        needed: u64,
        /// The bytes of it that there are.
        found: u64,
    },

    /// A length field holds a value that no sound file has.
    #[error(
        "{}: frame {frame_index}: {what} at byte {offset} claims {length} bytes, possible are {length_min} to {length_max}{}",
        path.display(), if *step > 1 { format!(", multiples of {step}") } else { String::new() }
    )]
    LengthField {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the record or block begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// Whose length it is.
        what: &'static str,
        /// The value of the field, bytes.
        length: u32,
        /// Least possible value, bytes.
        length_min: u32,
        /// Greatest possible value, bytes.
        length_max: u32,
        /// Lengths are multiples of this, bytes.
        step: u32,
    },

    /// A block of pcapng repeats its length at its end, and the two differ.
    #[error("{}: frame {frame_index}: block at byte {offset} gives its length as {leading} bytes and again as {trailing}", path.display())]
    BlockTrailer {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the block begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// The length at its beginning, bytes.
        leading: u32,
        /// The length at its end, bytes.
        trailing: u32,
    },

    /// A block of pcapng is shorter than the packet it claims to hold.
    #[error("{}: frame {frame_index}: block at byte {offset} holds {found} bytes, its packet needs {needed}", path.display())]
    PacketTooLong {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the block begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// Captured bytes that the packet claims.
        needed: u32,
        /// Bytes that the block has for them.
        found: usize,
    },

    /// A section of pcapng begins with an unknown byte-order magic or major version, so nothing in it can be read.
    #[error("{}: frame {frame_index}: section at byte {offset} has {what} {found:#x}, supported is {supported:#x}", path.display())]
    Section {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the section begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// The field at fault.
        what: &'static str,
        /// Its value.
        found: u32,
        /// The only value that can be read.
        supported: u32,
    },

    /// More interfaces in one section than the reader keeps.
    #[error("{}: frame {frame_index}: block at byte {offset} describes one interface too many, {interfaces_count_max} a section are supported", path.display())]
    TooManyInterfaces {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the block begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// The limit, [`super::INTERFACES_MAX`].
        interfaces_count_max: usize,
    },

    /// A packet names an interface that its section does not describe.
    #[error("{}: frame {frame_index}: packet at byte {offset} is of interface {interface}, the section describes {interfaces_count}", path.display())]
    UnknownInterface {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the block begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// The interface, counted from 0.
        interface: u32,
        /// Interfaces described so far in this section.
        interfaces_count: usize,
    },

    /// All packets begin with link headers that the reader does not know; this is the first.
    #[error(
        "{}: frame {frame_index}: link type {number}{} at byte {offset} is not supported; \
         supported are {}",
        path.display(), name.map(|name| format!(" ({name})")).unwrap_or_default(), super::link::SUPPORTED
    )]
    LinkType {
        /// The file, or the name given to the reader.
        path: PathBuf,
        /// Where the file header (pcap) or the first packet (pcapng) begins.
        offset: u64,
        /// Index of the frame that could not be read.
        frame_index: u64,
        /// The number, from <https://www.tcpdump.org/linktypes.html>.
        number: u32,
        /// Its name there, for the more frequent ones.
        name: Option<&'static str>,
    },
}
