//! bytes -> packet: Ethernet with up to two VLAN tags, or nothing, then IPv4 or IPv6, and the ports where the protocol has them.
//!
//! Only headers are read, and a frame shorter than its IP length is still classified: captures are cut by a snap length, and
//! in the kernel only the linear part of a packet is in reach. Payloads are never looked at.

#![expect(clippy::cast_possible_truncation, reason = "fields are cut out of words on purpose")]

use crate::{Key, Platform, Skip};

/// No header is read beyond this offset, so a clipped copy of a frame gives the same packet if it keeps this much and
/// [`HEADER_BYTES_MAX`] more.
pub const OFFSET_MAX: usize = 1024;
/// The most bytes read at once: an IPv6 header.
pub const HEADER_BYTES_MAX: usize = 40;
/// IPv6 extension headers walked before giving up with [`Skip::HeaderChain`].
pub const EXTENSIONS_MAX: usize = 8;

/// Bytes of an Ethernet header.
const ETHERNET_BYTES: usize = 14;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// IEEE 802.1Q customer tag and 802.1ad service tag.
const ETHERTYPES_VLAN: [u16; 2] = [0x8100, 0x88a8];

/// TCP's protocol number.
pub const TCP: u8 = 6;
/// UDP's protocol number.
pub const UDP: u8 = 17;
const IPV6_HOP_BY_HOP: u8 = 0;
const IPV6_ROUTING: u8 = 43;
const IPV6_FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const IPV6_DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// TCP's FIN bit (RFC 9293, 3.1).
pub const FIN: u8 = 0x01;
/// TCP's SYN bit.
pub const SYN: u8 = 0x02;
/// TCP's RST bit.
pub const RST: u8 = 0x04;
/// TCP's ACK bit.
pub const ACK: u8 = 0x10;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Link {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// The IP header: the frames of tunnels and point-to-point links, which have no link header.
    Ip,
}

impl Link {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ethernet, Self::Ip];

    /// No header behind an extension header begins beyond this offset. A packet has the same verdict with and without an Ethernet header.
    #[inline(always)]
    const fn offset_max(self) -> usize {
        match self {
            Self::Ethernet => OFFSET_MAX,
            Self::Ip => OFFSET_MAX - ETHERNET_BYTES,
        }
    }
}

/// What the classifier keeps of a frame.
///
/// `repr(C)`, a byte first: the reason in a `Result<Packet, Skip>` then shares its place with a byte and not with the first word of the key,
/// which the compiler would handle in pieces.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// TCP's flag byte, 0 for other protocols.
    pub tcp_flags: u8,
    /// Whether the packet's source is the key's low endpoint.
    pub from_low: bool,
    /// IP total length in bytes: the header and what follows it, without Ethernet. At most 65,575.
    pub length: u32,
    /// The flow the packet belongs to.
    pub key: Key,
}

/// The network layer, parsed.
struct Network {
    version: u8,
    protocol: u8,
    source: [u64; 2],
    destination: [u64; 2],
    length: u32,
    /// Where the transport header begins in the frame.
    transport: usize,
    /// Bytes of the packet from there on, by the IP length.
    payload: u32,
    /// More fragments follow: the transport's own length speaks of the whole datagram.
    fragmented: bool,
}

/// Parses the frame up to its transport header.
#[inline(always)]
pub fn parse<P: Platform>(platform: &P) -> Result<Packet, Skip> {
    let link = platform.link();
    let (ethertype, offset) = match link {
        Link::Ethernet => ethernet(platform)?,
        Link::Ip => (version(platform)?, 0),
    };
    let network = match ethertype {
        ETHERTYPE_IPV4 => ipv4(platform, offset)?,
        ETHERTYPE_IPV6 => ipv6(platform, offset, link.offset_max())?,
        _ => return Err(Skip::NotIp),
    };
    let (source_port, destination_port, tcp_flags) = transport(platform, &network)?;
    let (key, from_low) =
        Key::new(network.version, network.protocol, (network.source, source_port), (network.destination, destination_port));
    Ok(Packet { key, from_low, length: network.length, tcp_flags })
}

/// The `EtherType` behind up to two VLAN tags, and the offset of what it announces. A third tag is not IP.
#[inline(always)]
fn ethernet<P: Platform>(platform: &P) -> Result<(u16, usize), Skip> {
    let mut offset = ETHERNET_BYTES;
    let mut ethertype = be16(platform, 12)?;
    for _ in 0..2 {
        if !ETHERTYPES_VLAN.contains(&ethertype) {
            break;
        }
        ethertype = be16(platform, offset + 2)?;
        offset += 4;
    }
    Ok((ethertype, offset))
}

/// The `EtherType` that would announce an IP header at the frame's start, by the version in its first four bits.
#[inline(always)]
fn version<P: Platform>(platform: &P) -> Result<u16, Skip> {
    match platform.byte(0).ok_or(Skip::Truncated)? >> 4 {
        4 => Ok(ETHERTYPE_IPV4),
        6 => Ok(ETHERTYPE_IPV6),
        _ => Err(Skip::NotIp),
    }
}

/// RFC 791, 3.1.
#[inline(always)]
fn ipv4<P: Platform>(platform: &P, offset: usize) -> Result<Network, Skip> {
    let [first, fragment, third, source, destination] = platform.words(offset).ok_or(Skip::Truncated)?;
    let header_bytes = (first >> 24 & 0x0f) * 4;
    let length = first & 0xffff;
    if first >> 28 != 4 || header_bytes < 20 || length < header_bytes {
        return Err(Skip::Malformed);
    }
    if fragment & 0x1fff != 0 {
        return Err(Skip::LaterFragment);
    }
    Ok(Network {
        version: 4,
        protocol: (third >> 16) as u8,
        source: [0, u64::from(source)],
        destination: [0, u64::from(destination)],
        length,
        transport: platform.forget(offset + header_bytes as usize),
        payload: length - header_bytes,
        fragmented: fragment & 0x2000 != 0,
    })
}

/// RFC 8200, 3 and 4.
#[inline(always)]
fn ipv6<P: Platform>(platform: &P, offset: usize, offset_max: usize) -> Result<Network, Skip> {
    let [first, second, s0, s1, s2, s3, d0, d1, d2, d3] = platform.words(offset).ok_or(Skip::Truncated)?;
    let payload = second >> 16;
    let next = (second >> 8) as u8;
    // A jumbogram (RFC 2675) says length 0 and hides its length in an option; none crosses an Ethernet.
    if first >> 28 != 6 || (payload == 0 && next == IPV6_HOP_BY_HOP) {
        return Err(Skip::Malformed);
    }
    let mut network = Network {
        version: 6,
        protocol: next,
        source: [join(s0, s1), join(s2, s3)],
        destination: [join(d0, d1), join(d2, d3)],
        length: 40 + payload,
        transport: offset + 40,
        payload,
        fragmented: false,
    };
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(network.protocol) {
            return Ok(network);
        }
        extension(platform, &mut network, offset_max)?;
    }
    if is_extension(network.protocol) { Err(Skip::HeaderChain) } else { Ok(network) }
}

/// The headers that RFC 8200 chains before the transport, by IANA's list of extension header types. ESP hides what follows.
#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, IPV6_HOP_BY_HOP | IPV6_ROUTING | IPV6_FRAGMENT | AUTHENTICATION | IPV6_DESTINATION | MOBILITY | HIP | SHIM6)
}

/// Steps over one extension header.
#[inline(always)]
fn extension<P: Platform>(platform: &P, network: &mut Network, offset_max: usize) -> Result<(), Skip> {
    let [word] = platform.words(network.transport).ok_or(Skip::Truncated)?;
    let units = word >> 16 & 0xff;
    let bytes = match network.protocol {
        IPV6_FRAGMENT => 8,
        AUTHENTICATION => (units + 2) * 4,
        _ => (units + 1) * 8,
    };
    if bytes > network.payload {
        return Err(Skip::Malformed);
    }
    if network.protocol == IPV6_FRAGMENT {
        if word & 0xfff8 != 0 {
            return Err(Skip::LaterFragment);
        }
        network.fragmented = word & 1 != 0;
    }
    network.protocol = (word >> 24) as u8;
    network.payload -= bytes;
    network.transport += bytes as usize;
    if network.transport > offset_max {
        return Err(Skip::HeaderChain);
    }
    network.transport = platform.forget(network.transport);
    Ok(())
}

/// Source port, destination port, TCP flags; zeros for a protocol without ports.
#[inline(always)]
fn transport<P: Platform>(platform: &P, network: &Network) -> Result<(u16, u16, u8), Skip> {
    match network.protocol {
        TCP => {
            // RFC 9293, 3.1. A first fragment too small for the header is RFC 1858's attack.
            if network.payload < 20 {
                return Err(Skip::Malformed);
            }
            let [ports, _, _, fourth, _] = platform.words(network.transport).ok_or(Skip::Truncated)?;
            let header_bytes = (fourth >> 28) * 4;
            if header_bytes < 20 || header_bytes > network.payload {
                return Err(Skip::Malformed);
            }
            Ok(((ports >> 16) as u16, ports as u16, (fourth >> 16) as u8))
        }
        UDP => {
            if network.payload < 8 {
                return Err(Skip::Malformed);
            }
            let [ports, second] = platform.words(network.transport).ok_or(Skip::Truncated)?;
            let length = second >> 16;
            if length < 8 || (length > network.payload && !network.fragmented) {
                return Err(Skip::Malformed);
            }
            Ok(((ports >> 16) as u16, ports as u16, 0))
        }
        // The network headers must be there to their end (IPv4 options, the last extension).
        _ if platform.holds(network.transport) => Ok((0, 0, 0)),
        _ => Err(Skip::Truncated),
    }
}

#[inline(always)]
fn be16<P: Platform>(platform: &P, offset: usize) -> Result<u16, Skip> {
    platform.half(offset).ok_or(Skip::Truncated)
}

#[inline(always)]
fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
