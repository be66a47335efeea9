//! Edges of headers: what stands between Ethernet and the ports.

use super::packet::{
    IP, L4, ethernet_only, fragments, icmp, insert_extension, patched, protocol, tagged, tcp, udp, with_extensions, with_options,
};
use super::{Edge, edge, every_millisecond};

const A: &str = "192.0.2.1:40000";
const B: &str = "198.51.100.2:80";
const A6: &str = "[2001:db8::1]:40000";
const B6: &str = "[2001:db8::2]:80";

const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88a8;

pub fn edges() -> Vec<Edge> {
    vec![
        vlan(),
        qinq(),
        vlan_deep(),
        ipv4_options(),
        ipv6_extensions(),
        ipv6_extensions_many(),
        service_tag(),
        ipv6_extensions_last(),
        ipv6_extensions_long(),
    ]
    .into_iter()
    .chain([ipv4_fragments(), ipv6_fragments(), icmp_errors(), icmp_echo(), no_ports(), not_ip(), tcp_flags()])
    .collect()
}

fn vlan() -> Edge {
    let tag = [(C_TAG, 100)];
    let frames = [
        tagged(&tcp(A, B, "S", b""), &tag),
        tagged(&tcp(B, A, "SA", b""), &tag),
        tagged(&tcp(A, B, "A", b""), &tag),
        // Priority 5 and no VLAN at all: a tag with the number 0.
        tagged(&tcp(A, B, "PA", b"GET / HTTP/1.1\r\n\r\n"), &[(C_TAG, 5 << 13)]),
        tagged(&udp(A6, B6, b"tagged"), &tag),
        // The same flow without a tag.
        tcp(B, A, "PA", b"HTTP/1.1 200 OK\r\n\r\n"),
    ];
    let shows = "one 802.1Q tag: TCP over IPv4, a priority tag (VLAN 0), UDP over IPv6, the same flow untagged";
    edge("vlan", shows, every_millisecond(frames))
}

fn qinq() -> Edge {
    let frames = [
        tagged(&tcp(A, B, "S", b""), &[(S_TAG, 10), (C_TAG, 100)]),
        tagged(&tcp(B, A, "SA", b""), &[(S_TAG, 10), (C_TAG, 100)]),
        tagged(&tcp(A, B, "A", b""), &[(C_TAG, 10), (C_TAG, 100)]),
        tagged(&tcp(A, B, "PA", b"data"), &[(0x9100, 10), (C_TAG, 100)]),
        tagged(&udp(A6, B6, b"twice tagged"), &[(S_TAG, 10), (C_TAG, 100)]),
    ];
    let shows = "two tags: 88a8+8100, 8100+8100, 9100+8100 (not a standard TPID); IPv4 and IPv6";
    edge("qinq", shows, every_millisecond(frames))
}

fn vlan_deep() -> Edge {
    let tags = [(S_TAG, 1), (C_TAG, 2), (C_TAG, 3), (C_TAG, 4)];
    let frames = [
        tagged(&tcp(A, B, "S", b""), &tags[..2]),
        tagged(&tcp(A, B, "S", b""), &tags[..3]),
        tagged(&tcp(A, B, "S", b""), &tags[..4]),
        tagged(&udp(A6, B6, b"deep"), &tags[..3]),
    ];
    edge("vlan-deep", "more than two tags: two, three, four, and three over IPv6", every_millisecond(frames))
}

fn service_tag() -> Edge {
    let frames = [
        tagged(&tcp(A, B, "S", b""), &[(S_TAG, 10)]),
        tagged(&udp(A6, B6, b"service tag alone"), &[(S_TAG, 10)]),
        tagged(&tcp(A, B, "A", b""), &[(C_TAG, 10), (S_TAG, 100)]),
        tagged(&udp(A6, B6, b"inside out"), &[(S_TAG, 10), (S_TAG, 100)]),
        tagged(&tcp(A, B, "PA", b"three"), &[(S_TAG, 10), (C_TAG, 100), (S_TAG, 1)]),
    ];
    let shows = "the 802.1ad tag in other places: alone, behind an 802.1Q tag, twice, third; IPv4 and IPv6";
    edge("vlan-service", shows, every_millisecond(frames))
}

fn ipv6_extensions_last() -> Edge {
    let kinds = [0, 43, 44, 51, 60, 135, 139, 140];
    let chain = |count: usize, last: u8| [vec![60; count], vec![last]].concat();
    // The eighth header is the last that is skipped; a ninth is too many.
    let eighth = kinds.map(|last| with_extensions(&udp(A6, B6, b"eight"), &chain(7, last)));
    let ninth = kinds.map(|last| with_extensions(&udp(A6, B6, b"nine"), &chain(8, last)));
    let shows = "each kind of IPv6 extension header as the eighth, and as a ninth, behind destination options";
    edge("ipv6-extensions-last", shows, every_millisecond(eighth.into_iter().chain(ninth)))
}

fn ipv6_extensions_long() -> Edge {
    let long = |kind: u8, bytes: usize, next: u8| {
        let units = if kind == 51 { bytes / 4 - 2 } else { bytes / 8 - 1 };
        [&[next, u8::try_from(units).expect("up to 2048 bytes")], vec![0; bytes - 2].as_slice()].concat()
    };
    let datagram = udp(A6, B6, b"far away");
    // The transport header begins beyond byte 1024 of the frame.
    let mut frames: Vec<Vec<u8>> = [0, 43, 51, 60, 135].map(|kind| insert_extension(&datagram, kind, &long(kind, 1008, 17))).into();
    let fragment = vec![17, 0, 0, 0, 0, 0, 0, 9];
    frames.push(insert_extension(&datagram, 60, &[long(60, 968, 44), fragment.clone()].concat()));
    // A fragment header that the payload is too short for, alone and behind another.
    let short = |frame: Vec<u8>, bytes: u16| patched(&frame, IP + 4, &bytes.to_be_bytes());
    frames.push(short(insert_extension(&datagram, 44, &fragment), 4));
    frames.push(short(insert_extension(&datagram, 60, &[long(60, 8, 44), fragment].concat()), 12));
    let shows = "IPv6 extension headers until the transport lies beyond byte 1024, one a kind; a fragment header that the payload cuts, alone and behind another";
    edge("ipv6-extensions-long", shows, every_millisecond(frames))
}

fn ipv4_options() -> Edge {
    let router_alert = [0x94, 4, 0, 0];
    let frames = [
        with_options(&tcp(A, B, "S", b""), &router_alert),
        with_options(&tcp(B, A, "SA", b""), &router_alert),
        with_options(&udp(A, B, b"ihl 15"), &[1; 40]),
        with_options(&udp(A, B, b"ihl 7"), &[7, 7, 4, 0, 0, 0, 0, 0]),
        // The same flow without options: the ports must be the same ones.
        tcp(A, B, "A", b""),
        with_options(&icmp(A, B, 8, 0, b"ping"), &router_alert),
    ];
    let shows = "IPv4 options: IHL 6, 7 and 15 before TCP, UDP and ICMP, and the same flow without";
    edge("ipv4-options", shows, every_millisecond(frames))
}

fn ipv6_extensions() -> Edge {
    let frames = [
        with_extensions(&tcp(A6, B6, "S", b""), &[0]),
        with_extensions(&tcp(B6, A6, "SA", b""), &[60]),
        with_extensions(&tcp(A6, B6, "A", b""), &[43]),
        with_extensions(&tcp(A6, B6, "PA", b"atomic fragment"), &[44]),
        with_extensions(&tcp(A6, B6, "PA", b"authenticated"), &[51]),
        with_extensions(&udp(A6, B6, b"all in order"), &[0, 60, 43, 44, 51, 60]),
        with_extensions(&udp(A6, B6, b"mobility, HIP, Shim6"), &[135, 139, 140]),
        with_extensions(&icmp(A6, B6, 143, 0, &[0; 4]), &[0]),
        // No next header, RFC 8200 section 4.7: nothing follows.
        protocol(A6, B6, 59, b""),
        with_extensions(&protocol(A6, B6, 59, b""), &[0]),
    ];
    edge(
        "ipv6-extensions",
        "IPv6 extension headers: each alone, six in the order of RFC 8200, before TCP, UDP, ICMPv6; none (59)",
        every_millisecond(frames),
    )
}

fn ipv6_extensions_many() -> Edge {
    let frames = [6, 7, 8, 9, 16, 17, 64].map(|count| with_extensions(&udp(A6, B6, b"deep"), &vec![60; count]));
    edge(
        "ipv6-extensions-many",
        "too many extension headers: 6, 7, 8, 9, 16, 17 and 64 destination options before UDP",
        every_millisecond(frames),
    )
}

fn ipv4_fragments() -> Edge {
    let large = fragments(&udp(A, B, &[0x55; 100]), 48);
    // Eight bytes of TCP in the first fragment: ports and sequence number, no flags (RFC 1858, section 3).
    let tiny = fragments(&tcp(A, B, "S", b""), 8);
    // Whole again: the identification alone makes no fragment.
    let whole = udp(A, B, b"whole");
    let mut frames = large.clone();
    frames.extend(tiny);
    // The last fragment first.
    frames.extend(large.into_iter().rev());
    frames.push(whole);
    edge(
        "ipv4-fragments",
        "IPv4 fragments: first, later and last; a first one with eight bytes of TCP; the same datagram backwards; a whole packet",
        every_millisecond(frames),
    )
}

fn ipv6_fragments() -> Edge {
    let large = fragments(&udp(A6, B6, &[0x55; 100]), 48);
    let tiny = fragments(&tcp(A6, B6, "S", b""), 8);
    let mut frames = large.clone();
    frames.extend(tiny);
    frames.extend(large.into_iter().rev());
    frames.push(with_extensions(&udp(A6, B6, b"atomic"), &[44]));
    edge(
        "ipv6-fragments",
        "IPv6 fragments: first, later and last; a first one with eight bytes of TCP; backwards; an atomic one",
        every_millisecond(frames),
    )
}

fn icmp_errors() -> Edge {
    let router = "203.0.113.9:0";
    let inner = |frame: Vec<u8>, length: usize| frame[IP..frame.len().min(IP + length)].to_vec();
    let question = udp("192.0.2.1:53000", "198.51.100.2:53", b"question");
    let later_fragment = fragments(&udp(A, B, &[0x55; 100]), 48).remove(1);
    let question6 = udp("[2001:db8::1]:53000", "[2001:db8::2]:53", b"question");
    let frames = [
        question.clone(),
        // Port unreachable, from the host that was asked, with the eight bytes that RFC 792 wants.
        icmp(B, A, 3, 3, &inner(question.clone(), 28)),
        tcp(A, B, "S", b""),
        // Time exceeded, from a router between.
        icmp(router, A, 11, 0, &inner(tcp(A, B, "S", b""), 28)),
        // Fragmentation needed, with the whole inner packet.
        icmp(router, A, 3, 4, &inner(tcp(A, B, "PA", &[0x61; 64]), 200)),
        // The inner packet has options, is a later fragment, is cut within its header, or is not there.
        icmp(router, A, 3, 3, &inner(with_options(&question, &[1; 8]), 36)),
        icmp(router, A, 11, 1, &inner(later_fragment, 28)),
        icmp(router, A, 3, 3, &inner(question, 12)),
        icmp(router, A, 3, 3, b""),
        question6.clone(),
        // Port unreachable, packet too big, time exceeded, and one behind an extension header.
        icmp(B6, A6, 1, 4, &inner(question6.clone(), 48)),
        icmp("[2001:db8::9]:0", A6, 2, 0, &inner(tcp(A6, B6, "PA", &[0x61; 64]), 200)),
        icmp("[2001:db8::9]:0", A6, 3, 0, &inner(tcp(A6, B6, "S", b""), 48)),
        with_extensions(&icmp(B6, A6, 1, 4, &inner(with_extensions(&question6, &[60]), 56)), &[60]),
    ];
    edge(
        "icmp-errors",
        "ICMP and ICMPv6 errors with an inner packet: whole, eight bytes of it, with options, a later fragment, cut, none",
        every_millisecond(frames),
    )
}

fn icmp_echo() -> Edge {
    let frames = [
        icmp(A, B, 8, 0, b"first"),
        icmp(B, A, 0, 0, b"first"),
        icmp(A, B, 8, 0, b"second"),
        icmp(B, A, 0, 0, b"second"),
        icmp(A6, B6, 128, 0, b"first"),
        icmp(B6, A6, 129, 0, b"first"),
    ];
    let shows = "ICMP and ICMPv6 echo requests and replies: one flow each, whatever their type";
    edge("icmp-echo", shows, every_millisecond(frames))
}

fn no_ports() -> Edge {
    let sctp = [0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0];
    let gre = [0, 0, 8, 0];
    let esp = [0, 0, 0x10, 1, 0, 0, 0, 1, 0xaa, 0xaa, 0xaa, 0xaa];
    let both = |number, payload: &[u8]| [protocol(A, B, number, payload), protocol(B, A, number, payload)];
    let inner = udp("10.0.0.1:1000", "10.0.0.2:2000", b"inner");
    let mut frames: Vec<_> = [both(132, &sctp), both(47, &gre), both(50, &esp)].concat();
    frames.extend([
        // GRE and IP in IP with a packet inside, IGMP, OSPF, and a protocol that nobody uses.
        protocol(A, B, 47, &[&gre[..], &inner[IP..]].concat()),
        protocol(A, B, 4, &inner[IP..]),
        protocol(A, "224.0.0.22:0", 2, &[0x22, 0, 0xf9, 2, 0, 0, 0, 1]),
        protocol(A, "224.0.0.5:0", 89, &[2, 1, 0, 0]),
        protocol(A, B, 253, b"experiment"),
        protocol(A6, B6, 132, &sctp),
        protocol(A6, B6, 47, &gre),
        protocol(A6, B6, 50, &esp),
    ]);
    edge(
        "no-ports",
        "protocols without ports of TCP and UDP, which count as 0: SCTP, GRE, ESP in both directions, IP in IP, IGMP, OSPF, 253; IPv4 and IPv6",
        every_millisecond(frames),
    )
}

fn not_ip() -> Edge {
    let arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 9];
    let packet = tcp(A, B, "S", b"");
    let frames = [
        ethernet_only(0x0806, &arp),
        tagged(&ethernet_only(0x0806, &arp), &[(C_TAG, 100)]),
        // LLDP, spanning tree in an 802.3 frame with its length, PPPoE, MPLS.
        ethernet_only(0x88cc, &[2, 7, 4, 2, 0, 0, 0, 0, 1, 0, 0]),
        ethernet_only(38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]),
        ethernet_only(0x8864, &[&[0x11, 0, 0, 1, 0, 42, 0, 0x21], &packet[IP..]].concat()),
        ethernet_only(0x8847, &[&[0, 1, 1, 64], &packet[IP..]].concat()),
        ethernet_only(0, b""),
        ethernet_only(0xffff, &packet[IP..]),
    ];
    let shows = "no IP behind Ethernet: ARP, ARP in a VLAN, LLDP, 802.3, PPPoE, MPLS, types 0 and ffff";
    edge("not-ip", shows, every_millisecond(frames))
}

fn tcp_flags() -> Edge {
    let mut frames: Vec<_> = ["", "SF", "FPU", "SR", "FR", "SAFRPU"].map(|flags| tcp(A, B, flags, b"")).into();
    // A SYN with options up to the greatest data offset.
    let mut long = tcp(A, B, "S", &[1; 40]);
    long[L4 + 12] = 15 << 4;
    frames.push(long);
    edge(
        "tcp-flags",
        "flags that make no sense: none, SYN+FIN, FIN+PSH+URG, SYN+RST, FIN+RST, all; a TCP header of 60 bytes",
        every_millisecond(frames),
    )
}
