//! `bpf_fib_lookup` from a table of the caller's, in place of the kernel's routes and neighbours.

use super::super::{Fault, Hook};
use super::{EINVAL, ENODEV, Session, errno, stop, with, word};
use std::net::{IpAddr, Ipv6Addr};

/// A route: which packets go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination's network.
    pub destination: IpAddr,
    /// Bits of the network.
    pub prefix_bits: u8,
    /// What happens to packets for it.
    pub next_hop: NextHop,
}

/// Of which family an interface forwards packets: `net.ipv4.conf.IF.forwarding` and `net.ipv6.conf.IF.forwarding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// IPv4 packets.
    pub ipv4: bool,
    /// IPv6 packets.
    pub ipv6: bool,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// Out of an interface.
    Forward {
        /// The interface's index.
        interface: u32,
        /// The next router; without one the destination itself.
        gateway: Option<IpAddr>,
        /// Ethernet addresses of the interface and of the next hop; without them there is no neighbour yet.
        ethernet: Option<([u8; 6], [u8; 6])>,
        /// The longest packet that the route takes, from its IP header on.
        mtu: u32,
        /// The route's metric.
        metric: u32,
        /// The source address a host would choose.
        source: Option<IpAddr>,
    },
    /// Silently dropped.
    Blackhole,
    /// Answered as unreachable.
    Unreachable,
    /// Forbidden.
    Prohibit,
    /// For the host itself: a route of the table `local`, which for IPv6 `BPF_FIB_LOOKUP_DIRECT` leaves out.
    Local,
}

/// Offsets in `struct bpf_fib_lookup`.
mod field {
    pub(super) const FAMILY: usize = 0;
    pub(super) const TOTAL_LENGTH: usize = 6;
    pub(super) const INTERFACE: usize = 8;
    pub(super) const FLOW: usize = 12;
    pub(super) const SOURCE: usize = 16;
    pub(super) const DESTINATION: usize = 32;
    pub(super) const VLAN: usize = 48;
    pub(super) const SOURCE_MAC: usize = 52;
    pub(super) const DESTINATION_MAC: usize = 58;
    pub(super) const LENGTH: usize = 64;
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const EAFNOSUPPORT: i32 = 97;

const SUCCESS: u64 = 0;
const BLACKHOLE: u64 = 1;
const UNREACHABLE: u64 = 2;
const PROHIBIT: u64 = 3;
const NOT_FORWARDED: u64 = 4;
const FORWARDING_DISABLED: u64 = 5;
const NO_NEIGHBOUR: u64 = 7;
const FRAG_NEEDED: u64 = 8;
const NO_SOURCE: u64 = 9;

/// What an interface carries beside its packets: an Ethernet header and a tag.
const FRAME: usize = 14 + 4;

const DIRECT: u64 = 1;
const OUTPUT: u64 = 2;
const SKIP_NEIGHBOUR: u64 = 4;
const TABLE: u64 = 8;
const SOURCE: u64 = 16;
/// All flags of v6.18; the mark (32) only chooses between rules, of which there are none here.
const FLAGS: u64 = 0x3f;

/// In the order of the kernel's checks: <https://github.com/torvalds/linux/blob/v6.18/net/core/filter.c>, `bpf_xdp_fib_lookup`,
/// `bpf_skb_fib_lookup`, `bpf_ipv4_fib_lookup`, `bpf_ipv6_fib_lookup`.
pub(super) fn lookup(context: u64, parameters: u64, length: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        session.expect_context(context, site);
        let length = word(length);
        let mut bytes = session.bytes(2, parameters, length, site);
        if length < field::LENGTH || flags & !FLAGS != 0 {
            return errno(EINVAL);
        }
        let (Some(source), Some(destination)) = (address(&bytes, field::SOURCE), address(&bytes, field::DESTINATION)) else {
            return errno(EAFNOSUPPORT);
        };
        if is_strict(source) || is_strict(destination) {
            return NOT_FORWARDED;
        }
        let interface = u32::from_ne_bytes(bytes[field::INTERFACE..][..4].try_into().expect("four bytes"));
        if !session.mtus.contains_key(&interface) {
            return errno(ENODEV);
        }
        let forwarding = session.forwarding.get(&interface).copied().unwrap_or_default();
        if !(if destination.is_ipv4() { forwarding.ipv4 } else { forwarding.ipv6 }) {
            return FORWARDING_DISABLED;
        }
        if flags & DIRECT != 0 && flags & TABLE != 0 {
            stop(site, Fault::Absent { what: "a route from a table by number" });
        }
        let answer = session.route(&mut bytes, destination, interface, flags);
        session.write(2, parameters, &bytes, site);
        answer
    })
}

/// The address at an offset, of the parameters' family.
fn address(bytes: &[u8], offset: usize) -> Option<IpAddr> {
    match bytes[field::FAMILY] {
        AF_INET => Some(<[u8; 4]>::try_from(&bytes[offset..][..4]).expect("four bytes").into()),
        AF_INET6 => Some(<[u8; 16]>::try_from(&bytes[offset..][..16]).expect("sixteen bytes").into()),
        _ => None,
    }
}

/// `rt6_need_strict`: IPv6 addresses that no router forwards.
fn is_strict(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_multicast() || address.is_unicast_link_local() || address == Ipv6Addr::LOCALHOST)
}

impl Session {
    /// Looks up and fills in the answer.
    fn route(&self, bytes: &mut [u8], destination: IpAddr, asked: u32, flags: u64) -> u64 {
        // An IPv4 route out of another interface than the one asked for is passed over; an IPv6 route is only liked less.
        let is_bound = flags & OUTPUT != 0 && destination.is_ipv4();
        let is_fitting = |route: &&Route| {
            holds(route.destination, route.prefix_bits, destination)
                && match &route.next_hop {
                    NextHop::Forward { interface, .. } => !is_bound || *interface == asked,
                    // Of IPv4 the tables `main` and `local` are one as long as there are no rules.
                    NextHop::Local => flags & DIRECT == 0 || destination.is_ipv4(),
                    _ => true,
                }
        };
        let Some(route) = self.routes.iter().filter(is_fitting).max_by_key(|route| route.prefix_bits) else { return NOT_FORWARDED };
        let (interface, gateway, ethernet, mtu, metric, source) = match &route.next_hop {
            NextHop::Forward { interface, gateway, ethernet, mtu, metric, source } => {
                (*interface, *gateway, *ethernet, *mtu, *metric, *source)
            }
            NextHop::Blackhole => return BLACKHOLE,
            NextHop::Unreachable => return UNREACHABLE,
            NextHop::Prohibit => return PROHIBIT,
            NextHop::Local => return NOT_FORWARDED,
        };
        let total = u32::from(u16::from_ne_bytes([bytes[field::TOTAL_LENGTH], bytes[field::TOTAL_LENGTH + 1]]));
        let set_mtu = |bytes: &mut [u8], mtu: u32| {
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            bytes[field::TOTAL_LENGTH..][..2].copy_from_slice(&mtu.to_ne_bytes());
        };
        // Without a length in the question, a socket buffer's own is tested, at the end.
        let has_length = self.hook == Hook::Xdp || total > 0;
        if has_length && total > mtu {
            set_mtu(bytes, mtu);
            return FRAG_NEEDED;
        }
        // The answer lies in place of the flow's class.
        bytes[field::FLOW..][..4].copy_from_slice(&metric.to_ne_bytes());
        bytes[field::INTERFACE..][..4].copy_from_slice(&interface.to_ne_bytes());
        if let Some(gateway) = gateway {
            bytes[field::FAMILY] = if gateway.is_ipv4() { AF_INET } else { AF_INET6 };
            put(bytes, field::DESTINATION, gateway);
        }
        if flags & SOURCE != 0 {
            let Some(source) = source else { return NO_SOURCE };
            put(bytes, field::SOURCE, source);
        }
        if flags & SKIP_NEIGHBOUR == 0 {
            let Some((own, next)) = ethernet else { return NO_NEIGHBOUR };
            bytes[field::SOURCE_MAC..][..6].copy_from_slice(&own);
            bytes[field::DESTINATION_MAC..][..6].copy_from_slice(&next);
        }
        bytes[field::VLAN..][..4].fill(0);
        if has_length {
            set_mtu(bytes, mtu);
            return SUCCESS;
        }
        let carried = self.mtus.get(&interface).copied().unwrap_or(0);
        set_mtu(bytes, carried);
        if self.packet.length() > carried as usize + FRAME { FRAG_NEEDED } else { SUCCESS }
    }
}

fn put(bytes: &mut [u8], offset: usize, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes[offset..][..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes[offset..][..16].copy_from_slice(&address.octets()),
    }
}

/// Whether a network holds an address.
fn holds(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let same = |one: u128, other: u128, length: u8| {
        let left = u32::from(length.saturating_sub(bits));
        one.checked_shr(left).unwrap_or(0) == other.checked_shr(left).unwrap_or(0)
    };
    match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(u128::from(one.to_bits()), u128::from(other.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}
