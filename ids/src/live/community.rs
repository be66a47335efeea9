//! A flow's Community ID, version 1, seed 0: the same text that Zeek and Suricata give the flow.
//!
//! Only for protocols whose flow key holds what the ID is made of. The classifier's key has no ICMP types and no SCTP ports, so such flows
//! get none rather than a wrong one.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use treeline_ebpf::packet::{TCP, UDP};

/// ICMP, ICMP for IPv6 and SCTP: the ID needs types or ports that the flow's key does not have.
const WITHOUT: [u8; 3] = [1, 58, 132];

/// The ID of a flow between two endpoints, in either order; `None` for protocols in [`WITHOUT`].
pub fn id(protocol: u8, one: (IpAddr, u16), other: (IpAddr, u16)) -> Option<String> {
    if WITHOUT.contains(&protocol) {
        return None;
    }
    let ports = matches!(protocol, TCP | UDP);
    Some(hash(protocol, one, other, ports))
}

fn hash(protocol: u8, one: (IpAddr, u16), other: (IpAddr, u16), ports: bool) -> String {
    const SEED: u16 = 0;
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let mut sha1 = Sha1::new();
    sha1.update(SEED.to_be_bytes());
    for (address, _) in [low, high] {
        match address {
            IpAddr::V4(address) => sha1.update(address.octets()),
            IpAddr::V6(address) => sha1.update(address.octets()),
        }
    }
    sha1.update([protocol, 0]);
    if ports {
        for (_, port) in [low, high] {
            sha1.update(port.to_be_bytes());
        }
    }
    format!("1:{}", STANDARD.encode(sha1.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's `baseline_deflt.json`: protocol, endpoints, ID. For ICMP the ports are the type and its counterpart.
    const BASELINE: [(u8, &str, u16, &str, u16, &str); 9] = [
        (6, "128.232.110.120", 34_855, "66.35.250.204", 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (6, "2001:470:e5bf:dead:4957:2174:e82c:4887", 63_943, "2607:f8b0:400c:c03::1a", 25, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="),
        (17, "192.168.1.52", 54_585, "8.8.8.8", 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (46, "10.1.12.1", 0, "10.1.12.2", 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="),
        (1, "192.168.0.89", 8, "192.168.0.1", 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (58, "fe80::200:86ff:fe05:80da", 135, "fe80::260:97ff:fe07:69ea", 136, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
        (58, "fe80::260:97ff:fe07:69ea", 135, "fe80::200:86ff:fe05:80da", 136, "1:zavyT/cezQr1fmImYCwYnMXbgck="),
        (58, "3ffe:507:0:1:200:86ff:fe05:80da", 128, "3ffe:501:0:1001::2", 129, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="),
        (132, "192.168.170.8", 7, "192.168.170.56", 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
    ];

    #[test]
    fn the_hash_is_the_specifications_in_both_directions() {
        for (protocol, source, source_port, destination, destination_port, expected) in BASELINE {
            let [source, destination] = [(source, source_port), (destination, destination_port)]
                .map(|(address, port)| (address.parse::<IpAddr>().expect("an address"), port));
            let ports = protocol != 46;
            assert_eq!(hash(protocol, source, destination, ports), expected, "{protocol} {source:?}");
            assert_eq!(hash(protocol, destination, source, ports), expected, "{protocol} {destination:?}");
        }
    }

    #[test]
    fn a_flow_has_an_id_where_its_key_has_all_of_it() {
        for (protocol, source, source_port, destination, destination_port, expected) in BASELINE {
            let [source, destination] = [(source, source_port), (destination, destination_port)]
                .map(|(address, port)| (address.parse::<IpAddr>().expect("an address"), port));
            let expected = (!WITHOUT.contains(&protocol)).then(|| expected.to_owned());
            assert_eq!(id(protocol, source, destination), expected, "{protocol}");
        }
    }
}
