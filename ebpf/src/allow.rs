//! packet -> allowed: whose packets pass unclassified, whatever the tree would say.
//!
//! An entry is a network and, if it names some, the services in it; of several networks that hold an address the longest prefix alone
//! counts. Not here: where entries are kept and found (the platform), the file they are read from (the simulator).

use crate::{Key, Platform};

/// Services an entry can name.
pub const SERVICES_MAX: usize = 8;
/// Bits of an address.
pub const ADDRESS_BITS: u32 = 128;

/// A map's key: `prefix_bits` leading bits of `address`, in network order. IPv4 is mapped into IPv6 (RFC 4291, 2.5.5.2), so its prefixes
/// have 96 bits more.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Network {
    /// Bits that count, at most [`ADDRESS_BITS`].
    pub prefix_bits: u32,
    /// The address; the bits behind the prefix are 0.
    pub address: [u8; 16],
}

const _: () = assert!(size_of::<Network>() == 20);

/// A protocol and a port of an allowed host.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Service {
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
    /// The port, in the machine's byte order.
    pub port: u16,
}

/// A map's value: what is allowed of the addresses in a network.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Allowed {
    /// How many services there are, at most [`SERVICES_MAX`]; 0: everything.
    pub count: u32,
    /// The services; those behind the last are zero.
    pub services: [Service; SERVICES_MAX],
}

const _: () = assert!(size_of::<Allowed>() == 36);

impl Allowed {
    /// Whether an endpoint with this protocol and port is allowed.
    #[must_use]
    #[inline(always)]
    pub fn admits(&self, protocol: u8, port: u16) -> bool {
        let mut admitted = self.count == 0;
        for (service, index) in self.services.iter().zip(0..) {
            admitted |= index < self.count && service.protocol == protocol && service.port == port;
        }
        admitted
    }
}

/// An endpoint's address as a map's key has it: two words that lie in memory in network order.
#[must_use]
#[inline(always)]
pub const fn mapped(version: u8, address: [u64; 2]) -> [u64; 2] {
    let [high, low] = address;
    [high.to_be(), if version == 4 { (low | 0xffff_0000_0000).to_be() } else { low.to_be() }]
}

/// Whether either endpoint of a flow is allowed.
#[inline(always)]
pub(crate) fn passes<P: Platform>(platform: &P, key: &Key) -> bool {
    endpoint(platform, key, key.low, key.low_port) || endpoint(platform, key, key.high, key.high_port)
}

#[inline(always)]
fn endpoint<P: Platform>(platform: &P, key: &Key, address: [u64; 2], port: u16) -> bool {
    platform.allowed(mapped(key.version, address)).is_some_and(|allowed| allowed.admits(key.protocol, port))
}
