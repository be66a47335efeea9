//! bytes -> packet: rules 1 to 6.
//!
//! `etherparse` reads Ethernet, VLAN tags, the fixed IPv6 header and UDP, whose checks it makes in the order of the rules. It asks for
//! IPv4 options, TCP options and extension headers as a whole, which a frame cut by a snap length need not hold: those are read here.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{Ethernet2HeaderSlice, Ipv6HeaderSlice, SingleVlanHeaderSlice, UdpHeaderSlice, err::ipv6::HeaderSliceError};
use treeline_ebpf::{Link, Skip};

const VLAN_TAGS_MAX: usize = 2;
const EXTENSION_HEADERS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];
const EXTENSION_HEADERS_MAX: usize = 8;
/// No header behind an extension header begins later than this, counted from an Ethernet header whether or not there is one.
const HEADER_OFFSET_MAX: usize = 1_024;

/// One end of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Its address; the kind tells the IP version.
    pub address: IpAddr,
    /// Its port, 0 for a protocol without ports.
    pub port: u16,
}

/// What the packets of a flow have in common, whichever way they go (rule 6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    protocol: u8,
    lower: Endpoint,
    upper: Endpoint,
}

/// What the rules ask about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    /// For IPv6 the one behind the extension headers.
    pub(super) protocol: u8,
    /// Length of the IP packet as its header has it, bytes.
    pub(super) length: u32,
    /// TCP only.
    pub(super) flags: Option<Flags>,
}

/// The TCP flags that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent bits on the wire")]
pub(super) struct Flags {
    pub(super) fin: bool,
    pub(super) syn: bool,
    pub(super) rst: bool,
    pub(super) ack: bool,
}

/// What IP says about the packet it carries.
struct Network {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    length: usize,
    /// Where the IP headers end, bytes from the start of the frame.
    payload_offset: usize,
    /// What the IP length leaves behind them, bytes.
    payload_length: usize,
    /// The first fragment of several: the rest of the payload is elsewhere.
    first_fragment: bool,
}

impl Packet {
    /// Reads a frame that begins at the Ethernet header, or at the IP header.
    pub(super) fn parse(frame: &[u8], link: Link) -> Result<Self, Skip> {
        let (ether_type, offset, offset_max) = match link {
            Link::Ethernet => ethernet(frame).map(|(ether_type, offset)| (ether_type, offset, HEADER_OFFSET_MAX))?,
            Link::Ip => (version(frame)?, 0, HEADER_OFFSET_MAX - 14),
        };
        let network = match ether_type {
            0x0800 => ipv4(frame, offset)?,
            0x86dd => ipv6(frame, offset, offset_max)?,
            _ => return Err(Skip::NotIp),
        };
        let (ports, flags) = match network.protocol {
            6 => tcp(frame, &network)?,
            17 => (udp(frame, &network)?, None),
            _ if frame.len() < network.payload_offset => return Err(Skip::Truncated),
            _ => ((0, 0), None),
        };
        Ok(Self {
            source: Endpoint { address: network.source, port: ports.0 },
            destination: Endpoint { address: network.destination, port: ports.1 },
            protocol: network.protocol,
            length: u32::try_from(network.length).expect("at most 40 + 65,535"),
            flags,
        })
    }

    pub(super) fn key(&self) -> Key {
        let (lower, upper) = (self.source.min(self.destination), self.source.max(self.destination));
        Key { protocol: self.protocol, lower, upper }
    }
}

/// The `count` bytes at `offset`, which the frame must hold.
fn need(frame: &[u8], offset: usize, count: usize) -> Result<&[u8], Skip> {
    frame.get(offset..offset + count).ok_or(Skip::Truncated)
}

fn big_endian(bytes: &[u8]) -> u16 {
    u16::from(bytes[0]) << 8 | u16::from(bytes[1])
}

/// Rule 1: the `EtherType` behind at most two tags and where its header begins.
fn ethernet(frame: &[u8]) -> Result<(u16, usize), Skip> {
    let mut ether_type = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Skip::Truncated)?.ether_type().0;
    let mut offset = 14;
    for _ in 0..VLAN_TAGS_MAX {
        if ether_type == 0x8100 || ether_type == 0x88a8 {
            ether_type = SingleVlanHeaderSlice::from_slice(&frame[offset..]).map_err(|_| Skip::Truncated)?.ether_type().0;
            offset += 4;
        }
    }
    Ok((ether_type, offset))
}

/// Rule 1 without Ethernet: the `EtherType` of the IP version.
fn version(frame: &[u8]) -> Result<u16, Skip> {
    match need(frame, 0, 1)?[0] {
        0x40..0x50 => Ok(0x0800),
        0x60..0x70 => Ok(0x86dd),
        _ => Err(Skip::NotIp),
    }
}

/// Rule 2.
fn ipv4(frame: &[u8], offset: usize) -> Result<Network, Skip> {
    let header = need(frame, offset, 20)?;
    let version = header[0] / 16;
    let header_length = usize::from(header[0] % 16) * 4;
    let total_length = usize::from(big_endian(&header[2..4]));
    if version != 4 || header_length < 20 || total_length < header_length {
        return Err(Skip::Malformed);
    }
    let fragment = big_endian(&header[6..8]);
    if fragment & 0x1fff != 0 {
        return Err(Skip::LaterFragment);
    }
    let address = |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
    Ok(Network {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        length: total_length,
        payload_offset: offset + header_length,
        payload_length: total_length - header_length,
        first_fragment: fragment & 0x2000 != 0,
    })
}

/// Rule 3.
fn ipv6(frame: &[u8], offset: usize, offset_max: usize) -> Result<Network, Skip> {
    let header = Ipv6HeaderSlice::from_slice(&frame[offset..]).map_err(|error| match error {
        HeaderSliceError::Len(_) => Skip::Truncated,
        HeaderSliceError::Content(_) => Skip::Malformed,
    })?;
    let payload_length = usize::from(header.payload_length());
    if payload_length == 0 && header.next_header().0 == 0 {
        return Err(Skip::Malformed);
    }
    let mut network = Network {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: header.next_header().0,
        length: 40 + payload_length,
        payload_offset: offset + 40,
        payload_length,
        first_fragment: false,
    };
    for _ in 0..EXTENSION_HEADERS_MAX {
        if EXTENSION_HEADERS.contains(&network.protocol) {
            step_over_extension(frame, &mut network, offset_max)?;
        }
    }
    if EXTENSION_HEADERS.contains(&network.protocol) {
        return Err(Skip::HeaderChain);
    }
    Ok(network)
}

/// Rule 3, one extension header: `network` then stands at what follows it.
fn step_over_extension(frame: &[u8], network: &mut Network, offset_max: usize) -> Result<(), Skip> {
    let start = need(frame, network.payload_offset, 4)?;
    let size = usize::from(start[1]);
    let length = match network.protocol {
        44 => 8,
        51 => (size + 2) * 4,
        _ => (size + 1) * 8,
    };
    if length > network.payload_length {
        return Err(Skip::Malformed);
    }
    if network.protocol == 44 {
        // RFC 8200, section 4.5: 13 bits of offset, 2 reserved, 1 more-fragments.
        let fragment = big_endian(&start[2..4]);
        if fragment / 8 != 0 {
            return Err(Skip::LaterFragment);
        }
        network.first_fragment |= fragment % 2 == 1;
    }
    network.protocol = start[0];
    network.payload_offset += length;
    network.payload_length -= length;
    if network.payload_offset > offset_max {
        return Err(Skip::HeaderChain);
    }
    Ok(())
}

/// Rule 4: source and destination port.
type Ports = (u16, u16);

fn tcp(frame: &[u8], network: &Network) -> Result<(Ports, Option<Flags>), Skip> {
    if network.payload_length < 20 {
        return Err(Skip::Malformed);
    }
    let header = need(frame, network.payload_offset, 20)?;
    let data_offset = usize::from(header[12] / 16) * 4;
    if data_offset < 20 || data_offset > network.payload_length {
        return Err(Skip::Malformed);
    }
    let bit = |number: u8| header[13] >> number & 1 == 1;
    let flags = Flags { fin: bit(0), syn: bit(1), rst: bit(2), ack: bit(4) };
    Ok(((big_endian(&header[..2]), big_endian(&header[2..4])), Some(flags)))
}

fn udp(frame: &[u8], network: &Network) -> Result<Ports, Skip> {
    if network.payload_length < 8 {
        return Err(Skip::Malformed);
    }
    let behind = frame.get(network.payload_offset..).ok_or(Skip::Truncated)?;
    let header = UdpHeaderSlice::from_slice(behind).map_err(|_| Skip::Truncated)?;
    let length = usize::from(header.length());
    if length < 8 || (length > network.payload_length && !network.first_fragment) {
        return Err(Skip::Malformed);
    }
    Ok((header.source_port(), header.destination_port()))
}
