//! Frames from a recipe: whatever a header may say, true or not.

use proptest::prelude::*;
use proptest::sample::{Index, select};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// One frame to be. The default is a UDP packet from 10.0.0.1:1000 to 10.0.0.2:2000 that carries nothing.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// `EtherTypes` of the VLAN tags, outermost first.
    pub tags: Vec<u16>,
    /// 4 or 6.
    pub version: u8,
    /// Last byte of the source address and its port.
    pub source: (u8, u16),
    /// The same of the destination.
    pub destination: (u8, u16),
    pub protocol: u8,
    /// IPv4 options, words of 4 bytes.
    pub options: u8,
    /// IPv6 extension headers: number and the byte that tells their length.
    pub extensions: Vec<(u8, u8)>,
    /// Fragment offset (8 bytes each) and more-fragments: IPv4's own, IPv6's in each fragment header.
    pub fragment: (u16, bool),
    pub flags: u8,
    /// Bytes behind the transport header.
    pub payload: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            tags: vec![],
            version: 4,
            source: (1, 1000),
            destination: (2, 2000),
            protocol: 17,
            options: 0,
            extensions: vec![],
            fragment: (0, false),
            flags: 0,
            payload: 0,
        }
    }
}

impl Recipe {
    pub fn tcp(flags: u8) -> Self {
        Self { protocol: 6, flags, ..Self::default() }
    }

    pub fn v6() -> Self {
        Self { version: 6, ..Self::default() }
    }

    /// The same packet in the other direction.
    pub fn back(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for tag in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 7]);
        }
        let transport = self.transport();
        match self.version {
            4 => self.ipv4(&mut frame, &transport),
            _ => self.ipv6(&mut frame, &transport),
        }
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = vec![];
        let ports = [self.source.1.to_be_bytes(), self.destination.1.to_be_bytes()].concat();
        match self.protocol {
            6 => {
                bytes.extend(ports);
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.flags, 1, 0, 0, 0, 0, 0]);
            }
            17 => {
                bytes.extend(ports);
                bytes.extend(length(8 + self.payload));
                bytes.extend([0, 0]);
            }
            _ => {}
        }
        bytes.resize(bytes.len() + self.payload, 0xaa);
        bytes
    }

    fn ipv4(&self, frame: &mut Vec<u8>, transport: &[u8]) {
        let header_length = 20 + usize::from(self.options) * 4;
        frame.extend([0x08, 0x00, 0x45 + self.options, 0]);
        frame.extend(length(header_length + transport.len()));
        frame.extend([0, 1]);
        frame.extend((self.fragment.0 & 0x1fff | u16::from(self.fragment.1) << 13).to_be_bytes());
        frame.extend([64, self.protocol, 0, 0]);
        frame.extend([10, 0, 0, self.source.0, 10, 0, 0, self.destination.0]);
        frame.resize(frame.len() + usize::from(self.options) * 4, 1);
        frame.extend(transport);
    }

    fn ipv6(&self, frame: &mut Vec<u8>, transport: &[u8]) {
        let mut extensions = vec![];
        for (index, &(number, size)) in self.extensions.iter().enumerate() {
            let start = extensions.len();
            let next = self.extensions.get(index + 1).map_or(self.protocol, |&(number, _)| number);
            extensions.extend([next, size]);
            extensions.extend((self.fragment.0 << 3 | u16::from(self.fragment.1)).to_be_bytes());
            let bytes = match number {
                44 => 8,
                51 => (usize::from(size) + 2) * 4,
                _ => (usize::from(size) + 1) * 8,
            };
            extensions.resize(start + bytes, 1);
        }
        let first = self.extensions.first().map_or(self.protocol, |&(number, _)| number);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length(extensions.len() + transport.len()));
        frame.extend([first, 64]);
        for host in [self.source.0, self.destination.0] {
            frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
        frame.extend(extensions);
        frame.extend(transport);
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a packet fits its length field").to_be_bytes()
}

prop_compose! {
    /// Few endpoints, so that flows form, and now and then something odd.
    pub fn recipes()(
        tags in prop_oneof![6 => Just(vec![]), 1 => prop::collection::vec(select(vec![0x8100, 0x88a8]), 1..4)],
        version in prop_oneof![3 => Just(4_u8), 1 => Just(6_u8)],
        hosts in prop_oneof![8 => select(vec![(1_u8, 2_u8), (2, 1)]), 1 => (1..3_u8, 1..3_u8)],
        ports in prop_oneof![4 => Just((1000_u16, 1000_u16)), 1 => (select(vec![1000_u16, 2000]), select(vec![1000_u16, 2000]))],
        protocol in prop_oneof![6 => Just(6_u8), 3 => Just(17_u8), 1 => any::<u8>()],
        options in prop_oneof![6 => Just(0_u8), 1 => 1..11_u8],
        extensions in prop_oneof![
            6 => Just(vec![]),
            2 => prop::collection::vec((select(vec![0_u8, 43, 44, 51, 60, 135, 139, 140]), 0..4_u8), 1..11),
            1 => prop::collection::vec((select(vec![0_u8, 43, 51, 60]), any::<u8>()), 1..5),
        ],
        fragment in prop_oneof![8 => Just((0, false)), 1 => Just((0, true)), 1 => (0..0x1fff_u16, any::<bool>())],
        flags in prop_oneof![4 => select(vec![0, SYN, SYN | ACK, ACK, FIN | ACK, RST, SYN | FIN]), 1 => any::<u8>()],
        payload in prop_oneof![3 => 0..1_460_usize, 1 => select(vec![0_usize, 1, 100])],
    ) -> Recipe {
        let (source, destination) = ((hosts.0, ports.0), (hosts.1, ports.1));
        Recipe { tags, version, source, destination, protocol, options, extensions, fragment, flags, payload }
    }
}

/// Frames of [`recipes`]: most as they are, some cut, some with bytes changed.
pub fn frames() -> impl Strategy<Value = Vec<u8>> {
    let bytes = recipes().prop_map(|recipe| recipe.bytes()).boxed();
    prop_oneof![
        6 => bytes.clone(),
        1 => (bytes.clone(), any::<Index>()).prop_map(|(mut bytes, at)| { bytes.truncate(at.index(bytes.len() + 1)); bytes }),
        1 => (bytes.clone(), 0..120_usize).prop_map(|(mut bytes, at)| { bytes.truncate(at); bytes }),
        2 => (bytes, prop::collection::vec((0..90_usize, any::<u8>()), 1..4)).prop_map(|(mut bytes, changes)| {
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes
        }),
    ]
}

/// Steps of the clock in nanoseconds, around an idle timeout of 1 ms and an active timeout of 2 ms.
pub fn steps() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..2_000_i64,
        4 => 0..300_000_i64,
        1 => select(vec![999_999_i64, 1_000_000, 1_000_001]),
        1 => -3_000_i64..0,
        1 => select(vec![-1_000_000_i64, -5_000_001, 0, 1]),
    ]
}
