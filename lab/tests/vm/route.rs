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
use treeline_lab::vm::{Forwarding, Hook, NextHop, Options, Route};

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
    lines.into_iter().all(is_done)
}

/// Which interfaces forward which family in the namespace: what is not named does not.
fn set_forwarding(forwarding: &BTreeMap<u32, Forwarding>) {
    for (interface, name) in [(1, "lo"), (7, "v0")] {
        let Forwarding { ipv4, ipv6 } = forwarding.get(&interface).copied().unwrap_or_default();
        for (family, is_on) in [("ipv4", ipv4), ("ipv6", ipv6)] {
            let path = format!("/proc/sys/net/{family}/conf/{name}/forwarding");
            std::fs::write(&path, if is_on { "1" } else { "0" }).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
}

fn route(destination: &str, prefix_bits: u8, next_hop: NextHop) -> Route {
    Route { destination: destination.parse().expect("an address"), prefix_bits, next_hop }
}

fn forward(gateway: Option<&str>, is_known: bool) -> NextHop {
    // What `ip` was told for IPv6.
    forward_at(u32::from(gateway.is_some_and(|gateway| gateway.contains(':'))), gateway, is_known)
}

fn forward_at(metric: u32, gateway: Option<&str>, is_known: bool) -> NextHop {
    let gateway = gateway.map(|gateway| gateway.parse::<IpAddr>().expect("an address"));
    NextHop::Forward { interface: 7, gateway, ethernet: is_known.then_some((OWN, NEIGHBOUR)), mtu: 1500, metric, source: None }
}

fn options(forwarding: &BTreeMap<u32, Forwarding>) -> Options {
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
        // The kernel's own route to the interface's network.
        route("fd01::", 64, forward_at(256, None, false)),
        route("fd01::9", 128, forward_at(256, None, true)),
        route("fd01::1", 128, NextHop::Local),
    ];
    Options { routes, forwarding: forwarding.clone(), mtus: BTreeMap::from([(1, 65536), (7, 1500)]), ..Options::default() }
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

const BOTH: Forwarding = Forwarding { ipv4: true, ipv6: true };
const DIRECT: u64 = 1;
const OUTPUT: u64 = 2;
const SKIP_NEIGHBOUR: u64 = 4;
const TABLE: u64 = 8;
const MARK: u64 = 32;

fn compare() {
    let forwarding = BTreeMap::from([(1, BOTH), (7, BOTH)]);
    set_forwarding(&forwarding);
    let options = options(&forwarding);
    let destinations = ["10.1.0.9", "10.1.0.50", "10.1.0.1", "10.2.0.1", "10.2.200.1", "10.3.0.1", "10.4.0.1", "10.5.0.1", "192.0.2.1"];
    let destinations = destinations.into_iter().chain(["fd01::9", "fd01::1", "fd02::7", "fd03::7", "fd05::7", "2001:db8::1"]);
    for destination in destinations {
        for (total_length, interface, length, flags) in [
            (0, 1, 64, 0),
            (100, 1, 64, 0),
            (1500, 1, 64, 0),
            (1501, 1, 64, 0),
            (0, 99, 64, 0),
            (0, 1, 63, 0),
            (0, 7, 64, 0),
            (0, 1, 64, SKIP_NEIGHBOUR),
            (0, 1, 64, DIRECT),
            (0, 7, 64, OUTPUT),
            (0, 7, 64, OUTPUT | DIRECT),
            (0, 1, 64, OUTPUT),
            (0, 1, 64, OUTPUT | SKIP_NEIGHBOUR),
            (0, 1, 64, TABLE),
            (0, 1, 64, MARK),
            (0, 1, 64, 1 << 20),
        ] {
            agree(&options, question(destination, total_length, interface), length, flags);
        }
    }
}

/// Forwarding off, on, and on for one interface or one family only, with all that the kernel looks at before it.
fn compare_forwarding() {
    let (none, ipv4, ipv6) = (Forwarding::default(), Forwarding { ipv4: true, ipv6: false }, Forwarding { ipv4: false, ipv6: true });
    for pair in [[none, none], [BOTH, none], [none, BOTH], [ipv4, ipv6], [ipv6, ipv4]] {
        let forwarding = BTreeMap::from([(1, pair[0]), (7, pair[1])]);
        set_forwarding(&forwarding);
        let options = options(&forwarding);
        // Also addresses that no router forwards, which the kernel looks at before the interface.
        for destination in ["10.2.0.1", "10.3.0.1", "224.0.0.1", "fd02::7", "fe80::9", "ff02::1", "::1"] {
            for (interface, length, flags) in
                [(1, 64, 0), (7, 64, 0), (0, 64, 0), (99, 64, 0), (1, 64, DIRECT), (7, 64, OUTPUT), (1, 63, 0), (1, 64, 64)]
            {
                agree(&options, question(destination, 0, interface), length, flags);
            }
        }
        // Of no family; and from an address that no router forwards.
        for interface in [1, 99] {
            let mut question = question("fd02::7", 0, interface);
            question[0] = 0;
            agree(&options, question, 64, 0);
            question[0] = 10;
            question[16..18].copy_from_slice(&[0xfe, 0x80]);
            agree(&options, question, 64, 0);
        }
    }
}

fn agree(options: &Options, question: [u8; 64], length: u64, flags: u64) {
    let (code, maps) = (asked(question, length, flags).end(), [cell(RESULTS)]);
    for hook in [Hook::Xdp, Hook::Tc] {
        let mut vm = load_with(hook, &code, &maps, options).expect("loads");
        let Some(kernel) = Kernel::load("routes", hook, &code.0, &maps) else { return };
        vm.run(&[0; 64], 0).expect("runs");
        kernel.run(&[0; 64]);
        let ours = vm.map("Array").and_then(|map| map.entry(0)).map(|bytes| bytes[..72].to_vec());
        let theirs = kernel.lookup(0, &[0; 4]).map(|bytes| bytes[..72].to_vec());
        assert_eq!(ours, theirs, "{question:?}, {length} bytes, flags {flags:#x}, {hook:?}, {:?}", options.forwarding);
    }
}

/// Compares in a new network namespace of a thread's own.
fn in_a_namespace(compare: fn()) {
    // A thread of its own: it leaves the network namespace of the others.
    let is_set_up = std::thread::spawn(move || {
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

#[test]
fn routes_lead_where_the_kernels_lead() {
    in_a_namespace(compare);
}

#[test]
fn an_interface_without_forwarding_has_no_routes() {
    in_a_namespace(compare_forwarding);
}

#[test]
fn nothing_is_forwarded_by_default() {
    let options = Options { forwarding: Options::default().forwarding, ..options(&BTreeMap::new()) };
    let (code, maps) = (asked(question("10.2.0.1", 0, 1), 64, 0).end(), [cell(RESULTS)]);
    let mut vm = load_with(Hook::Xdp, &code, &maps, &options).expect("loads");
    vm.run(&[0; 64], 0).expect("runs");
    assert_eq!(vm.map("Array").and_then(|map| map.entry(0)).map(|bytes| bytes[0]), Some(5), "BPF_FIB_LKUP_RET_FWD_DISABLED");
}
