//! The format pcapng: sections of blocks, in which interfaces are described and packets refer to them.
//!
//! Source: draft-ietf-opsawg-pcapng, section 4. Blocks are framed by `pcap-file`; of their contents only what a frame
//! needs is read, here, so that a name that is not UTF-8 or an option of a wrong length costs no packet.

use std::borrow::Cow;

use byteorder_slice::{BigEndian, LittleEndian};
use pcap_file::Endianness;
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, PACKET_BLOCK, RawBlock, SECTION_HEADER_BLOCK, SIMPLE_PACKET_BLOCK,
};
use pcap_file::pcapng::{PcapNgFormatError, RawBlockParseError};

use super::clock::Clock;
use super::link::Link;
use super::order::{u16_at, u32_at};
use super::stream::{RECORD_LENGTH_MAX, Stream};
use super::{CaptureError, Next};
use crate::Frame;

/// Longest block that is looked into, bytes; a packet or an interface that claims more is damage.
pub const BLOCK_LENGTH_MAX: u32 = 1 << 20;

/// Most interfaces that one section may describe.
pub const INTERFACES_MAX: usize = 1 << 16;

/// Type and length before the body, and the length again after it, bytes.
const BLOCK_LENGTH_MIN: u32 = 12;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Starts without a section: the first block is a section header, which the caller saw.
#[derive(Default)]
pub(super) struct Pcapng {
    order: Endianness,
    interfaces: Vec<Interface>,
    time_ns_last: u64,
}

struct Interface {
    link_number: u32,
    snap_length: u32,
    clock: Clock,
}

/// What a packet block says, before its link type is looked at.
struct Packet<'a> {
    interface: u32,
    /// In units of the interface's clock; `None` if the block has no time.
    time: Option<u64>,
    original_length: u32,
    captured_length: u32,
    /// The captured bytes, then padding and options.
    bytes: &'a [u8],
}

impl Pcapng {
    pub(super) fn next_into(&mut self, stream: &mut Stream, frame: &mut Frame) -> Result<Next, CaptureError> {
        while !stream.at_end()? {
            if !stream.fill(8) {
                return Err(stream.truncated("block header", 8));
            }
            let kind = u32_at(self.order, stream.bytes(), 0);
            if kind == SECTION_HEADER_BLOCK {
                self.order = section_order(stream)?;
            }
            let length = u32_at(self.order, stream.bytes(), 4);
            let length_min = match kind {
                SECTION_HEADER_BLOCK => 28,
                INTERFACE_DESCRIPTION_BLOCK => 20,
                SIMPLE_PACKET_BLOCK => 16,
                ENHANCED_PACKET_BLOCK | PACKET_BLOCK => 32,
                _ => {
                    skip_block(stream, self.order, length)?;
                    continue;
                }
            };
            check_length(stream, length, length_min, BLOCK_LENGTH_MAX)?;
            if !stream.fill(length as usize) {
                return Err(stream.truncated("block", length.into()));
            }
            let body = block_body(stream, self.order)?;
            let packet = match kind {
                SECTION_HEADER_BLOCK => self.begin_section(stream, body)?,
                INTERFACE_DESCRIPTION_BLOCK => self.add_interface(stream, body)?,
                SIMPLE_PACKET_BLOCK => Some(self.simple_packet(body)),
                _ => Some(self.packet(kind, body)),
            };
            let next = packet.map(|packet| self.write_frame(stream, &packet, frame)).transpose()?;
            stream.take(length as usize);
            if let Some(next) = next {
                return Ok(next);
            }
        }
        Ok(Next::End)
    }

    /// Section header block: nothing of the section before it holds any more.
    fn begin_section(&mut self, stream: &Stream, body: &[u8]) -> Result<Option<Packet<'static>>, CaptureError> {
        self.interfaces.clear();
        let major = u16_at(self.order, body, 4);
        if major == 1 { Ok(None) } else { Err(bad_section(stream, "major version", major.into(), 1)) }
    }

    /// Interface description block.
    fn add_interface(&mut self, stream: &Stream, body: &[u8]) -> Result<Option<Packet<'static>>, CaptureError> {
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(stream.damaged(|path, offset, frame_index| CaptureError::TooManyInterfaces {
                path,
                offset,
                frame_index,
                interfaces_count_max: INTERFACES_MAX,
            }));
        }
        self.interfaces.push(Interface {
            link_number: u16_at(self.order, body, 0).into(),
            snap_length: u32_at(self.order, body, 4),
            clock: Clock::from_options(self.order, &body[8..]),
        });
        Ok(None)
    }

    /// Enhanced packet block, or the obsolete packet block: the latter has a drop count beside a shorter interface.
    fn packet<'a>(&self, kind: u32, body: &'a [u8]) -> Packet<'a> {
        let field = |at| u32_at(self.order, body, at);
        Packet {
            interface: if kind == PACKET_BLOCK { u16_at(self.order, body, 0).into() } else { field(0) },
            time: Some(u64::from(field(4)) << 32 | u64::from(field(8))),
            captured_length: field(12),
            original_length: field(16),
            bytes: &body[20..],
        }
    }

    /// Simple packet block: of the first interface, whose snap length tells how much was captured.
    fn simple_packet<'a>(&self, body: &'a [u8]) -> Packet<'a> {
        let original_length = u32_at(self.order, body, 0);
        let snap_length = self.interfaces.first().map_or(0, |interface| interface.snap_length);
        Packet {
            interface: 0,
            time: None,
            captured_length: if snap_length == 0 { original_length } else { original_length.min(snap_length) },
            original_length,
            bytes: &body[4..],
        }
    }

    fn write_frame(&mut self, stream: &Stream, packet: &Packet, frame: &mut Frame) -> Result<Next, CaptureError> {
        let Some(interface) = self.interfaces.get(packet.interface as usize) else {
            return Err(stream.damaged(|path, offset, frame_index| CaptureError::UnknownInterface {
                path,
                offset,
                frame_index,
                interface: packet.interface,
                interfaces_count: self.interfaces.len(),
            }));
        };
        if packet.captured_length > RECORD_LENGTH_MAX {
            return Err(stream.too_long(packet.captured_length));
        }
        let Some(bytes) = packet.bytes.get(..packet.captured_length as usize) else {
            return Err(stream.damaged(|path, offset, frame_index| CaptureError::PacketTooLong {
                path,
                offset,
                frame_index,
                needed: packet.captured_length,
                found: packet.bytes.len(),
            }));
        };
        if let Some(time) = packet.time {
            self.time_ns_last = interface.clock.time_ns(time);
        }
        let Some(link) = Link::from_number(interface.link_number, self.order) else {
            return Ok(Next::Unsupported { number: interface.link_number, offset: stream.offset() });
        };
        frame.time_ns = self.time_ns_last;
        frame.original_length = link.write_ethernet(bytes, packet.original_length, &mut frame.bytes);
        Ok(Next::Frame)
    }
}

/// The byte order that a section header block declares.
fn section_order(stream: &mut Stream) -> Result<Endianness, CaptureError> {
    if !stream.fill(BLOCK_LENGTH_MIN as usize) {
        return Err(stream.truncated("section header", 28));
    }
    let magic = u32_at(Endianness::Little, stream.bytes(), 8);
    if magic == BYTE_ORDER_MAGIC {
        Ok(Endianness::Little)
    } else if magic.swap_bytes() == BYTE_ORDER_MAGIC {
        Ok(Endianness::Big)
    } else {
        Err(bad_section(stream, "byte-order magic", magic, BYTE_ORDER_MAGIC))
    }
}

#[cold]
fn bad_section(stream: &Stream, what: &'static str, found: u32, supported: u32) -> CaptureError {
    stream.damaged(|path, offset, frame_index| CaptureError::Section { path, offset, frame_index, what, found, supported })
}

fn check_length(stream: &Stream, length: u32, length_min: u32, length_max: u32) -> Result<(), CaptureError> {
    if (length_min..=length_max).contains(&length) && length.is_multiple_of(4) {
        return Ok(());
    }
    Err(stream.damaged(|path, offset, frame_index| CaptureError::LengthField {
        path,
        offset,
        frame_index,
        what: "block",
        length,
        length_min,
        length_max,
        step: 4,
    }))
}

/// The body of the block that begins here, whose length was checked and whose bytes are at hand.
fn block_body(stream: &Stream, order: Endianness) -> Result<&[u8], CaptureError> {
    let parsed = match order {
        Endianness::Big => RawBlock::from_slice::<BigEndian>(stream.bytes()),
        Endianness::Little => RawBlock::from_slice::<LittleEndian>(stream.bytes()),
    };
    match parsed {
        Ok((_, RawBlock { body: Cow::Borrowed(body), .. })) => Ok(body),
        Err(RawBlockParseError::InvalidFormat(PcapNgFormatError::BlockLengthMismatch(leading, trailing))) => {
            Err(bad_trailer(stream, leading, trailing, stream.offset()))
        }
        Ok(_) => unreachable!("a block parsed from a slice borrows it"),
        Err(error) => unreachable!("its length was checked and its bytes are at hand: {error}"),
    }
}

#[cold]
fn bad_trailer(stream: &Stream, leading: u32, trailing: u32, block_offset: u64) -> CaptureError {
    stream.damaged(|path, _, frame_index| CaptureError::BlockTrailer { path, offset: block_offset, frame_index, leading, trailing })
}

/// Moves past a block without holding it: it may be of any length.
fn skip_block(stream: &mut Stream, order: Endianness, length: u32) -> Result<(), CaptureError> {
    check_length(stream, length, BLOCK_LENGTH_MIN, u32::MAX)?;
    let offset = stream.offset();
    let before_trailer = u64::from(length) - 4;
    let skipped = stream.skip(before_trailer);
    if skipped < before_trailer || !stream.fill(4) {
        let found = skipped + stream.bytes().len() as u64;
        return Err(stream.truncated_after(offset, found, "block", length.into()));
    }
    let trailing = u32_at(order, stream.bytes(), 0);
    if trailing != length {
        return Err(bad_trailer(stream, length, trailing, offset));
    }
    stream.take(4);
    Ok(())
}
