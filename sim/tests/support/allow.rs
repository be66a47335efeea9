//! Allow-lists and packets that meet them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use treeline_ebpf::allow::{Network, SERVICES_MAX, Service};
use treeline_ebpf::{Allowed, Config, Outcome, Skip};
use treeline_sim::allow::List;
use treeline_sim::engine::{Engine, EngineError, Hook, Settings};

use super::recipe::Recipe;

/// A list over the few hosts of [`packets`], most networks inside others, and one outside of all.
pub fn lists() -> impl Strategy<Value = List> {
    let service = (prop_oneof![Just(6_u8), Just(17), Just(1)], 0..4_u16);
    let services = prop::collection::vec(service, 0..=SERVICES_MAX);
    let network = (any::<bool>(), prop_oneof![Just(0_u32), 1..25_u32, 25..=32_u32], 0..8_u8);
    let entries = prop::collection::vec((network, services), 1..12);
    entries
        .prop_map(|entries| {
            entries.into_iter().map(|((v4, bits, host), services)| entry(v4, bits, host, &services)).collect::<BTreeMap<_, _>>()
        })
        .prop_map(|entries| entries.into_values().collect())
}

/// The network of `bits` (for IPv6 96 more) leading bits that has `host`, with its key as the order.
fn entry(v4: bool, bits: u32, host: u8, services: &[(u8, u16)]) -> ((u32, [u8; 16]), (Network, Allowed)) {
    let whole = if v4 {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, host]
    } else {
        [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
    };
    let prefix_bits = 96 + bits;
    let mask = u128::MAX.checked_shl(128 - prefix_bits).unwrap_or(0);
    let address = (u128::from_be_bytes(whole) & mask).to_be_bytes();
    let mut allowed = Allowed::default();
    for (place, &(protocol, port)) in allowed.services.iter_mut().zip(services) {
        *place = Service { protocol, reserved: 0, port };
        allowed.count += 1;
    }
    ((prefix_bits, address), (Network { prefix_bits, address }, allowed))
}

/// Packets among eight hosts, and as many services as there are in lists and more.
pub fn packets() -> impl Strategy<Value = Vec<Recipe>> {
    let endpoint = || (0..8_u8, 0..5_u16);
    let protocol = prop_oneof![Just(6_u8), Just(17), Just(1)];
    let packet = (any::<bool>(), protocol, endpoint(), endpoint());
    let recipe = packet.prop_map(|(v4, protocol, source, destination)| Recipe {
        version: if v4 { 4 } else { 6 },
        source,
        destination,
        protocol,
        ..Recipe::default()
    });
    prop::collection::vec(recipe, 1..40)
}

/// Whether a plain reading of the list lets the packet pass: of each endpoint the entry with the longest prefix is asked.
pub fn passes(list: &List, packet: &Recipe) -> bool {
    [packet.source, packet.destination].into_iter().any(|(host, port)| {
        let port = if matches!(packet.protocol, 6 | 17) { port } else { 0 };
        let (_, (whole, _)) = entry(packet.version == 4, 32, host, &[]);
        let holds = |network: &Network| {
            (0..network.prefix_bits as usize).all(|bit| (network.address[bit / 8] ^ whole.address[bit / 8]) & (0x80 >> (bit % 8)) == 0)
        };
        let longest = list.entries().filter(|(network, _)| holds(network)).max_by_key(|(network, _)| network.prefix_bits);
        longest.is_some_and(|(_, allowed)| {
            let mut services = allowed.services.iter().take(allowed.count as usize);
            allowed.count == 0 || services.any(|service| (service.protocol, service.port) == (packet.protocol, port))
        })
    })
}

/// An engine with the list and a tree that finds every packet malicious, in enforce mode: allowed packets pass without a flow, all others
/// are dropped where the hook can.
pub fn check(
    hook: Hook,
    list: &List,
    packets: &[Recipe],
    make: impl Fn(&Settings) -> Result<Box<dyn Engine>, EngineError>,
) -> Result<(), String> {
    let settings = super::settings(hook, Config { enforce: 1, ..Config::default() }, &super::constant(1));
    let mut engine = make(&Settings { allow: list.clone().into(), ..settings }).map_err(|error| error.to_string())?;
    // Longer than an IPv6 header, which the kernel wants of a frame.
    let frames = super::frames(packets.iter().map(|packet| (1, Recipe { payload: 40, ..packet.clone() }.bytes())));
    for (frame, packet) in frames.iter().zip(packets) {
        let seen = engine.judge(frame).map_err(|error| error.to_string())?;
        let expected = if passes(list, packet) { Outcome::Skipped(Skip::Allowed) } else { Outcome::Judged(1) };
        let returned = hook.returned(expected == Outcome::Judged(1));
        if (seen.outcome, seen.returned, seen.flow.is_some()) != (expected, returned, expected == Outcome::Judged(1)) {
            return Err(format!("{}, {packet:?}, {list:?}: {seen:?}, expected {expected:?}", engine.name()));
        }
    }
    Ok(())
}
