//! packet -> allowed: rule 13, over whole addresses, bit by bit.

use std::net::{IpAddr, Ipv6Addr};

use super::packet::Endpoint;
use crate::allow::List;

/// A network and the services that are allowed of it; none: all.
#[derive(Debug, Clone)]
struct Entry {
    bits: usize,
    address: Ipv6Addr,
    services: Vec<(u8, u16)>,
}

/// The allow-list as the rule tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Allow(Vec<Entry>);

impl Allow {
    pub(super) fn of(list: &List) -> Self {
        let entry = |(network, allowed): &(treeline_ebpf::allow::Network, treeline_ebpf::Allowed)| Entry {
            bits: network.prefix_bits as usize,
            address: Ipv6Addr::from(network.address),
            services: allowed.services[..allowed.count as usize].iter().map(|service| (service.protocol, service.port)).collect(),
        };
        Self(list.entries().map(entry).collect())
    }

    /// Whether packets of `protocol` from or to this endpoint pass unclassified.
    pub(super) fn admits(&self, protocol: u8, endpoint: &Endpoint) -> bool {
        let address = match endpoint.address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let bit = |address: Ipv6Addr, position: usize| address.octets()[position / 8] & (0x80 >> (position % 8)) != 0;
        let mut nearest: Option<&Entry> = None;
        for entry in &self.0 {
            let holds = (0..entry.bits).all(|position| bit(entry.address, position) == bit(address, position));
            if holds && nearest.is_none_or(|nearest| nearest.bits < entry.bits) {
                nearest = Some(entry);
            }
        }
        nearest.is_some_and(|entry| entry.services.is_empty() || entry.services.contains(&(protocol, endpoint.port)))
    }
}
