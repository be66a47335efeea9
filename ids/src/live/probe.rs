//! The self-test before a program is attached: known packets through the very program by test run (a socket filter: over a pair of sockets), against
//! the native engine.
//!
//! The program is loaded once more for it, with maps of its own, so that the live flow table and counters do not see it. Its clock is the
//! kernel's, so each packet is the first of its flow: then no feature depends on time.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::PerCpuArray;
use aya::programs::{ProgramError, TestRun, TestRunOptions};
use treeline_ebpf::{Counter, Counters, Link};
use treeline_lab::Frame;
use treeline_lab::cause::explain;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Settings, given};
use treeline_sim::object;

use super::attachment::Loaded;
use super::load::{Loader, load_programs, loaded};

/// Tests the programs for these kinds of links as `loader` loads them, which shares no maps; an error says which packet differs in what.
pub fn check(loader: &mut Loader, settings: &Settings, links: &[Link]) -> Result<(), String> {
    links.iter().try_for_each(|&link| check_one(loader, &Settings { link, ..settings.clone() }))
}

fn check_one(loader: &mut Loader, settings: &Settings) -> Result<(), String> {
    // A table of the live size takes the kernel longer to make than all the rest.
    // And an allow-list may hold the known packets, which would then show nothing.
    let settings = &Settings { flows_max: FLOWS_MAX, allow: Arc::default(), ..settings.clone() };
    let mut ebpf = loader.load(settings, RING_BYTES)?;
    load_programs(&mut ebpf, settings.hook, &[settings.link])?;
    let mut native = Native::new(settings);
    let mut before = counters(&ebpf)?;
    for frame in frames(settings.link) {
        let expected = native.judge(&frame).map_err(|error| format!("self-test: {}", explain(&error)))?;
        let returned = run(&mut ebpf, settings, &given(&frame, settings.hook, settings.link))
            .map_err(|error| format!("self-test, packet {}: {error}", frame.index))?;
        let after = counters(&ebpf)?;
        let counted: Counters = std::array::from_fn(|index| after[index].wrapping_sub(before[index]));
        before = after;
        if (returned, counted) != (expected.returned, expected.counted) {
            return Err(format!(
                "self-test: the program in the kernel differs from the native engine on known packet {}: it returned {returned} and counted {}, \
                 native {} and {}; it is not attached. This is a fault of treeline or of this kernel: treeline replay shows more",
                frame.index,
                named(&counted),
                expected.returned,
                named(&expected.counted),
            ));
        }
    }
    Ok(())
}

/// The smallest ring buffer.
const RING_BYTES: u32 = 4096;
/// Bytes of an Ethernet header.
const ETHERNET_BYTES: usize = 14;
/// Room for the known packets' flows.
const FLOWS_MAX: u32 = 1024;

fn counters(ebpf: &Ebpf) -> Result<Counters, String> {
    let map = ebpf.map(object::COUNTERS).ok_or("the object has no map COUNTERS")?;
    let map: PerCpuArray<_, Counters> = map.try_into().map_err(|error: aya::maps::MapError| explain(&error))?;
    let values = map.get(&0, 0).map_err(|error| explain(&error))?;
    Ok(std::array::from_fn(|index| values.iter().map(|counters| counters[index]).sum()))
}

fn run(ebpf: &mut Ebpf, settings: &Settings, bytes: &[u8]) -> Result<u32, String> {
    let text = |error: ProgramError| explain(&error);
    let options = TestRunOptions { data_in: Some(bytes), ..TestRunOptions::new() };
    match loaded(ebpf, settings.hook, settings.link)? {
        Loaded::Xdp(program) => program.test_run(options).map(|result| result.return_value).map_err(text),
        Loaded::Tc(program) => program.test_run(options).map(|result| result.return_value).map_err(text),
        Loaded::Socket(program) => {
            let failed = |error: std::io::Error| error.to_string();
            let (sender, receiver) = UnixDatagram::pair().map_err(failed)?;
            receiver.set_nonblocking(true).map_err(failed)?;
            program.attach(&receiver).map_err(text)?;
            sender.send(bytes).map_err(failed)?;
            let mut kept = [0; 256];
            let length = receiver.recv(&mut kept).map_err(failed)?;
            Ok(if kept[..length] == *bytes { u32::MAX } else { u32::try_from(length).unwrap_or(0) })
        }
    }
}

/// The counters that moved.
fn named(counted: &Counters) -> String {
    let moved = Counter::ALL.iter().filter(|counter| counted[**counter as usize] > 0);
    moved.map(|counter| format!("{} {}", counter.name(), counted[*counter as usize])).collect::<Vec<_>>().join(", ")
}

/// First packets of flows, and one that is not IP.
fn frames(link: Link) -> Vec<Frame> {
    let (client, server) = ([198, 18, 0, 1], [198, 18, 0, 2]);
    let packets = [
        ipv4(6, client, server, &tcp(40_000, 443, 0x02)),
        ipv4(6, server, client, &tcp(40_001, 22, 0x02)),
        ipv4(17, client, server, &[0x9c, 0x40, 0x00, 0x35, 0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ipv4(1, client, server, &[8, 0, 0, 0, 0, 1, 0, 1]),
        ethernet(0x0806, &[0; 46]),
    ];
    (0_u32..)
        .zip(packets.map(|frame| if link == Link::Ip { frame[ETHERNET_BYTES..].to_vec() } else { frame }))
        .map(|(index, bytes)| Frame {
            index: index.into(),
            time_ns: 1_000_000_000 + u64::from(index) * 1_234_567,
            original_length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            bytes,
        })
        .collect()
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(payload);
    ethernet(0x0800, &bytes)
}

fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}
