//! File -> allow-list: whose packets pass unclassified.
//!
//! One entry a line: a network or an address, and behind it, if not everything of it is allowed, its services. `#` begins a comment.
//!
//! ```text
//! 198.18.0.0/24               # everything from and to these
//! 2001:db8::/32
//! 198.18.0.7 tcp/22 udp/53    # only what goes to or comes from these ports of it
//! ```
//!
//! Of several networks that hold an address the longest prefix alone counts. Not here: what is done with an entry (`treeline_ebpf::allow`).

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use treeline_ebpf::Allowed;
use treeline_ebpf::allow::{ADDRESS_BITS, Network, SERVICES_MAX, Service};
use treeline_ebpf::packet::{TCP, UDP};

/// Entries a list may have: what the object's map holds.
pub const ENTRIES_MAX: usize = 65_536;
/// Bits that come before an IPv4 address in one mapped into IPv6.
const MAPPED_BITS: u32 = 96;

/// An allow-list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    entries: Vec<(Network, Allowed)>,
}

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AllowError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not an entry.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

impl List {
    /// Reads a list's file.
    pub fn read(path: &Path) -> Result<Self, AllowError> {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&name, &text),
            Err(source) => Err(AllowError::File { path: name, source }),
        }
    }

    /// Reads a list's text; `path` is for errors.
    pub fn parse(path: &str, text: &str) -> Result<Self, AllowError> {
        let mut list = Self::default();
        let mut lines: HashMap<Network, usize> = HashMap::new();
        for (text, line) in text.lines().zip(1..) {
            let wrong = |reason| AllowError::Line { path: path.to_owned(), line, reason };
            let Some(entry) = entry(text).map_err(wrong)? else { continue };
            if let Some(earlier) = lines.insert(entry.0, line) {
                return Err(wrong(format!("the same network as in line {earlier}; put all its services into one line")));
            }
            if list.entries.len() == ENTRIES_MAX {
                return Err(wrong(format!("more than {ENTRIES_MAX} entries; join networks")));
            }
            list.entries.push(entry);
        }
        Ok(list)
    }

    /// The entries, in the file's order.
    #[must_use]
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &(Network, Allowed)> {
        self.entries.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of the longest prefix that holds an address ([`treeline_ebpf::allow::mapped`]), by looking at each.
    #[must_use]
    pub fn find(&self, address: [u64; 2]) -> Option<&Allowed> {
        let address = u128::from(u64::from_be(address[0])) << 64 | u128::from(u64::from_be(address[1]));
        let holds = |network: &Network| (u128::from_be_bytes(network.address) ^ address) & mask(network.prefix_bits) == 0;
        let held = self.entries.iter().filter(|(network, _)| holds(network));
        held.max_by_key(|(network, _)| network.prefix_bits).map(|(_, allowed)| allowed)
    }
}

impl FromIterator<(Network, Allowed)> for List {
    fn from_iter<I: IntoIterator<Item = (Network, Allowed)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

/// An entry as a map has it: the key's bytes and the value's, in the machine's order.
#[must_use]
pub fn to_bytes((network, allowed): &(Network, Allowed)) -> ([u8; 20], [u8; 36]) {
    let (mut key, mut value) = ([0; 20], [0; 36]);
    key[..4].copy_from_slice(&network.prefix_bits.to_ne_bytes());
    key[4..].copy_from_slice(&network.address);
    value[..4].copy_from_slice(&allowed.count.to_ne_bytes());
    for (place, service) in value[4..].chunks_exact_mut(4).zip(allowed.services) {
        let [low, high] = service.port.to_ne_bytes();
        place.copy_from_slice(&[service.protocol, service.reserved, low, high]);
    }
    (key, value)
}

/// The leading bits.
fn mask(prefix_bits: u32) -> u128 {
    u128::MAX.checked_shl(ADDRESS_BITS - prefix_bits).unwrap_or(0)
}

/// A line's entry, none if nothing is in it.
fn entry(line: &str) -> Result<Option<(Network, Allowed)>, String> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let Some(first) = words.next() else { return Ok(None) };
    let network = network(first)?;
    let mut allowed = Allowed::default();
    for word in words {
        let service = service(word)?;
        let place = allowed.services.get_mut(allowed.count as usize);
        *place.ok_or_else(|| format!("{word}: more than {SERVICES_MAX} services; allow everything of {first} or fewer"))? = service;
        allowed.count += 1;
    }
    Ok(Some((network, allowed)))
}

fn network(word: &str) -> Result<Network, String> {
    let (address, prefix) = word.split_once('/').map_or((word, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr =
        address.parse().map_err(|_| format!("{address}: not an IP address; an entry begins like 198.18.0.0/24 or 2001:db8::7"))?;
    let (mapped, before) = match address {
        IpAddr::V4(address) => (address.to_ipv6_mapped(), MAPPED_BITS),
        IpAddr::V6(address) => (address, 0),
    };
    let bits = match prefix {
        None => ADDRESS_BITS,
        Some(prefix) => prefix
            .parse::<u32>()
            .ok()
            .and_then(|bits| bits.checked_add(before))
            .filter(|bits| *bits <= ADDRESS_BITS)
            .ok_or_else(|| format!("{word}: a prefix has 0 to {} bits", ADDRESS_BITS - before))?,
    };
    let prefix = Ipv6Addr::from(u128::from(mapped) & mask(bits));
    if prefix != mapped {
        let prefix = prefix.to_ipv4_mapped().map_or(IpAddr::V6(prefix), IpAddr::V4);
        return Err(format!("{word}: bits are set behind the prefix; write {prefix}/{}", bits - before));
    }
    Ok(Network { prefix_bits: bits, address: mapped.octets() })
}

fn service(word: &str) -> Result<Service, String> {
    let wrong = || format!("{word}: not a service; one is like tcp/22 or udp/53");
    let (protocol, port) = word.split_once('/').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => TCP,
        "udp" => UDP,
        _ => return Err(wrong()),
    };
    Ok(Service { protocol, reserved: 0, port: port.parse().map_err(|_| wrong())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        List::parse("list", text).expect_err(text).to_string()
    }

    #[test]
    fn a_list_is_read_line_by_line() {
        let text = "# hosts\n198.18.0.0/24\n\n  2001:db8::/32 # all of it\n198.18.0.7 tcp/22 udp/53#two\n0.0.0.0/0";
        let list = List::parse("list", text).expect("a list");
        let bits: Vec<_> = list.entries().map(|(network, allowed)| (network.prefix_bits, allowed.count)).collect();
        assert_eq!(bits, [(120, 0), (32, 0), (128, 2), (96, 0)]);
        let (network, allowed) = list.entries().nth(2).expect("a third");
        assert_eq!(network.address, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 18, 0, 7]);
        assert!(allowed.admits(6, 22) && allowed.admits(17, 53) && !allowed.admits(17, 22) && !allowed.admits(0, 0));
    }

    #[test]
    fn what_is_no_entry_is_refused_with_its_line_and_what_would_be_right() {
        assert_eq!(refused("\nhost"), "list:2: host: not an IP address; an entry begins like 198.18.0.0/24 or 2001:db8::7");
        assert_eq!(refused("198.18.0.0/33"), "list:1: 198.18.0.0/33: a prefix has 0 to 32 bits");
        assert_eq!(refused("2001:db8::/129"), "list:1: 2001:db8::/129: a prefix has 0 to 128 bits");
        assert_eq!(refused("198.18.0.7/24"), "list:1: 198.18.0.7/24: bits are set behind the prefix; write 198.18.0.0/24");
        assert_eq!(refused("198.18.0.7 ssh"), "list:1: ssh: not a service; one is like tcp/22 or udp/53");
        assert_eq!(refused("198.18.0.7 tcp/65536"), "list:1: tcp/65536: not a service; one is like tcp/22 or udp/53");
        let again = refused("198.18.0.7 tcp/22\n198.18.0.7/32 tcp/23");
        assert_eq!(again, "list:2: the same network as in line 1; put all its services into one line");
        let nine = "198.18.0.7".to_owned() + &" tcp/1".repeat(9);
        assert_eq!(refused(&nine), "list:1: tcp/1: more than 8 services; allow everything of 198.18.0.7 or fewer");
    }
}
