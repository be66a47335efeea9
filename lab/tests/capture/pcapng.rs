//! The pcapng format: its sections, interfaces, blocks and damage.

use treeline_lab::capture::{BLOCK_LENGTH_MAX, CaptureError, INTERFACES_MAX};

use crate::by_hand::{block, damaged, frame, interface, option, packet, section, sound, words};

#[test]
fn interfaces_keep_their_own_clock_and_link_type() {
    let options = |resolution: u8, offset: i64| [option(9, &[resolution]), option(14, &offset.to_le_bytes())].concat();
    let file = [
        section(),
        interface(1, 0, b""),
        interface(101, 0, &options(9, 0)),
        interface(1, 0, &options(3, 1_000)),
        interface(1, 0, &options(0x8a, -1)),
        interface(1, 0, &options(12, 0)),
        packet(0, 5, 1, b"a"),
        packet(1, 5, 2, b"\x45b"),
        packet(2, 5, 1, b"c"),
        packet(3, 2048 + 512, 1, b"d"),
        packet(4, 5_999, 1, b"e"),
    ]
    .concat();
    assert_eq!(
        sound(&file),
        [
            frame(0, 5_000, 1, b"a"),
            frame(1, 5, 16, b"\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\x45b"),
            frame(2, 1_000_005_000_000, 1, b"c"),
            frame(3, 1_500_000_000, 1, b"d"),
            frame(4, 5, 1, b"e"),
        ]
    );
}

#[test]
fn time_saturates() {
    let clock = |resolution: u8, offset: i64| interface(1, 0, &[option(9, &[resolution]), option(14, &offset.to_le_bytes())].concat());
    let file = [
        section(),
        [clock(0, 0), clock(0, i64::MAX), clock(9, i64::MIN), clock(9, -1), clock(0x7f, 0), clock(0xff, 0)].concat(),
        (0..6).flat_map(|interface| packet(interface, u64::MAX, 0, b"")).collect(),
        packet(3, 0, 0, b""),
    ]
    .concat();
    let times: Vec<_> = sound(&file).iter().map(|frame| frame.time_ns).collect();
    assert_eq!(times, [u64::MAX, u64::MAX, 0, u64::MAX - 1_000_000_000, 0, 0, 0]);
}

#[test]
fn sections_may_change_the_byte_order_and_begin_anew() {
    let big = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    let file = [
        section(),
        interface(101, 0, b""),
        packet(0, 1, 0, b""),
        big(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX, 28]),
        big(&[1, 20, 0x0001_0000, 0, 20]),
        big(&[6, 36, 0, 0, 2, 1, 9, 0x6100_0000, 36]),
        section(),
        interface(1, 0, b""),
        packet(0, 3, 1, b"b"),
    ]
    .concat();
    assert_eq!(sound(&file)[1..], [frame(1, 2_000, 9, b"a"), frame(2, 3_000, 1, b"b")]);
}

#[test]
fn simple_packet_has_the_time_before_it_and_the_snap_length_of_the_first_interface() {
    let file = [
        section(),
        interface(1, 4, b""),
        block(3, &[&words(&[9])[..], b"abcd"].concat()),
        packet(0, 5, 1, b"e"),
        block(3, &[&words(&[2])[..], b"fg"].concat()),
    ]
    .concat();
    assert_eq!(sound(&file), [frame(0, 0, 9, b"abcd"), frame(1, 5_000, 1, b"e"), frame(2, 5_000, 2, b"fg")]);
}

#[test]
fn obsolete_packet_block_is_read() {
    // Interface 1, 65535 packets dropped.
    let body = [&words(&[0xffff_0001, 0, 7, 3, 60])[..], b"abc"].concat();
    let file = [section(), interface(101, 0, b""), interface(1, 0, b""), block(2, &body)].concat();
    assert_eq!(sound(&file), [frame(0, 7_000, 60, b"abc")]);
}

#[test]
fn blocks_and_options_that_say_nothing_of_packets_are_skipped() {
    let file = [
        section(),
        // A name that is not UTF-8, a resolution of a wrong length, an option longer than the block.
        interface(1, 0, &[option(2, b"\xff\xfe"), option(9, &[9, 9]), vec![3, 0, 0xff, 0xff]].concat()),
        block(4, &vec![0; 3_000_000]),
        block(0x0bad, b"custom"),
        block(0x8000_0001, b"private"),
        block(5, &words(&[0, 0, 0])),
        packet(0, 1, 1, b"a"),
    ]
    .concat();
    assert_eq!(sound(&file), [frame(0, 1_000, 1, b"a")]);
}

#[test]
fn packet_of_an_unknown_interface_is_damage() {
    let file = [section(), interface(1, 0, b""), packet(1, 0, 0, b"")].concat();
    let (_, error) = damaged(&file);
    assert_eq!(error.to_string(), "test: frame 0: packet at byte 48 is of interface 1, the section describes 1");
    // Interfaces do not outlive their section.
    let file = [section(), interface(1, 0, b""), section(), block(3, &words(&[0]))].concat();
    assert!(matches!(damaged(&file), (0, CaptureError::UnknownInterface { interface: 0, interfaces_count: 0, .. })));
}

#[test]
fn damaged_blocks_are_errors_with_their_offset() {
    let start = [section(), interface(1, 0, b""), packet(0, 0, 1, b"a")].concat();
    let at = start.len() as u64;
    let with = |bytes: &[u8]| damaged(&[&start[..], bytes].concat());
    let longer = |kind: u32, length: u32| words(&[kind, length, 0, 0, 0, 0, 0, 0, 0, 0]);

    assert!(matches!(with(&longer(6, 28)), (1, CaptureError::LengthField { length: 28, length_min: 32, offset, .. }) if offset == at));
    assert!(matches!(with(&longer(6, 34)), (1, CaptureError::LengthField { length: 34, step: 4, .. })));
    assert!(matches!(with(&longer(99, 8)), (1, CaptureError::LengthField { length: 8, length_min: 12, .. })));
    let too_long = BLOCK_LENGTH_MAX + 4;
    assert!(matches!(with(&longer(1, too_long)), (1, CaptureError::LengthField { length, .. }) if length == too_long));
    assert!(matches!(with(&longer(6, 36)), (1, CaptureError::BlockTrailer { leading: 36, trailing: 0, offset, .. }) if offset == at));
    assert!(matches!(with(&longer(99, 16)), (1, CaptureError::BlockTrailer { leading: 16, trailing: 0, offset, .. }) if offset == at));
    assert!(matches!(with(&longer(99, u32::MAX - 3)), (1, CaptureError::Truncated { found: 40, offset, .. }) if offset == at));
    assert!(matches!(with(&longer(6, 400)), (1, CaptureError::Truncated { needed: 400, found: 40, offset, .. }) if offset == at));
    assert!(matches!(with(&[6, 0, 0]), (1, CaptureError::Truncated { needed: 8, found: 3, offset, .. }) if offset == at));
    let body = words(&[0, 0, 0, 9, 9, 0]);
    assert!(matches!(with(&block(6, &body)), (1, CaptureError::PacketTooLong { needed: 9, found: 4, offset, .. }) if offset == at));
    let body = words(&[0, 0, 0, u32::MAX, 9, 0]);
    assert!(matches!(with(&block(6, &body)), (1, CaptureError::LengthField { length: u32::MAX, .. })));
    let header = words(&[0x0a0d_0d0a, 28, 0x1111_1111, 1, 0, 0, 28]);
    assert!(matches!(with(&header), (1, CaptureError::Section { found: 0x1111_1111, offset, .. }) if offset == at));
    let header = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 2, 0, 0, 28]);
    assert!(matches!(with(&header), (1, CaptureError::Section { what: "major version", found: 2, .. })));
}

#[test]
fn interfaces_are_bounded() {
    let file = [section(), interface(1, 0, b"").repeat(INTERFACES_MAX)].concat();
    assert!(sound(&file).is_empty());
    let (_, error) = damaged(&[file, interface(1, 0, b"")].concat());
    assert!(matches!(error, CaptureError::TooManyInterfaces { .. }), "{error}");
}
