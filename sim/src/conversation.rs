//! A flow's endpoints as people read them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use treeline_ebpf::Flow;
use treeline_ebpf::flow::{Address, ORIGINATOR_LOW};

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
}

fn address([high, low]: Address, version: u8) -> IpAddr {
    if version == 4 {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(low).unwrap_or_default()))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
    }
}
