//! Packets: built by etherparse where it can, bent by hand where it will not build anything wrong.
//!
//! Addresses are `ip:port` texts from the documentation ranges (RFC 5737, RFC 3849); flags are letters as tcpdump
//! prints them. The first address is the sender.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Ethernet2Header, IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep};

pub const MAC_LEFT: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const MAC_RIGHT: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Where IP begins in a frame without tags.
pub const IP: usize = 14;
/// Where the transport header begins behind IPv4 without options.
pub const L4: usize = 34;
/// Where the transport or the first extension header begins behind IPv6.
pub const L4_V6: usize = 54;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(MAC_LEFT, MAC_RIGHT)
}

fn ip(from: IpAddr, to: IpAddr) -> PacketBuilderStep<IpHeaders> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet().ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet().ipv6(from.octets(), to.octets(), 64),
        _ => panic!("{from} and {to} are of two families"),
    }
}

/// TCP with `flags` out of `SAFRPU`.
pub fn tcp(from: &str, to: &str, flags: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    let sequence = if flags.contains('S') { 1000 } else { 1001 };
    let mut step = ip(from.ip(), to.ip()).tcp(from.port(), to.port(), sequence, 64240);
    for flag in flags.chars() {
        step = match flag {
            'S' => step.syn(),
            'A' => step.ack(1001),
            'F' => step.fin(),
            'R' => step.rst(),
            'P' => step.psh(),
            'U' => step.urg(0),
            _ => panic!("no flag {flag}"),
        };
    }
    let mut frame = Vec::new();
    step.write_to_vec(&mut frame, payload).expect("a small packet");
    frame
}

pub fn udp(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    let mut frame = Vec::new();
    let step = ip(from.ip(), to.ip()).udp(from.port(), to.port());
    step.write_to_vec(&mut frame, payload).expect("a small packet");
    frame
}

/// ICMP or `ICMPv6`, by the family; the ports of the addresses are not used.
pub fn icmp(from: &str, to: &str, kind: u8, code: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    let mut frame = Vec::new();
    let step = ip(from.ip(), to.ip());
    match from {
        SocketAddr::V4(_) => step.icmpv4_raw(kind, code, [0, 0, 0, 7]).write_to_vec(&mut frame, payload),
        SocketAddr::V6(_) => step.icmpv6_raw(kind, code, [0, 0, 0, 7]).write_to_vec(&mut frame, payload),
    }
    .expect("a small packet");
    frame
}

/// Any IP protocol; the ports of the addresses are not used.
pub fn protocol(from: &str, to: &str, number: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    let mut frame = Vec::new();
    ip(from.ip(), to.ip()).write_to_vec(&mut frame, IpNumber(number), payload).expect("a small packet");
    frame
}

/// Not IP: only the addresses, the `EtherType` and a payload.
pub fn ethernet_only(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&MAC_RIGHT[..], &MAC_LEFT, &ethertype.to_be_bytes(), payload].concat()
}

/// Puts tags between the addresses and the `EtherType`, the outermost first: (TPID, TCI).
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags = tags.iter().flat_map(|(tpid, tci)| [tpid.to_be_bytes(), tci.to_be_bytes()].concat());
    frame[..12].iter().copied().chain(tags).chain(frame[12..].iter().copied()).collect()
}

/// Puts `options`, a multiple of four bytes, behind the IPv4 header.
pub fn with_options(frame: &[u8], options: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..L4], options, &frame[L4..]].concat();
    frame[IP] += u8::try_from(options.len() / 4).expect("at most ten words");
    let total = u16_at(&frame, IP + 2) + u16::try_from(options.len()).expect("at most 40 bytes");
    patched(&frame, IP + 2, &total.to_be_bytes())
}

/// Puts IPv6 extension headers of eight bytes (AH: sixteen) before the transport header, in this order.
pub fn with_extensions(frame: &[u8], kinds: &[u8]) -> Vec<u8> {
    let nexts = kinds.iter().skip(1).copied().chain([frame[IP + 6]]);
    let headers: Vec<u8> = kinds.iter().zip(nexts).flat_map(|(kind, next)| extension(*kind, next)).collect();
    insert_extension(frame, kinds[0], &headers)
}

fn extension(kind: u8, next: u8) -> Vec<u8> {
    match kind {
        // Hop-by-hop and destination options: PadN over the whole header, RFC 8200 section 4.2.
        0 | 60 => vec![next, 0, 1, 4, 0, 0, 0, 0],
        // Fragment: offset 0 and no more of them, an "atomic" fragment, RFC 6946.
        44 => vec![next, 0, 0, 0, 0, 0, 0, 9],
        // AH counts words of four bytes, less two, RFC 4302 section 2.2.
        51 => vec![next, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        _ => vec![next, 0, 0, 0, 0, 0, 0, 0],
    }
}

/// Puts ready-made headers, the first of `kind`, before the transport header.
pub fn insert_extension(frame: &[u8], kind: u8, headers: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..L4_V6], headers, &frame[L4_V6..]].concat();
    frame[IP + 6] = kind;
    let length = u16_at(&frame, IP + 4) + u16::try_from(headers.len()).expect("a short chain");
    patched(&frame, IP + 4, &length.to_be_bytes())
}

/// The fragments of a frame, `step` bytes of IP payload each, a multiple of eight.
pub fn fragments(frame: &[u8], step: usize) -> Vec<Vec<u8>> {
    let version = frame[IP] >> 4;
    let header_length = if version == 4 { L4 } else { L4_V6 };
    let payload = &frame[header_length..];
    let count = payload.len().div_ceil(step);
    let fragment = |(index, part): (usize, &[u8])| {
        let offset = u16::try_from(index * step / 8).expect("a small packet");
        let more = u16::from(index + 1 < count);
        let whole = [&frame[..header_length], part].concat();
        if version == 4 {
            // RFC 791, section 3.1: identification, then three flags and the offset in units of eight bytes.
            let fields = [0x1234_u16.to_be_bytes(), (more << 13 | offset).to_be_bytes()].concat();
            let total = u16::try_from(whole.len() - IP).expect("a small packet");
            patched(&patched(&whole, IP + 4, &fields), IP + 2, &total.to_be_bytes())
        } else {
            // RFC 8200, section 4.5: next header, reserved, offset with the flag in the lowest bit, identification.
            let offset = (offset << 3 | more).to_be_bytes();
            let length = u16::try_from(part.len()).expect("a small packet").to_be_bytes();
            let header = [frame[IP + 6], 0, offset[0], offset[1], 0, 0, 0x12, 0x34];
            insert_extension(&patched(&whole, IP + 4, &length), 44, &header)
        }
    };
    payload.chunks(step).enumerate().map(fragment).collect()
}

/// The frame with `bytes` at `at`, and with a sound checksum if its IPv4 header still has one.
pub fn patched(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    let header_length = usize::from(frame[IP] & 15) * 4;
    if frame[12..14] == [8, 0] && header_length >= 20 && frame.len() >= IP + header_length {
        frame[IP + 10..IP + 12].fill(0);
        let words = frame[IP..IP + header_length].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice");
        frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
    }
    frame
}

fn u16_at(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}
