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
//!
//! A packet that is shorter than its link header, or holds neither IPv4 nor IPv6 where nothing else can be told, gets
//! `EtherType` 0: no engine takes it for IP, and it is counted like any other frame. What was captured of an incomplete
//! link header is not carried over.
//!
//! Source: <https://www.tcpdump.org/linktypes.html> and the pages for `LINKTYPE_LINUX_SLL` and `LINKTYPE_LINUX_SLL2`.

/// Length of the Ethernet header that is put before packets of other link types, bytes.
pub const ETHERNET_HEADER_LENGTH: usize = 14;

const ETHERTYPE_NONE: u16 = 0;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

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
}

impl Link {
    /// The link type of a number of the registry; `None` if it is not supported.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 | 108 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 => Self::Ip,
            113 => Self::Sll,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            276 => Self::Sll2,
            _ => return None,
        })
    }

    /// Length of the link header that is removed, bytes; 0 for Ethernet, whose header stays.
    #[must_use]
    pub fn header_length(self) -> usize {
        match self {
            Self::Ethernet | Self::Ip | Self::Ipv4 | Self::Ipv6 => 0,
            Self::Null => 4,
            Self::Sll => 16,
            Self::Sll2 => 20,
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
        let (source, ethertype, payload) = match packet.split_at_checked(self.header_length()) {
            Some((header, payload)) => (self.source(header), self.ethertype(header, payload), payload),
            None => ([0; 6], ETHERTYPE_NONE, &[][..]),
        };
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&source);
        bytes.extend_from_slice(&ethertype.to_be_bytes());
        bytes.extend_from_slice(payload);
        // Both lengths are at most 20.
        #[expect(clippy::cast_possible_truncation, reason = "20 fits into u32")]
        let (removed, added) = (self.header_length() as u32, ETHERNET_HEADER_LENGTH as u32);
        original_length.saturating_sub(removed).saturating_add(added)
    }

    /// `header` has [`Link::header_length`] bytes.
    fn source(self, header: &[u8]) -> [u8; 6] {
        let (length, address) = match self {
            Self::Sll => (u16::from_be_bytes([header[4], header[5]]), &header[6..12]),
            Self::Sll2 => (u16::from(header[11]), &header[12..18]),
            _ => return [0; 6],
        };
        if length == 6 { std::array::from_fn(|at| address[at]) } else { [0; 6] }
    }

    /// `header` has [`Link::header_length`] bytes.
    fn ethertype(self, header: &[u8], payload: &[u8]) -> u16 {
        match self {
            Self::Ethernet => ETHERTYPE_NONE,
            Self::Ip => match payload.first().map(|first| first >> 4) {
                Some(4) => ETHERTYPE_IPV4,
                Some(6) => ETHERTYPE_IPV6,
                _ => ETHERTYPE_NONE,
            },
            Self::Ipv4 => ETHERTYPE_IPV4,
            Self::Ipv6 => ETHERTYPE_IPV6,
            Self::Sll => u16::from_be_bytes([header[14], header[15]]),
            Self::Sll2 => u16::from_be_bytes([header[0], header[1]]),
            Self::Null => {
                let family = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
                // No family is above 65535: such a value is in the other byte order.
                match if family > 0xffff { family.swap_bytes() } else { family } {
                    2 => ETHERTYPE_IPV4,
                    // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin.
                    10 | 23 | 24 | 28 | 30 => ETHERTYPE_IPV6,
                    _ => ETHERTYPE_NONE,
                }
            }
        }
    }
}

/// The registry's name of a link type that is not supported, for error messages; `None` for the rare ones.
#[must_use]
pub fn unsupported_name(number: u32) -> Option<&'static str> {
    Some(match number {
        6 => "IEEE802_5",
        7 => "ARCNET_BSD",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        50 => "PPP_HDLC",
        51 => "PPP_ETHER",
        100 => "ATM_RFC1483",
        104 => "C_HDLC",
        105 => "IEEE802_11",
        107 => "FRELAY",
        117 => "PFLOG",
        119 => "IEEE802_11_PRISM",
        122 => "IP_OVER_FC",
        127 => "IEEE802_11_RADIOTAP",
        129 => "ARCNET_LINUX",
        143 => "DOCSIS",
        147..=162 => "USER0 to USER15",
        163 => "IEEE802_11_AVS",
        166 => "PPP_PPPD",
        187 => "BLUETOOTH_HCI_H4",
        189 => "USB_LINUX",
        192 => "PPI",
        195 => "IEEE802_15_4_WITHFCS",
        201 => "BLUETOOTH_HCI_H4_WITH_PHDR",
        204 => "PPP_WITH_DIR",
        220 => "USB_LINUX_MMAPPED",
        227 => "CAN_SOCKETCAN",
        230 => "IEEE802_15_4_NOFCS",
        239 => "NFLOG",
        249 => "USBPCAP",
        251 => "BLUETOOTH_LE_LL",
        252 => "WIRESHARK_UPPER_PDU",
        253 => "NETLINK",
        254 => "BLUETOOTH_LINUX_MONITOR",
        256 => "BLUETOOTH_LE_LL_WITH_PHDR",
        258 => "PKTAP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: [Link; 6] = [Link::Ip, Link::Ipv4, Link::Ipv6, Link::Sll, Link::Sll2, Link::Null];

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
    fn packet_shorter_than_its_link_header_is_a_frame_of_type_zero() {
        for link in OTHERS {
            for length in 0..link.header_length() {
                let mut bytes = Vec::new();
                let length = link.write_ethernet(&vec![8; length], 60, &mut bytes);
                assert_eq!(bytes, [0; ETHERNET_HEADER_LENGTH], "{link:?}");
                assert_eq!(length as usize, 60 - link.header_length() + ETHERNET_HEADER_LENGTH);
            }
        }
    }

    #[test]
    fn lengths_on_the_wire_saturate() {
        for link in OTHERS {
            let packet = vec![0; link.header_length()];
            assert_eq!(link.write_ethernet(&packet, 0, &mut Vec::new()), 14, "{link:?}");
            let longest = link.write_ethernet(&packet, u32::MAX, &mut Vec::new());
            let expected = (u64::from(u32::MAX) + 14 - link.header_length() as u64).min(u32::MAX.into());
            assert_eq!(u64::from(longest), expected, "{link:?}");
        }
    }

    #[test]
    fn no_supported_link_type_is_named_as_unsupported() {
        for number in 0..1000 {
            assert!(Link::from_number(number).is_none() || unsupported_name(number).is_none(), "{number}");
        }
    }
}
