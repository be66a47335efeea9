//! `bpf_fib_lookup`: the VM's table against the kernel's routes in a network namespace of its own.

use crate::call::{
    Calls,
    Give::{Context, Number, Stack},
    RESULTS,
};
use crate::code::{cell, load_with};
use crate::{kernel::Kernel, trial};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;
use treeline_sim::vm::{Hook, NextHop, Options, Route};

const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 9];
const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Runs `ip` or `sysctl`; whether it could.
fn is_done(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().expect("a command")).args(words).output();
    output.is_ok_and(|output| output.status.success())
}

/// An interface with a neighbour and routes, in a new network namespace of this thread's.
fn is_set_up() -> bool {
    // SAFETY: the call changes this thread only.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return false;
    }
    let lines = [
        "ip link set lo up",
        "ip link add v0 index 7 address 02:00:00:00:00:01 type veth peer name v1",
        "ip link set v0 up",
        "ip link set v1 up",
        "ip addr add 10.1.0.1/24 dev v0",
        "ip addr add fd01::1/64 dev v0 nodad",
        "ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev v0",
        "ip neigh add fd01::9 lladdr 02:00:00:00:00:09 dev v0",
        "ip route add 10.2.0.0/16 via 10.1.0.9",
        "ip route add 10.2.128.0/17 via 10.1.0.8",
        "ip route add blackhole 10.3.0.0/16",
        "ip route add unreachable 10.4.0.0/16",
        "ip route add prohibit 10.5.0.0/16",
        "ip -6 route add fd02::/16 via fd01::9 metric 1",
        "ip -6 route add blackhole fd03::/16 metric 1",
        "ip -6 route add prohibit fd05::/16 metric 1",
    ];
    let forwards = ["/proc/sys/net/ipv4/conf/all/forwarding", "/proc/sys/net/ipv6/conf/all/forwarding"];
    lines.into_iter().all(is_done) && forwards.into_iter().all(|path| std::fs::write(path, "1").is_ok())
}

fn route(destination: &str, prefix_bits: u8, next_hop: NextHop) -> Route {
    Route { destination: destination.parse().expect("an address"), prefix_bits, next_hop }
}

fn forward(gateway: Option<&str>, is_known: bool) -> NextHop {
    let metric = u32::from(gateway.is_some_and(|gateway| gateway.contains(':')));
    let gateway = gateway.map(|gateway| gateway.parse::<IpAddr>().expect("an address"));
    NextHop::Forward { interface: 7, gateway, ethernet: is_known.then_some((OWN, NEIGHBOUR)), mtu: 1500, metric, source: None }
}

fn options() -> Options {
    let routes = vec![
        route("10.1.0.0", 24, forward(None, false)),
        route("10.1.0.9", 32, forward(None, true)),
        route("10.1.0.1", 32, NextHop::Local),
        route("10.2.0.0", 16, forward(Some("10.1.0.9"), true)),
        route("10.2.128.0", 17, forward(Some("10.1.0.8"), false)),
        route("10.3.0.0", 16, NextHop::Blackhole),
        route("10.4.0.0", 16, NextHop::Unreachable),
        route("10.5.0.0", 16, NextHop::Prohibit),
        route("fd02::", 16, forward(Some("fd01::9"), true)),
        route("fd03::", 16, NextHop::Blackhole),
        route("fd05::", 16, NextHop::Prohibit),
    ];
    Options { routes, mtus: BTreeMap::from([(1, 65536), (7, 1500)]), ..Options::default() }
}

/// `struct bpf_fib_lookup` of a question.
fn question(destination: &str, total_length: u16, interface: u32) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[1] = 6;
    bytes[6..8].copy_from_slice(&total_length.to_ne_bytes());
    bytes[8..12].copy_from_slice(&interface.to_ne_bytes());
    match destination.parse().expect("an address") {
        IpAddr::V4(address) => {
            bytes[0] = 2;
            bytes[16..20].copy_from_slice(&[10, 1, 0, 77]);
            bytes[32..36].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            bytes[0] = 10;
            bytes[16..18].copy_from_slice(&[0xfd, 1]);
            bytes[32..48].copy_from_slice(&address.octets());
        }
    }
    bytes
}

fn asked(question: [u8; 64], length: u64, flags: u64) -> Calls {
    let words = question.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight")));
    let calls = (0..).step_by(8).zip(words).fold(Calls::new(), |calls, (offset, word)| calls.set(64 - offset, word));
    calls.call(69, &[Context, Stack(64), Number(length), Number(flags)]).keep_stack(64, 64)
}

fn compare() {
    let destinations = ["10.1.0.9", "10.1.0.50", "10.1.0.1", "10.2.0.1", "10.2.200.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "192.0.2.1"];
    let destinations = destinations.into_iter().chain(["fd02::7", "fd03::7", "fd05::7", "2001:db8::1"]);
    for destination in destinations {
        for (total_length, interface, length, flags) in [
            (0, 1, 64, 0),
            (100, 1, 64, 0),
            (1500, 1, 64, 0),
            (1501, 1, 64, 0),
            (0, 99, 64, 0),
            (0, 1, 63, 0),
            (0, 1, 64, 4),
            (0, 1, 64, 1 << 20),
        ] {
            agree(question(destination, total_length, interface), length, flags);
        }
    }
    // Of no family; the kernel looks at that first.
    for interface in [1, 99] {
        let mut question = question("10.1.0.9", 0, interface);
        question[0] = 0;
        agree(question, 64, 0);
    }
}

fn agree(question: [u8; 64], length: u64, flags: u64) {
    let (code, maps) = (asked(question, length, flags).end(), [cell(RESULTS)]);
    for hook in [Hook::Xdp, Hook::Tc] {
        let mut vm = load_with(hook, &code, &maps, &options()).expect("loads");
        let Some(kernel) = Kernel::load("routes", hook, &code.0, &maps) else { return };
        vm.run(&[0; 64], 0).expect("runs");
        kernel.run(&[0; 64]);
        let ours = vm.map("Array").and_then(|map| map.entry(0)).map(|bytes| bytes[..72].to_vec());
        let theirs = kernel.lookup(0, &[0; 4]).map(|bytes| bytes[..72].to_vec());
        assert_eq!(ours, theirs, "{question:?}, {length} bytes, flags {flags:#x}, {hook:?}");
    }
}

#[test]
fn routes_lead_where_the_kernels_lead() {
    // A thread of its own: it leaves the network namespace of the others.
    let is_set_up = std::thread::spawn(|| {
        let is_set_up = is_set_up();
        if is_set_up {
            compare();
        }
        is_set_up
    });
    let is_set_up = is_set_up.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if !is_set_up {
        trial::missing("no network namespace to be had (CAP_SYS_ADMIN, CAP_NET_ADMIN, iproute2)");
    }
}
