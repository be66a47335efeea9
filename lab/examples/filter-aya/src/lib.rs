//! A port filter in Rust for XDP with aya, `program/`, and its tests, `tests/filter.rs`: how a project of its own tests its program with
//! `treeline-lab`. The object is committed (`build` makes it), so that the tests want no BPF toolchain.

use etherparse::PacketBuilder;

/// The object, as `build` makes it from `program/`.
pub const OBJECT: &[u8] = include_bytes!("../filter.bpf.o");

/// An Ethernet frame with an IPv4 UDP datagram to `port`, for the tests.
#[must_use]
pub fn datagram(from: [u8; 4], port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, [198, 18, 0, 2], 64).udp(40_000, port);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"question").expect("a vector takes all");
    bytes
}
