//! A flow's endpoints as people read them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use treeline_ebpf::flow::{Address, ORIGINATOR_LOW};
use treeline_ebpf::{Flow, Key};

/// Who opened a flow, to whom, over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// Source of the flow's first packet: address and port.
    pub originator: (IpAddr, u16),
    /// Its destination.
    pub responder: (IpAddr, u16),
    /// IP protocol number.
    pub protocol: u8,
}

impl Conversation {
    /// The conversation of a flow that has a packet.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        let key = &flow.key;
        let low = (address(key.low, key.version), key.low_port);
        let high = (address(key.high, key.version), key.high_port);
        let (originator, responder) = if flow.flags & ORIGINATOR_LOW != 0 { (low, high) } else { (high, low) };
        Self { originator, responder, protocol: key.protocol }
    }

    /// The key that the flow has in the table. The originator's address says the IP version.
    #[must_use]
    pub fn key(&self) -> Key {
        let version = if self.originator.0.is_ipv4() { 4 } else { 6 };
        let [originator, responder] = [self.originator, self.responder].map(|(address, port)| (halves(address), port));
        Key::new(version, self.protocol, originator, responder).0
    }
}

fn address([high, low]: Address, version: u8) -> IpAddr {
    if version == 4 {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(low).unwrap_or_default()))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half")]
fn halves(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => [0, address.to_bits().into()],
        IpAddr::V6(address) => [(address.to_bits() >> 64) as u64, address.to_bits() as u64],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_of_a_flow_has_its_key() {
        for (version, low, high) in [(4, [0, 0x0a00_0001], [0, 0x0a00_0002]), (6, [0x2001_0db8 << 32, 1], [0x2001_0db8 << 32, u64::MAX])] {
            let (key, _) = Key::new(version, 6, (low, 443), (high, 50_000));
            for flags in [0, ORIGINATOR_LOW] {
                assert_eq!(Conversation::of(&Flow { flags, ..Flow::new(&key) }).key(), key);
            }
        }
    }
}
