//! Edges of lengths: frames that are cut, and fields that lie.

use super::packet::{IP, L4, L4_V6, insert_extension, patched, tagged, tcp, udp, with_extensions, with_options};
use super::{Edge, Frame, MS, cut, edge, every_millisecond, frame_at};

const A: &str = "192.0.2.1:40000";
const B: &str = "198.51.100.2:443";
const A6: &str = "[2001:db8::1]:40000";
const B6: &str = "[2001:db8::2]:443";

pub fn edges() -> Vec<Edge> {
    vec![truncated(), tiny_frames(), zero_lengths(), wrong_lengths(), jumbogram(), super_packet()]
}

fn truncated() -> Edge {
    let whole = [
        tcp(A, B, "PA", b"data"),
        udp(A6, B6, b"data"),
        tagged(&tcp(A, B, "S", b""), &[(0x88a8, 1), (0x8100, 2)]),
        with_options(&udp(A, B, b"data"), &[1; 8]),
        with_extensions(&udp(A6, B6, b"data"), &[0, 60]),
    ];
    let cuts = whole.iter().flat_map(|frame| (14..frame.len()).map(move |length| (frame, length)));
    let frames = (0..).map(|count| count * MS).zip(cuts).map(|(at_ns, (frame, length))| cut(&frame_at(at_ns, frame.clone()), length));
    edge(
        "truncated",
        "headers cut by a snap length: five packets (TCP, UDP over IPv6, QinQ, options, extension headers), each cut after every byte from 14",
        frames.collect(),
    )
}

fn tiny_frames() -> Edge {
    let whole = tcp(A, B, "S", b"");
    let on_the_wire = (0..14).zip(0..14).map(|(at, length)| frame_at(at * MS, whole[..length].to_vec()));
    let captured = (14..28).zip(0..14).map(|(at, length)| cut(&frame_at(at * MS, whole.clone()), length));
    let frames = on_the_wire.chain(captured).collect();
    edge("tiny-frames", "frames of 0 to 13 bytes, on the wire as well, then as the rest of a cut frame", frames)
}

fn zero_lengths() -> Edge {
    let frames = [
        // What a capture on the sending host shows of a packet that the card will segment.
        patched(&tcp(A, B, "PA", &[0x61; 100]), IP + 2, &[0, 0]),
        patched(&udp(A, B, &[0x61; 100]), IP + 2, &[0, 0]),
        patched(&udp(A, B, b"data"), L4 + 4, &[0, 0]),
        patched(&udp(A6, B6, b"data"), L4_V6 + 4, &[0, 0]),
        patched(&udp(A6, B6, b"data"), IP + 4, &[0, 0]),
        udp(A, B, b""),
        udp(A6, B6, b""),
    ];
    edge(
        "zero-lengths",
        "length fields of zero: IPv4 total length (TSO), UDP length, IPv6 payload length; then empty datagrams that are sound",
        every_millisecond(frames),
    )
}

fn wrong_lengths() -> Edge {
    let syn = tcp(A, B, "S", b"");
    let datagram = udp(A, B, b"data");
    let syn6 = tcp(A6, B6, "S", b"");
    let datagram6 = udp(A6, B6, b"data");
    let mut frames: Vec<Vec<u8>> = Vec::new();
    // IHL below five words, and beyond the frame.
    frames.extend((0..5).map(|ihl| patched(&syn, IP, &[0x40 | ihl])));
    frames.push(patched(&udp(A, B, b""), IP, &[0x4f]));
    // Total length: below the header, below the options, within the ports, one byte short, beyond the frame.
    frames.extend([1, 19, 20, 22, 39, 41, 0xffff].map(|total: u16| patched(&syn, IP + 2, &total.to_be_bytes())));
    frames.push(patched(&with_options(&datagram, &[1; 8]), IP + 2, &[0, 24]));
    // TCP data offset below five words, and beyond the packet.
    frames.extend([0, 1, 4, 6, 15].map(|words| patched(&syn, L4 + 12, &[words << 4])));
    frames.extend([0, 4, 15].map(|words| patched(&syn6, L4_V6 + 12, &[words << 4])));
    // UDP length below its header, and beyond the packet.
    frames.extend([1, 7, 11, 13, 0xffff].map(|length: u16| patched(&datagram, L4 + 4, &length.to_be_bytes())));
    frames.extend([7, 0xffff].map(|length: u16| patched(&datagram6, L4_V6 + 4, &length.to_be_bytes())));
    // IPv6 payload length: within the ports, one byte short, beyond the frame.
    frames.extend([1, 3, 19, 21, 0xffff].map(|length: u16| patched(&syn6, IP + 4, &length.to_be_bytes())));
    // The version contradicts the type of the frame.
    frames.push(patched(&syn, IP, &[0x65]));
    frames.push(patched(&syn, IP, &[0x05]));
    frames.push(patched(&syn6, IP, &[0x40]));
    frames.push(patched(&syn6, IP, &[0xf0]));
    // An extension header longer than the packet, and an AH of no length.
    frames.push(insert_extension(&datagram6, 60, &[17, 255, 1, 4, 0, 0, 0, 0]));
    frames.push(insert_extension(&datagram6, 51, &[17, 0, 0, 0, 0, 0, 0, 1]));
    edge(
        "wrong-lengths",
        "lengths that lie: IHL, IPv4 total length, TCP data offset, UDP length, IPv6 payload length, extension headers; versions that contradict the type",
        every_millisecond(frames),
    )
}

fn jumbogram() -> Edge {
    // RFC 2675: payload length 0 and an option of the hop-by-hop header with the length in 32 bits.
    let jumbo = |length: u32| {
        let l = length.to_be_bytes();
        let header = [17, 0, 0xc2, 4, l[0], l[1], l[2], l[3]];
        let frame = insert_extension(&udp(A6, B6, &[0x61; 100]), 0, &header);
        patched(&patched(&frame, IP + 4, &[0, 0]), L4_V6 + 8 + 4, &[0, 0])
    };
    let whole = frame_at(0, jumbo(116));
    let large = Frame { original_length: 54 + 100_016, ..frame_at(MS, jumbo(100_016)) };
    edge(
        "jumbogram",
        "IPv6 jumbograms (RFC 2675), UDP length 0: one that is none (116 bytes), one of 100,016 bytes that was cut",
        vec![whole, large],
    )
}

fn super_packet() -> Edge {
    let of = |at_ns, total: u16| {
        let frame = patched(&tcp(A, B, "A", &[0x61; 10]), IP + 2, &total.to_be_bytes());
        Frame { original_length: u32::from(total) + 14, ..frame_at(at_ns, frame) }
    };
    edge(
        "super-packets",
        "segments that a card merged or will split (GRO, GSO), cut: 1500, 2948, 65535 bytes",
        vec![of(0, 1500), of(MS, 2948), of(2 * MS, 65535)],
    )
}
