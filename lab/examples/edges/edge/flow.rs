//! Edges of flows: which packets belong together, and when a flow ends.

use super::packet::{tcp, udp};
use super::{Edge, Frame, MS, S, START_NS, edge, every_millisecond, frame_at};

const A: &str = "192.0.2.1:40000";
const B: &str = "198.51.100.2:80";

pub fn edges() -> Vec<Edge> {
    vec![equal_ports(), swapped_ports(), clock_back(), long_gap(), idle_timeout(), active_timeout()]
        .into_iter()
        .chain([port_reuse_fin(), port_reuse_rst()])
        .collect()
}

fn equal_ports() -> Edge {
    let (left, right) = ("192.0.2.1:500", "198.51.100.2:500");
    let itself = "127.0.0.1:5000";
    let (low, high) = ("127.0.0.1:1000", "127.0.0.1:2000");
    let (left6, right6) = ("[2001:db8::1]:500", "[2001:db8::2]:500");
    let frames = [
        // The greater address opens, then the smaller one.
        udp(right, left, b"opens"),
        udp(left, right, b"answers"),
        udp(right, left, b"again"),
        udp(left6, right6, b"opens"),
        udp(right6, left6, b"answers"),
        // A host that talks to itself: equal addresses and ports have no direction.
        udp(itself, itself, b"one"),
        udp(itself, itself, b"two"),
        // Equal addresses, the ports tell the direction.
        tcp(high, low, "S", b""),
        tcp(low, high, "SA", b""),
        tcp(high, low, "A", b""),
        udp("[::1]:5000", "[::1]:5000", b"one"),
        udp("[::1]:5000", "[::1]:5000", b"two"),
    ];
    edge(
        "equal-ports",
        "equal ports in both directions, IPv4 and IPv6; a host that talks to itself on one port, and on two",
        every_millisecond(frames),
    )
}

fn swapped_ports() -> Edge {
    let frames = [
        udp("192.0.2.1:1000", "198.51.100.2:2000", b"first flow"),
        udp("192.0.2.1:2000", "198.51.100.2:1000", b"second flow"),
        udp("198.51.100.2:2000", "192.0.2.1:1000", b"answer in the first"),
        udp("198.51.100.2:1000", "192.0.2.1:2000", b"answer in the second"),
        udp("[2001:db8::1]:1000", "[2001:db8::2]:2000", b"third flow"),
        udp("[2001:db8::1]:2000", "[2001:db8::2]:1000", b"fourth flow"),
    ];
    let shows = "A:1000-B:2000 and A:2000-B:1000 are two flows, with answers; the same over IPv6";
    edge("swapped-ports", shows, every_millisecond(frames))
}

fn clock_back() -> Edge {
    let at = |time_ns: u64, from, to| Frame { time_ns, ..frame_at(0, udp(from, to, b"tick")) };
    let frames = vec![
        at(START_NS, A, B),
        at(START_NS + S, B, A),
        at(START_NS + S / 2, A, B),
        // Before the first packet of the flow, then by one nanosecond, then on.
        at(START_NS - 2 * S, A, B),
        at(START_NS - 2 * S - 1, B, A),
        at(START_NS + 3 * S, A, B),
        // To the epoch, as a clock without battery starts, and back to now.
        at(0, B, A),
        at(START_NS + 4 * S, A, B),
    ];
    edge(
        "clock-back",
        "the clock steps back in one flow: by half a second, before its first packet, by one nanosecond, to the epoch",
        frames,
    )
}

fn long_gap() -> Edge {
    let hours = 3600 * S;
    let frames = vec![
        frame_at(0, udp(A, B, b"monday")),
        frame_at(MS, udp(B, A, b"monday")),
        frame_at(40 * hours, udp(A, B, b"tuesday")),
        frame_at(40 * hours + MS, udp(B, A, b"tuesday")),
        frame_at(80 * hours, udp(A, B, b"thursday")),
    ];
    edge("long-gap", "40 hours between packets of the same addresses and ports, twice", frames)
}

fn idle_timeout() -> Edge {
    let idle = 300 * S;
    let mut at_ns = 0;
    let gaps = [0, idle - 1, idle, idle + 1, idle + S, S, 2 * idle];
    let frames = gaps.map(|gap_ns| {
        at_ns += gap_ns;
        frame_at(at_ns, udp(A, B, b"still here"))
    });
    let shows = "gaps around the idle timeout of 300 s: one nanosecond less, exactly, one more, 301 s, 1 s, 600 s";
    edge("idle-timeout", shows, frames.into())
}

fn active_timeout() -> Edge {
    let (client, server) = ("192.0.2.1:40001", "198.51.100.2:22");
    let minutes = (0..=65).map(|minute| {
        let (from, to) = if minute % 2 == 0 { (client, server) } else { (server, client) };
        frame_at(minute * 60 * S, tcp(from, to, "PA", b"keep-alive"))
    });
    edge(
        "active-timeout",
        "a packet every 60 s for 65 minutes, both directions: never idle, beyond the active timeout of 1800 s twice",
        minutes.collect(),
    )
}

fn port_reuse_fin() -> Edge {
    let handshake = || [tcp(A, B, "S", b""), tcp(B, A, "SA", b""), tcp(A, B, "A", b"")];
    let mut frames: Vec<_> = handshake().into();
    frames.extend([
        tcp(A, B, "PA", b"GET / HTTP/1.1\r\n\r\n"),
        tcp(B, A, "PA", b"HTTP/1.1 200 OK\r\n\r\n"),
        tcp(A, B, "FA", b""),
        tcp(B, A, "A", b""),
        tcp(B, A, "FA", b""),
        // The last acknowledgement, and a straggler.
        tcp(A, B, "A", b""),
        tcp(A, B, "A", b""),
    ]);
    frames.extend(handshake());
    frames.push(tcp(A, B, "PA", b"GET /again HTTP/1.1\r\n\r\n"));
    edge(
        "port-reuse-fin",
        "a connection closed by FIN from both sides, last ACK, a straggler, then a new one on the same ports",
        every_millisecond(frames),
    )
}

fn port_reuse_rst() -> Edge {
    let handshake = || [tcp(A, B, "S", b""), tcp(B, A, "SA", b""), tcp(A, B, "A", b"")];
    let mut frames: Vec<_> = handshake().into();
    frames.extend([
        tcp(A, B, "PA", b"data"),
        tcp(B, A, "RA", b""),
        // On its way when the reset came, and the answer to it.
        tcp(A, B, "PA", b"straggler"),
        tcp(B, A, "R", b""),
    ]);
    frames.extend(handshake());
    // The other side opens on the same ports, after a refused attempt.
    frames.extend([tcp(A, B, "R", b""), tcp(B, A, "S", b""), tcp(A, B, "RA", b""), tcp(B, A, "S", b"")]);
    edge(
        "port-reuse-rst",
        "a connection reset, a straggler and its reset, a new one on the same ports; then the other side opens, is refused, opens again",
        every_millisecond(frames),
    )
}
