//! The format pcap: a header of 24 bytes, then records of 16 bytes and a packet.
//!
//! Source: draft-ietf-opsawg-pcap, sections 4 and 5. The version, the time zone and the accuracy are ignored, as libpcap
//! ignores the latter two, and the snap length too: a packet has the length that its record gives.

use pcap_file::pcap::{PcapParseError, PcapParser, PcapTsResolution};

use super::link::Link;
use super::stream::{RECORD_LENGTH_MAX, Stream};
use super::{CaptureError, Next};
use crate::Frame;

const FILE_HEADER_LENGTH: usize = 24;
const RECORD_HEADER_LENGTH: usize = 16;

/// The link type within its field; above it are the length of the frame check sequence and reserved bits.
const LINK_TYPE_MASK: u32 = 0x03ff_ffff;

pub(super) struct Pcap {
    parser: PcapParser,
    link: Link,
    fraction_ns: u64,
}

impl Pcap {
    pub(super) fn new(stream: &mut Stream) -> Result<Self, CaptureError> {
        if !stream.fill(FILE_HEADER_LENGTH) {
            return Err(stream.truncated("file header", FILE_HEADER_LENGTH as u64));
        }
        let (_, parser) = PcapParser::new(stream.bytes()).expect("24 bytes that begin with one of the four magic numbers are a header");
        let header = parser.header();
        let number = u32::from(header.datalink) & LINK_TYPE_MASK;
        let link = Link::from_number(number, header.endianness).ok_or_else(|| stream.unsupported(number, 0))?;
        stream.take(FILE_HEADER_LENGTH);
        let fraction_ns = match header.ts_resolution {
            PcapTsResolution::MicroSecond => 1_000,
            PcapTsResolution::NanoSecond => 1,
        };
        Ok(Self { parser, link, fraction_ns })
    }

    #[inline]
    pub(super) fn next_into(&self, stream: &mut Stream, frame: &mut Frame) -> Result<Next, CaptureError> {
        loop {
            let bytes = stream.bytes();
            let needed = match self.parser.next_raw_packet(bytes) {
                Ok((rest, packet)) if packet.incl_len <= RECORD_LENGTH_MAX => {
                    let length = bytes.len() - rest.len();
                    // Each factor is below 2^32, so the sum is below 2^63.
                    frame.time_ns = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * self.fraction_ns;
                    frame.original_length = self.link.write_ethernet(&packet.data, packet.orig_len, &mut frame.bytes);
                    stream.take(length);
                    return Ok(Next::Frame);
                }
                Ok((_, packet)) => return Err(stream.too_long(packet.incl_len)),
                // The need is that of the header first, then that of the packet without it.
                Err(PcapParseError::IncompleteBuffer(needed, _)) if bytes.len() >= RECORD_HEADER_LENGTH => {
                    let captured = u32::try_from(needed).expect("a length that was a u32");
                    if captured > RECORD_LENGTH_MAX {
                        return Err(stream.too_long(captured));
                    }
                    RECORD_HEADER_LENGTH + needed
                }
                Err(PcapParseError::IncompleteBuffer(..)) => RECORD_HEADER_LENGTH,
                Err(PcapParseError::Validation(error)) => unreachable!("a raw packet is not validated: {error}"),
            };
            if !stream.fill(needed) {
                let what = if needed == RECORD_HEADER_LENGTH { "record header" } else { "record" };
                return if stream.at_end()? { Ok(Next::End) } else { Err(stream.truncated(what, needed as u64)) };
            }
        }
    }
}
