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
    /// pcapng, and after every fourth frame one of an interface of IEEE 802.11, which is not read.
    PcapngUnsupported,
    /// `LINKTYPE_PPP`: with HDLC's address and control, without, and with a protocol of one byte.
    Ppp,
    /// `LINKTYPE_PPP_HDLC`: PPP, and Cisco's HDLC as unicast and broadcast.
    PppHdlc,
    /// `LINKTYPE_PPP_ETHER`.
    PppEther,
    /// `LINKTYPE_PPP_PPPD`.
    PppPppd,
    /// `LINKTYPE_C_HDLC`.
    CiscoHdlc,
    /// `LINKTYPE_NFLOG`, little-endian: the family of IP or that of bridges, and something behind the payload.
    Nflog,
    /// The same, big-endian.
    NflogBigEndian,
    /// `LINKTYPE_IPOIB`.
    InfiniBand,
}

impl Container {
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "pcap.gz",
            Self::Zstd => "pcap.zst",
            Self::PcapngTwoInterfaces | Self::PcapngUnsupported => "pcapng",
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
        match self {
            Self::PcapngTwoInterfaces => pcapng(frames),
            Self::PcapngUnsupported => pcapng_unsupported(frames),
            _ => self.pcap(frames),
        }
    }

    /// Where in the file the frame of this number is.
    pub fn index(self, number: u64) -> u64 {
        if self == Self::PcapngUnsupported { number + number / 4 } else { number }
    }

    fn pcap(self, frames: &[Frame]) -> Vec<u8> {
        let header = PcapHeader {
            snaplen: SNAP_LENGTH,
            datalink: match self {
                Self::Sll => DataLink::LINUX_SLL,
                Self::Sll2 => DataLink::LINUX_SLL2,
                Self::RawIp => DataLink::RAW,
                Self::Null => DataLink::NULL,
                Self::Ppp => DataLink::PPP,
                Self::PppHdlc => DataLink::PPP_HDLC,
                Self::PppEther => DataLink::PPP_ETHER,
                Self::PppPppd => DataLink::PPP_PPPD,
                Self::CiscoHdlc => DataLink::C_HDLC,
                Self::Nflog | Self::NflogBigEndian => DataLink::NFLOG,
                Self::InfiniBand => DataLink::IPOIB,
                _ => DataLink::ETHERNET,
            },
            ts_resolution: match self {
                Self::PcapMicroseconds => PcapTsResolution::MicroSecond,
                _ => PcapTsResolution::NanoSecond,
            },
            endianness: match self {
                Self::PcapBigEndian | Self::NflogBigEndian => Endianness::Big,
                _ => Endianness::Little,
            },
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
        let is_ipv4 = frame.get(12) == Some(&8);
        let ppp = if is_ipv4 { [0, 0x21] } else { [0, 0x57] };
        let header = match self {
            Self::Ppp => match index % 4 {
                0 => [&[0xff, 3], &ppp[..]].concat(),
                1 => ppp.to_vec(),
                2 => ppp[1..].to_vec(),
                _ => vec![0xff, 3, ppp[1]],
            },
            Self::PppHdlc => match index % 3 {
                0 => [&[0xff, 3], &ppp[..]].concat(),
                1 => [&[0x0f, 0], &frame[12..IP]].concat(),
                _ => [&[0x8f, 0], &frame[12..IP]].concat(),
            },
            Self::PppEther => {
                // Version and type, a session's packet, session 7, the length behind this header.
                let length = u16::try_from(frame.len() - IP + ppp.len()).expect("a frame").to_be_bytes();
                [&[0x11, 0, 0, 7], &length[..], &ppp].concat()
            }
            Self::PppPppd => [&[u8::from(index % 2 == 1), 3], &ppp[..]].concat(),
            Self::CiscoHdlc => [&[0x0f, 0], &frame[12..IP]].concat(),
            Self::Nflog => return nflog(index, frame, u16::to_le_bytes),
            Self::NflogBigEndian => return nflog(index, frame, u16::to_be_bytes),
            // A routing header that says nothing, type, reserved.
            Self::InfiniBand => [&[0; 40], &frame[12..IP], &[0, 0]].concat(),
            // Outgoing, Ethernet, an address of six bytes: that of the left host.
            Self::Sll => [&[0, 4, 0, 1, 0, 6], &MAC_LEFT[..], &[0, 0], &frame[12..IP]].concat(),
            Self::Sll2 => [&frame[12..IP], &[0, 0, 0, 0, 0, 3, 0, 1, 4, 6], &MAC_LEFT, &[0, 0]].concat(),
            Self::RawIp => Vec::new(),
            Self::Null => {
                // Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin.
                let family: u32 = if is_ipv4 { 2 } else { [10, 23, 24, 28, 30][index % 5] };
                if index.is_multiple_of(2) { family.to_le_bytes().to_vec() } else { family.to_be_bytes().to_vec() }
            }
            _ => return frame.to_vec(),
        };
        [&header, &frame[IP..]].concat()
    }
}

/// A message of Netfilter's log: family, version 0, group 5; hook and protocol, a prefix, the payload, now and then the sender's user.
fn nflog(index: usize, frame: &[u8], field: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let attribute = |kind, value: &[u8]| {
        let length = u16::try_from(value.len() + 4).expect("a frame");
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&field(length), &field(kind), value, &padding].concat()
    };
    let family = match index % 3 {
        2 => 7,
        _ if frame[12] == 8 => 2,
        _ => 10,
    };
    [
        vec![family, 0, 0, 5],
        attribute(1, &[&frame[12..IP], &[1, 0]].concat()),
        attribute(10, b"edge\0"),
        attribute(9, &frame[IP..]),
        if index.is_multiple_of(2) { attribute(11, &[0, 0, 3, 0xe8]) } else { Vec::new() },
    ]
    .concat()
}

fn interface(link: DataLink, name: &'static str) -> InterfaceDescriptionBlock<'static> {
    InterfaceDescriptionBlock {
        linktype: link,
        snaplen: SNAP_LENGTH,
        options: vec![InterfaceDescriptionOption::IfName(name.into()), InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO)],
    }
}

fn pcapng_unsupported(frames: &[Frame]) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), Endianness::Little).expect("memory");
    writer.write_block(&interface(DataLink::ETHERNET, "eth0").into_block()).expect("memory");
    writer.write_block(&interface(DataLink::IEEE802_11, "wlan0").into_block()).expect("memory");
    let mut write = |interface_id, time_ns, bytes: &[u8]| {
        let (timestamp, original_len) = (Duration::from_nanos(time_ns), u32::try_from(bytes.len()).expect("a frame"));
        let block = EnhancedPacketBlock { interface_id, timestamp, original_len, data: bytes.into(), options: vec![] };
        writer.write_block(&block.into_block()).expect("memory");
    };
    for (number, frame) in frames.iter().enumerate() {
        write(0, frame.time_ns, &frame.bytes);
        if number % 4 == 3 {
            // An acknowledgement: IEEE 802.11-2020, section 9.3.1.4.
            write(1, frame.time_ns, &[0xd4, 0, 0, 0, 2, 0, 0, 0, 0, 1]);
        }
    }
    writer.into_inner()
}

fn pcapng(frames: &[Frame]) -> Vec<u8> {
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
        edge("nanoseconds", "one conversation, the same in the files below: pcap, little-endian, nanoseconds", Container::PcapNanoseconds),
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
        edge(
            "unsupported-interface",
            "the conversation in pcapng, with a second interface of IEEE 802.11, whose three frames are counted and not read",
            Container::PcapngUnsupported,
        ),
        edge(
            "ppp",
            "the conversation as PPP, link type 9: with and without address and control, protocols of one and two bytes",
            Container::Ppp,
        ),
        edge("ppp-hdlc", "the conversation as PPP in HDLC-like framing and as Cisco HDLC, link type 50", Container::PppHdlc),
        edge("ppp-ether", "the conversation as PPPoE, link type 51", Container::PppEther),
        edge("ppp-pppd", "the conversation as pppd writes PPP, in and out, link type 166", Container::PppPppd),
        edge("cisco-hdlc", "the conversation as Cisco HDLC, link type 104", Container::CiscoHdlc),
        edge(
            "nflog",
            "the conversation as messages of Netfilter's log, link type 239: by IP's family and by a bridge's, attributes behind the payload",
            Container::Nflog,
        ),
        edge("nflog-big-endian", "the same from a big-endian machine", Container::NflogBigEndian),
        edge("ipoib", "the conversation as IP over InfiniBand, link type 242", Container::InfiniBand),
    ]
}
