//! Edges of files: one short conversation in each container, so that all of them must give the same packets.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapTsResolution, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness};

use super::packet::{IP, MAC_LEFT, tcp, udp};
use super::{Edge, Frame, S, frame_at};

/// The snap length in every file header, bytes.
const SNAP_LENGTH: u32 = 262_144;

/// How the frames are put into a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Little-endian, Ethernet, as all the other edges.
    PcapNanoseconds,
    /// Big-endian.
    PcapBigEndian,
    /// Microseconds.
    PcapMicroseconds,
    /// [`Container::PcapNanoseconds`] within gzip.
    Gzip,
    /// [`Container::PcapNanoseconds`] within zstd.
    Zstd,
    /// `LINKTYPE_LINUX_SLL`.
    Sll,
    /// `LINKTYPE_LINUX_SLL2`.
    Sll2,
    /// `LINKTYPE_RAW`.
    RawIp,
    /// `LINKTYPE_NULL`, the family in both byte orders and with each system's value for IPv6.
    Null,
    /// pcapng, nanoseconds, odd frames from a second interface of raw IP.
    PcapngTwoInterfaces,
}

impl Container {
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "pcap.gz",
            Self::Zstd => "pcap.zst",
            Self::PcapngTwoInterfaces => "pcapng",
            _ => "pcap",
        }
    }

    /// The file with these frames; compressed where the container is.
    pub fn file_bytes(self, frames: &[Frame]) -> Vec<u8> {
        let plain = self.plain_bytes(frames);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(&plain).and_then(|()| encoder.finish()).expect("memory")
            }
            Self::Zstd => zstd::encode_all(&plain[..], 19).expect("memory"),
            _ => plain,
        }
    }

    /// The file before it is compressed.
    pub fn plain_bytes(self, frames: &[Frame]) -> Vec<u8> {
        if self == Self::PcapngTwoInterfaces { pcapng(frames) } else { self.pcap(frames) }
    }

    fn pcap(self, frames: &[Frame]) -> Vec<u8> {
        let header = PcapHeader {
            snaplen: SNAP_LENGTH,
            datalink: match self {
                Self::Sll => DataLink::LINUX_SLL,
                Self::Sll2 => DataLink::LINUX_SLL2,
                Self::RawIp => DataLink::RAW,
                Self::Null => DataLink::NULL,
                _ => DataLink::ETHERNET,
            },
            ts_resolution: match self {
                Self::PcapMicroseconds => PcapTsResolution::MicroSecond,
                _ => PcapTsResolution::NanoSecond,
            },
            endianness: if self == Self::PcapBigEndian { Endianness::Big } else { Endianness::Little },
            ..PcapHeader::default()
        };
        let mut writer = PcapWriter::with_header(Vec::new(), header).expect("memory");
        for (index, frame) in frames.iter().enumerate() {
            let bytes = self.link_layer(index, &frame.bytes);
            let original_length = usize::try_from(frame.original_length).expect("a frame") + bytes.len() - frame.bytes.len();
            let original_length = u32::try_from(original_length).expect("a frame");
            let packet = PcapPacket::new(Duration::from_nanos(frame.time_ns), original_length, bytes);
            writer.write_packet(&packet.expect("a frame")).expect("memory");
        }
        writer.into_inner()
    }

    /// The frame with the link header of this container instead of Ethernet's.
    fn link_layer(self, index: usize, frame: &[u8]) -> Vec<u8> {
        let header = match self {
            // Outgoing, Ethernet, an address of six bytes: that of the left host.
            Self::Sll => [&[0, 4, 0, 1, 0, 6], &MAC_LEFT[..], &[0, 0], &frame[12..IP]].concat(),
            Self::Sll2 => [&frame[12..IP], &[0, 0, 0, 0, 0, 3, 0, 1, 4, 6], &MAC_LEFT, &[0, 0]].concat(),
            Self::RawIp => Vec::new(),
            Self::Null => {
                // Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin.
                let family: u32 = if frame[12] == 8 { 2 } else { [10, 23, 24, 28, 30][index % 5] };
                if index.is_multiple_of(2) { family.to_le_bytes().to_vec() } else { family.to_be_bytes().to_vec() }
            }
            _ => return frame.to_vec(),
        };
        [&header, &frame[IP..]].concat()
    }
}

fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let interface = |link, name: &'static str| InterfaceDescriptionBlock {
        linktype: link,
        snaplen: SNAP_LENGTH,
        options: vec![InterfaceDescriptionOption::IfName(name.into()), InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO)],
    };
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), Endianness::Little).expect("memory");
    writer.write_block(&interface(DataLink::ETHERNET, "eth0").into_block()).expect("memory");
    writer.write_block(&interface(DataLink::RAW, "tun0").into_block()).expect("memory");
    for (index, frame) in frames.iter().enumerate() {
        let interface_id = u32::from(index % 2 == 1);
        let data = if interface_id == 1 { &frame.bytes[IP..] } else { &frame.bytes[..] };
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(frame.time_ns),
            original_len: u32::try_from(data.len()).expect("a frame"),
            data: data.into(),
            options: vec![],
        };
        writer.write_block(&block.into_block()).expect("memory");
    }
    writer.into_inner()
}

/// A conversation over IPv4 and IPv6; its times are whole microseconds, so that every container keeps them.
fn conversation() -> Vec<Frame> {
    let (client, server) = ("192.0.2.1:40000", "198.51.100.2:80");
    let (client6, server6) = ("[2001:db8::1]:53000", "[2001:db8::2]:53");
    vec![
        frame_at(0, tcp(client, server, "S", b"")),
        frame_at(20_000_000, tcp(server, client, "SA", b"")),
        frame_at(20_100_000, tcp(client, server, "A", b"")),
        frame_at(20_200_000, tcp(client, server, "PA", b"GET / HTTP/1.1\r\n\r\n")),
        frame_at(41_000_000, tcp(server, client, "PA", b"HTTP/1.1 200 OK\r\n\r\n")),
        frame_at(S, udp(client6, server6, b"question one")),
        frame_at(S + 15_000_000, udp(server6, client6, b"answer one")),
        frame_at(S + 16_000_000, udp(client6, server6, b"question two")),
        frame_at(S + 30_000_000, udp(server6, client6, b"answer two")),
        frame_at(S + 31_000_000, udp(client6, server6, b"question three")),
        frame_at(2 * S, tcp(client, server, "FA", b"")),
        frame_at(2 * S + 20_000_000, tcp(server, client, "FA", b"")),
        frame_at(2 * S + 20_100_000, tcp(client, server, "A", b"")),
    ]
}

pub fn edges() -> Vec<Edge> {
    let edge = |name, shows, container| Edge { name, shows, container, frames: conversation() };
    vec![
        edge(
            "nanoseconds",
            "one conversation, the same in the nine files below: pcap, little-endian, nanoseconds",
            Container::PcapNanoseconds,
        ),
        edge("microseconds", "the conversation in microseconds", Container::PcapMicroseconds),
        edge("big-endian", "the conversation in a big-endian pcap, nanoseconds", Container::PcapBigEndian),
        edge(
            "pcapng",
            "the conversation in pcapng, nanoseconds, two interfaces: Ethernet and raw IP in turns",
            Container::PcapngTwoInterfaces,
        ),
        edge("gzip", "the conversation within gzip", Container::Gzip),
        edge("zstd", "the conversation within zstd", Container::Zstd),
        edge("sll", "the conversation as Linux cooked v1, link type 113", Container::Sll),
        edge("sll2", "the conversation as Linux cooked v2, link type 276", Container::Sll2),
        edge("raw-ip", "the conversation as raw IP, link type 101", Container::RawIp),
        edge("null", "the conversation as BSD loopback, link type 0: both byte orders, five values for IPv6", Container::Null),
    ]
}
