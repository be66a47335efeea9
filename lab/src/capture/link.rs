//! Link types: every packet becomes an Ethernet frame, so that each engine sees the same bytes.
//!
//! The link header is removed and an Ethernet header of 14 bytes put in its place; the length on the wire changes by
//! the same number of bytes. Its `EtherType` comes from the link header:
//!
//! | link type | `EtherType` | addresses |
//! |---|---|---|
//! | Ethernet (1) | the frame stays as it is, even one of 0 to 13 bytes | its own |
//! | raw IP (12, 14, 101) | by the IP version, the first four bits | zero |
//! | raw IPv4 (228), raw IPv6 (229) | IPv4, IPv6 | zero |
//! | Linux cooked v1 (113), v2 (276) | its protocol field, as it is, below 0x0600 too | source, if it has six bytes |
//! | null (0), loop (108) | by the address family, in either byte order | zero |
//! | PPP (9), with HDLC framing (50), with a direction (204) | by the PPP protocol, one or two bytes long; `ff 03` before it, or Cisco's HDLC in its place (`0f`, `8f`) | zero |
//! | PPP of pppd (166), whose address byte is the direction | by the PPP protocol | zero |
//! | `PPPoE` (51) | by the PPP protocol of a session's packet | zero |
//! | Cisco HDLC (104), with a direction (205) | its protocol field | zero |
//! | IP over `InfiniBand` (242): a global routing header of 40 bytes and the 4 of RFC 4391, as tcpdump and Wireshark read it | its type field | zero |
//! | Netfilter's NFLOG (239): the payload alone | by the address family, or else the hardware protocol | zero |
//!
//! A packet that is shorter than its link header, or holds neither IPv4 nor IPv6 where nothing else can be told, gets
//! `EtherType` 0: no engine takes it for IP, and it is counted like any other frame. What was captured of an incomplete
//! link header is not carried over.
//!
//! Source: <https://www.tcpdump.org/linktypes.html> and the pages for `LINKTYPE_LINUX_SLL`, `LINKTYPE_LINUX_SLL2` and `LINKTYPE_NFLOG`; RFC
//! 1661, RFC 1662, RFC 2516 (PPP) and RFC 1547, section 4.3.1 (Cisco).

use pcap_file::Endianness;

use super::order::u16_at;

/// Length of the Ethernet header that is put before packets of other link types, bytes.
pub const ETHERNET_HEADER_LENGTH: usize = 14;

/// The supported link types with their numbers, for messages and help.
pub const SUPPORTED: &str = "Ethernet (1), raw IP (12, 14, 101, 228, 229), Linux cooked (113, 276), BSD loopback (0, 108), \
                             PPP (9, 50, 51, 166, 204), Cisco HDLC (104, 205), NFLOG (239), IP over InfiniBand (242)";

const ETHERTYPE_NONE: u16 = 0;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A global routing header, which may hold anything, and the type and reserved bytes of RFC 4391, section 6.
const INFINIBAND_HEADER_LENGTH: usize = 44;

/// A link type whose packets can be made Ethernet frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// `LINKTYPE_ETHERNET` (1).
    Ethernet,
    /// `LINKTYPE_RAW` (101), and 12 and 14 as some systems write it: IPv4 or IPv6, without link header.
    Ip,
    /// `LINKTYPE_IPV4` (228).
    Ipv4,
    /// `LINKTYPE_IPV6` (229).
    Ipv6,
    /// `LINKTYPE_LINUX_SLL` (113): 16 bytes.
    Sll,
    /// `LINKTYPE_LINUX_SLL2` (276): 20 bytes.
    Sll2,
    /// `LINKTYPE_NULL` (0) and `LINKTYPE_LOOP` (108): 4 bytes of address family.
    Null,
    /// `LINKTYPE_PPP` (9) and `LINKTYPE_PPP_HDLC` (50).
    Ppp,
    /// `LINKTYPE_PPP_ETHER` (51).
    PppEther,
    /// `LINKTYPE_PPP_PPPD` (166).
    PppPppd,
    /// `LINKTYPE_PPP_WITH_DIR` (204).
    PppWithDirection,
    /// `LINKTYPE_C_HDLC` (104).
    CiscoHdlc,
    /// `LINKTYPE_C_HDLC_WITH_DIR` (205).
    CiscoHdlcWithDirection,
    /// `LINKTYPE_NFLOG` (239), whose fields have the byte order of the file.
    Nflog(Endianness),
    /// `LINKTYPE_IPOIB` (242).
    InfiniBand,
}

/// What a link header says.
struct Header {
    /// Where the payload begins.
    start: usize,
    source: [u8; 6],
    ethertype: u16,
    /// The payload's length, where the header says it: what follows belongs to the link again.
    payload_length: Option<usize>,
}

impl Header {
    fn new(start: usize, ethertype: u16) -> Self {
        Self { start, source: [0; 6], ethertype, payload_length: None }
    }
}

impl Link {
    /// The link type of a number of the registry, in a file of this byte order; `None` if it is not supported.
    #[must_use]
    pub fn from_number(number: u32, order: Endianness) -> Option<Self> {
        Some(match number {
            0 | 108 => Self::Null,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            12 | 14 | 101 => Self::Ip,
            51 => Self::PppEther,
            104 => Self::CiscoHdlc,
            113 => Self::Sll,
            166 => Self::PppPppd,
            204 => Self::PppWithDirection,
            205 => Self::CiscoHdlcWithDirection,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            239 => Self::Nflog(order),
            242 => Self::InfiniBand,
            276 => Self::Sll2,
            _ => return None,
        })
    }

    /// Least length of the link header that is removed, bytes; 0 for Ethernet, whose header stays.
    #[must_use]
    pub fn header_length_min(self) -> usize {
        match self {
            Self::Ethernet | Self::Ip | Self::Ipv4 | Self::Ipv6 => 0,
            Self::Ppp => 1,
            Self::PppWithDirection => 2,
            Self::PppPppd => 3,
            Self::Null | Self::CiscoHdlc => 4,
            Self::CiscoHdlcWithDirection => 5,
            Self::PppEther => 6,
            Self::Nflog(_) => 8,
            Self::Sll => 16,
            Self::Sll2 => 20,
            Self::InfiniBand => INFINIBAND_HEADER_LENGTH,
        }
    }

    /// Writes `packet` as an Ethernet frame into `bytes`, replacing what is there, and returns its length on the wire.
    ///
    /// `original_length` is the length on the wire with the link header. Lengths saturate.
    #[inline]
    pub fn write_ethernet(self, packet: &[u8], original_length: u32, bytes: &mut Vec<u8>) -> u32 {
        bytes.clear();
        if self == Self::Ethernet {
            bytes.extend_from_slice(packet);
            return original_length;
        }
        let header = self.header(packet).unwrap_or_else(|| Header::new(self.header_length_min(), ETHERTYPE_NONE));
        let payload = packet.get(header.start..).unwrap_or_default();
        let payload = &payload[..payload.len().min(header.payload_length.unwrap_or(usize::MAX))];
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&header.source);
        bytes.extend_from_slice(&header.ethertype.to_be_bytes());
        bytes.extend_from_slice(payload);
        let removed = u32::try_from(header.start).unwrap_or(u32::MAX);
        let payload_length = header.payload_length.and_then(|length| u32::try_from(length).ok());
        let payload_length = payload_length.unwrap_or_else(|| original_length.saturating_sub(removed));
        payload_length.saturating_add(u32::try_from(ETHERNET_HEADER_LENGTH).unwrap_or(u32::MAX))
    }

    /// The link header of `packet`; `None` if it is incomplete.
    fn header(self, packet: &[u8]) -> Option<Header> {
        let start = self.header_length_min();
        let ethertype = |at| be16(packet, at);
        Some(match self {
            Self::Ethernet => Header::new(0, ETHERTYPE_NONE),
            Self::Ip => Header::new(0, version(packet)),
            Self::Ipv4 => Header::new(0, ETHERTYPE_IPV4),
            Self::Ipv6 => Header::new(0, ETHERTYPE_IPV6),
            Self::Sll => Header { source: source(packet, 6, be16(packet, 4)?)?, ..Header::new(start, ethertype(14)?) },
            Self::Sll2 => Header {
                source: source(packet, 12, (*packet.get(11)?).into())?,
                ..Header::new(packet.get(start..).map(|_| start)?, ethertype(0)?)
            },
            Self::Null => Header::new(start, family(*packet.first_chunk()?)),
            Self::Ppp => ppp_framed(packet, 0)?,
            Self::PppWithDirection => ppp_framed(packet, 1)?,
            Self::PppPppd => ppp(packet, 2)?,
            // Version and type 1, code 0: a session's packet, RFC 2516, section 4.
            Self::PppEther if packet.first_chunk()? == &[0x11, 0] => ppp(packet, start)?,
            Self::PppEther => Header::new(start, ETHERTYPE_NONE),
            Self::CiscoHdlc => Header::new(start, ethertype(2)?),
            Self::CiscoHdlcWithDirection => Header::new(start, ethertype(3)?),
            Self::Nflog(order) => nflog(packet, order)?,
            Self::InfiniBand => Header::new(packet.get(start..).map(|_| start)?, ethertype(40)?),
        })
    }
}

fn be16(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..at + 2).map(|field| u16::from_be_bytes([field[0], field[1]]))
}

/// The `EtherType` of IP's version.
fn version(packet: &[u8]) -> u16 {
    match packet.first().map(|first| first >> 4) {
        Some(4) => ETHERTYPE_IPV4,
        Some(6) => ETHERTYPE_IPV6,
        _ => ETHERTYPE_NONE,
    }
}

/// The sender of a cooked packet, if its address has six bytes.
fn source(packet: &[u8], at: usize, length: u16) -> Option<[u8; 6]> {
    let address = packet.get(at..)?.first_chunk()?;
    Some(if length == 6 { *address } else { [0; 6] })
}

fn family(header: [u8; 4]) -> u16 {
    let family = u32::from_le_bytes(header);
    // No family is above 65535: such a value is in the other byte order.
    match if family > 0xffff { family.swap_bytes() } else { family } {
        2 => ETHERTYPE_IPV4,
        // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 23 | 24 | 28 | 30 => ETHERTYPE_IPV6,
        _ => ETHERTYPE_NONE,
    }
}

/// PPP, with the framing of HDLC or without, or Cisco's HDLC.
fn ppp_framed(packet: &[u8], at: usize) -> Option<Header> {
    match packet.get(at..)? {
        [0x0f | 0x8f, ..] => Some(Header::new(at + 4, be16(packet, at + 2)?)),
        [0xff, 0x03, ..] => ppp(packet, at + 2),
        _ => ppp(packet, at),
    }
}

/// PPP's protocol field at `at`: of one byte where that is odd, RFC 1661, section 6.5.
fn ppp(packet: &[u8], at: usize) -> Option<Header> {
    let first = *packet.get(at)?;
    let (protocol, length) = if first & 1 == 1 { (first.into(), 1) } else { (be16(packet, at)?, 2) };
    let ethertype = match protocol {
        0x0021 => ETHERTYPE_IPV4,
        0x0057 => ETHERTYPE_IPV6,
        _ => ETHERTYPE_NONE,
    };
    Some(Header::new(at + length, ethertype))
}

/// The payload among the attributes of a message of Netfilter's log.
fn nflog(packet: &[u8], order: Endianness) -> Option<Header> {
    const PACKET_HEADER: u16 = 1;
    const PAYLOAD: u16 = 9;
    let by_family = match packet.first()? {
        2 => ETHERTYPE_IPV4,
        10 => ETHERTYPE_IPV6,
        _ => ETHERTYPE_NONE,
    };
    // Family, version, group; then attributes: length with these four bytes, kind, value, padding to four.
    let (mut at, mut hardware_protocol) = (4, ETHERTYPE_NONE);
    loop {
        let attribute = packet.get(at..at + 4)?;
        let (length, kind) = (usize::from(u16_at(order, attribute, 0)), u16_at(order, attribute, 2));
        let value_length = length.checked_sub(4)?;
        match kind {
            PACKET_HEADER => hardware_protocol = be16(packet, at + 4)?,
            PAYLOAD => {
                let ethertype = if by_family == ETHERTYPE_NONE { hardware_protocol } else { by_family };
                return Some(Header { payload_length: Some(value_length), ..Header::new(at + 4, ethertype) });
            }
            _ => {}
        }
        at += length.next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::super::unsupported;
    use super::*;

    const OTHERS: [Link; 13] = [
        Link::Ip,
        Link::Ipv4,
        Link::Ipv6,
        Link::Sll,
        Link::Sll2,
        Link::Null,
        Link::Ppp,
        Link::PppEther,
        Link::PppPppd,
        Link::PppWithDirection,
        Link::CiscoHdlc,
        Link::CiscoHdlcWithDirection,
        Link::InfiniBand,
    ];

    /// The packet as Ethernet must be these addresses, this type and this payload, 100 bytes more on the wire.
    fn check(link: Link, packet: &[u8], source: [u8; 6], ethertype: u16, payload: &[u8]) {
        let mut bytes = vec![0xee; 3];
        let original_length = u32::try_from(packet.len()).expect("short") + 100;
        let length = link.write_ethernet(packet, original_length, &mut bytes);
        let expected = [&[0; 6][..], &source, &ethertype.to_be_bytes(), payload].concat();
        assert_eq!(bytes, expected, "{link:?} {packet:02x?}");
        assert_eq!(length as usize, expected.len() + 100, "{link:?} {packet:02x?}");
    }

    #[test]
    fn ethernet_frames_stay_as_they_are() {
        for length in 0..20 {
            let packet: Vec<u8> = (0..length).collect();
            let mut bytes = vec![0xee; 3];
            assert_eq!(Link::Ethernet.write_ethernet(&packet, 7, &mut bytes), 7);
            assert_eq!(bytes, packet);
        }
    }

    #[test]
    fn raw_ip_takes_its_type_from_the_version_or_the_link_type() {
        for (packet, ethertype) in [(&[0x45, 1][..], 0x0800), (&[0x60, 1], 0x86dd), (&[0x4f], 0x0800), (&[0x30], 0), (&[], 0)] {
            check(Link::Ip, packet, [0; 6], ethertype, packet);
            check(Link::Ipv4, packet, [0; 6], 0x0800, packet);
            check(Link::Ipv6, packet, [0; 6], 0x86dd, packet);
        }
    }

    #[test]
    fn cooked_packets_keep_their_protocol_and_a_sender_of_six_bytes() {
        for ethertype in [0x0800, 0x86dd, 0x8100, 0x0806, 0x0004, 0x0001, 0] {
            let [high, low] = u16::to_be_bytes(ethertype);
            for (length, source) in [(6, [1, 2, 3, 4, 5, 6]), (0, [0; 6]), (4, [0; 6]), (8, [0; 6])] {
                let packet = [0, 4, 0, 1, 0, length, 1, 2, 3, 4, 5, 6, 7, 8, high, low, 0x45];
                check(Link::Sll, &packet, source, ethertype, &[0x45]);
                let packet = [high, low, 0, 0, 0, 0, 0, 2, 0, 1, 4, length, 1, 2, 3, 4, 5, 6, 7, 8, 0x45];
                check(Link::Sll2, &packet, source, ethertype, &[0x45]);
            }
        }
    }

    #[test]
    fn address_families_are_read_in_both_byte_orders() {
        let ipv6 = [10, 23, 24, 28, 30].map(|family| (family, 0x86dd));
        for (family, ethertype) in ipv6.into_iter().chain([(2_u32, 0x0800), (0, 0), (7, 0), (0x0200, 0), (0x0101_0101, 0)]) {
            for header in [family.to_le_bytes(), family.to_be_bytes()] {
                check(Link::Null, &[&header[..], &[0x45]].concat(), [0; 6], ethertype, &[0x45]);
            }
        }
    }

    #[test]
    fn ppp_is_read_with_and_without_framing_and_with_short_protocols() {
        for (protocol, ethertype) in [([0, 0x21], 0x0800), ([0, 0x57], 0x86dd), ([0xc0, 0x21], 0), ([0, 0x2d], 0)] {
            for header in [&[0xff, 3, protocol[0], protocol[1]][..], &protocol, &[0xff, 3, protocol[1]], &protocol[1..]] {
                // A protocol above 255 has no short form.
                if protocol[0] > 0 && !header.contains(&protocol[0]) {
                    continue;
                }
                check(Link::Ppp, &[header, &[0x45]].concat(), [0; 6], ethertype, &[0x45]);
                check(Link::PppWithDirection, &[&[1], header, &[0x45]].concat(), [0; 6], ethertype, &[0x45]);
            }
            let [high, low] = protocol;
            check(Link::PppPppd, &[0, 3, high, low, 0x45], [0; 6], ethertype, &[0x45]);
            check(Link::PppEther, &[0x11, 0, 0, 7, 0, 3, high, low, 0x45], [0; 6], ethertype, &[0x45]);
        }
        // A discovery packet has tags where a session's has PPP.
        check(Link::PppEther, &[0x11, 9, 0, 0, 0, 4, 0, 0x21, 0, 0], [0; 6], 0, &[0, 0x21, 0, 0]);
    }

    #[test]
    fn cisco_hdlc_keeps_its_protocol() {
        for address in [0x0f, 0x8f] {
            let packet = [address, 0, 0x86, 0xdd, 0x60];
            check(Link::CiscoHdlc, &packet, [0; 6], 0x86dd, &[0x60]);
            check(Link::Ppp, &packet, [0; 6], 0x86dd, &[0x60]);
            check(Link::CiscoHdlcWithDirection, &[&[1], &packet[..]].concat(), [0; 6], 0x86dd, &[0x60]);
        }
    }

    #[test]
    fn infiniband_keeps_its_type_behind_a_routing_header() {
        check(Link::InfiniBand, &[&[0x60; 40][..], &[8, 0, 0, 0, 0x45]].concat(), [0; 6], 0x0800, &[0x45]);
    }

    /// A message of Netfilter's log with these attributes.
    fn message(order: Endianness, family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let field = |value: u16| if order.is_big() { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut message = vec![family, 0, 0, 5];
        for (kind, value) in attributes {
            message.extend(field(u16::try_from(value.len()).expect("short") + 4));
            message.extend(field(*kind));
            message.extend_from_slice(value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }

    #[test]
    fn netfilters_log_gives_its_payload_in_the_byte_order_of_the_file() {
        let header = (1, &[0x86, 0xdd, 1, 0][..]);
        for order in [Endianness::Little, Endianness::Big] {
            let link = Link::Nflog(order);
            let mut bytes = Vec::new();
            for (family, ethertype) in [(2, [8, 0]), (10, [0x86, 0xdd]), (7, [0x86, 0xdd]), (0, [0x86, 0xdd])] {
                let message = message(order, family, &[header, (10, b"prefix\0"), (9, b"payload"), (11, &[0, 0, 0, 1])]);
                assert_eq!(link.write_ethernet(&message, 400, &mut bytes), 21, "the payload's length, not the message's");
                assert_eq!(bytes, [&[0; 12], &ethertype[..], b"payload"].concat());
            }
            // Cut by a snap length: the attribute still says how long the payload was.
            let whole = message(order, 2, &[header, (9, b"payload")]);
            assert_eq!(link.write_ethernet(&whole[..whole.len() - 5], 400, &mut bytes), 21);
            assert_eq!(bytes, [&[0; 12][..], &[8, 0], b"pay"].concat());
            // Without a payload, cut before it, or with a length that cannot be.
            let short = [&message(order, 2, &[])[..], &[1, 0, 1, 0]].concat();
            for broken in [&message(order, 2, &[header]), &whole[..14], &short, &[2]] {
                link.write_ethernet(broken, 400, &mut bytes);
                assert_eq!(bytes[12..14], [0, 0], "{broken:02x?}");
            }
        }
    }

    #[test]
    fn packet_shorter_than_its_link_header_is_a_frame_of_type_zero() {
        for link in OTHERS {
            for length in 0..link.header_length_min() {
                let mut bytes = Vec::new();
                let length = link.write_ethernet(&vec![8; length], 60, &mut bytes);
                assert_eq!(bytes, [0; ETHERNET_HEADER_LENGTH], "{link:?}");
                assert_eq!(length as usize, 60 - link.header_length_min() + ETHERNET_HEADER_LENGTH);
            }
        }
    }

    #[test]
    fn lengths_on_the_wire_saturate() {
        for link in OTHERS {
            // Of odd bytes, for PPP's protocol to have one byte.
            let packet = vec![1; link.header_length_min()];
            assert_eq!(link.write_ethernet(&packet, 0, &mut Vec::new()), 14, "{link:?}");
            let longest = link.write_ethernet(&packet, u32::MAX, &mut Vec::new());
            let expected = (u64::from(u32::MAX) + 14 - link.header_length_min() as u64).min(u32::MAX.into());
            assert_eq!(u64::from(longest), expected, "{link:?}");
        }
    }

    #[test]
    fn what_is_named_as_supported_is() {
        let listed: Vec<u32> = SUPPORTED.split(|byte: char| !byte.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        for number in 0..1000 {
            let link = Link::from_number(number, Endianness::Little);
            assert_eq!(link.is_some(), listed.contains(&number), "{number}");
            assert!(link.is_none() || unsupported::name(number).is_none(), "{number}");
        }
    }
}
