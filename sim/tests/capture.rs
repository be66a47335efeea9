//! What the capture reader makes of files that are odd, damaged or no captures, byte by byte.
//!
//! Files are put together here by hand, so that neither the reader nor a library decides what they say.

use std::io::{self, Cursor, Read, Write};
use std::process::{Command, Stdio};

use treeline_sim::Frame;
use treeline_sim::capture::{BLOCK_LENGTH_MAX, Capture, CaptureError, INTERFACES_MAX, RECORD_LENGTH_MAX};

/// Frames up to the end or the error, and the error; also that the reader stays ended.
fn read(file: &[u8]) -> (Vec<Frame>, Option<CaptureError>) {
    read_from(Cursor::new(file.to_vec()))
}

fn read_from(reader: impl Read + Send + 'static) -> (Vec<Frame>, Option<CaptureError>) {
    let mut capture = match Capture::from_reader(reader, "test") {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut frames = Vec::new();
    let mut error = None;
    for frame in capture.by_ref() {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(found) => assert!(error.replace(found).is_none(), "two errors"),
        }
    }
    let mut untouched = Frame { index: 7, ..Frame::default() };
    assert!(!capture.next_into(&mut untouched).expect("ended"));
    assert_eq!(untouched.index, 7);
    assert_eq!(capture.frames_count(), frames.len() as u64 + capture.unsupported().count());
    (frames, error)
}

fn sound(file: &[u8]) -> Vec<Frame> {
    let (frames, error) = read(file);
    assert!(error.is_none(), "{error:?}");
    frames
}

fn damaged(file: &[u8]) -> (usize, CaptureError) {
    let (frames, error) = read(file);
    (frames.len(), error.expect("damage"))
}

fn frame(index: u64, time_ns: u64, original_length: u32, bytes: &[u8]) -> Frame {
    Frame { index, time_ns, original_length, bytes: bytes.to_vec() }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A little-endian pcap header in microseconds.
fn pcap(link: u32) -> Vec<u8> {
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link])
}

fn record(seconds: u32, fraction: u32, original_length: u32, bytes: &[u8]) -> Vec<u8> {
    [words(&[seconds, fraction, u32::try_from(bytes.len()).expect("short"), original_length]), bytes.to_vec()].concat()
}

/// A little-endian block of pcapng, its body padded.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = u32::try_from(body.len() + padding.len() + 12).expect("short");
    [words(&[kind, length]), body.to_vec(), padding, words(&[length])].concat()
}

fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]))
}

fn interface(link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
    block(1, &[&words(&[link.into(), snap_length]), options].concat())
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    let length = u16::try_from(value.len()).expect("short");
    [&code.to_le_bytes(), &length.to_le_bytes(), value, &padding].concat()
}

fn packet(interface: u32, time: u64, original_length: u32, bytes: &[u8]) -> Vec<u8> {
    let [low, high] = [0, 32].map(|shift| u32::try_from(time >> shift & 0xffff_ffff).expect("32 bits"));
    let length = u32::try_from(bytes.len()).expect("short");
    block(6, &[words(&[interface, high, low, length, original_length]), bytes.to_vec()].concat())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

// Files that are no captures.

#[test]
fn empty_file_is_refused() {
    assert!(matches!(damaged(b""), (0, CaptureError::Empty { .. })));
    assert!(matches!(damaged(&gzip(b"")), (0, CaptureError::Empty { .. })));
}

#[test]
fn other_files_are_refused_by_their_first_bytes() {
    for (bytes, kind) in [
        (&b"snoop\0\0\0\0\0\0\x02"[..], Some("snoop")),
        (b"time,source,destination\n", Some("text")),
        (b"\x34\xcd\xb2\xa1\x02\0\x04\0", Some("pcap with Kuznetzov's longer record header")),
        (b"\0\0\0\0\0\0\0\0", None),
    ] {
        let (_, error) = damaged(bytes);
        let text = error.to_string();
        assert!(matches!(error, CaptureError::NotACapture { looks_like, .. } if looks_like == kind), "{text}");
        assert!(text.contains("supported are pcap and pcapng"), "{text}");
    }
}

#[test]
fn missing_file_is_an_error_with_its_path() {
    let error = Capture::open("no/such/file.pcap".as_ref()).expect_err("no such file");
    assert!(matches!(error, CaptureError::Open { .. }));
    assert_eq!(error.to_string(), "no/such/file.pcap: cannot open the capture");
}

#[test]
fn directory_is_an_error() {
    let error = Capture::open(".".as_ref()).expect_err("a directory");
    assert_eq!(error.to_string(), ".: a directory; give the captures in it");
}

#[test]
fn unsupported_link_type_is_named() {
    let (_, error) = damaged(&pcap(127));
    assert!(error.to_string().starts_with("test: frame 0: link type 127 (IEEE802_11_RADIOTAP) at byte 0 is not supported"), "{error}");
    assert!(matches!(damaged(&pcap(9999)), (0, CaptureError::LinkType { number: 9999, name: None, .. })));
}

#[test]
fn frames_of_an_unsupported_interface_are_counted_and_the_others_read() {
    let file = [
        section(),
        interface(1, 0, b""),
        interface(127, 0, b""),
        interface(9999, 0, b""),
        packet(1, 1, 1, b"x"),
        packet(0, 2, 1, b"a"),
        packet(1, 3, 1, b"y"),
        packet(2, 3, 1, b"z"),
        packet(0, 4, 1, b"b"),
        packet(1, 5, 1, b"x"),
    ]
    .concat();
    let mut capture = Capture::from_reader(Cursor::new(file.clone()), "test").expect("a capture");
    let frames: Vec<Frame> = capture.by_ref().map(|frame| frame.expect("sound")).collect();
    assert_eq!(frames, [frame(1, 2_000, 1, b"a"), frame(4, 4_000, 1, b"b")]);
    let left_out: Vec<_> = capture.unsupported().iter().collect();
    let expected = [(127, "link type 127 (IEEE802_11_RADIOTAP)".to_owned(), 3), (9999, "link type 9999".to_owned(), 1)];
    assert_eq!(left_out, expected);
    assert_eq!(capture.frames_count(), 6);
    // A limit counts them, too.
    let mut capture = Capture::from_reader(Cursor::new(file), "test").expect("a capture");
    capture.stop_after(4);
    assert_eq!((capture.by_ref().count(), capture.unsupported().count(), capture.frames_count()), (1, 3, 4));
}

#[test]
fn a_capture_of_unsupported_frames_alone_is_an_error() {
    let start = [section(), interface(1, 0, b""), interface(127, 0, b"")].concat();
    let file = [&start[..], &packet(1, 0, 1, b"a"), &packet(1, 0, 1, b"a")].concat();
    let (count, error) = damaged(&file);
    assert_eq!(count, 0);
    let offset_expected = start.len() as u64;
    assert!(matches!(error, CaptureError::LinkType { number: 127, frame_index: 0, offset, .. } if offset == offset_expected));
    // An interface without packets is none.
    assert!(sound(&start).is_empty());
}

#[test]
fn damage_behind_unsupported_frames_names_its_frame() {
    let file =
        [section(), interface(1, 0, b""), interface(127, 0, b""), packet(1, 0, 1, b"a"), packet(0, 0, 1, b"b"), vec![6, 0, 0]].concat();
    assert!(matches!(damaged(&file), (1, CaptureError::Truncated { frame_index: 2, .. })));
}

// pcap.

#[test]
fn capture_without_packets_is_sound() {
    assert!(sound(&pcap(1)).is_empty());
    assert!(sound(&section()).is_empty());
}

#[test]
fn snap_length_keeps_the_original_length() {
    let file = [pcap(1), record(1, 2, 1500, b"cut")].concat();
    assert_eq!(sound(&file), [frame(0, 1_000_002_000, 1500, b"cut")]);
}

#[test]
fn lengths_that_contradict_each_other_cost_no_byte() {
    let long = vec![1; 70_000];
    let file = [pcap(1), record(0, 0, 3, b"longer"), record(0, 0, 70_000, &long)].concat();
    assert_eq!(sound(&file), [frame(0, 0, 3, b"longer"), frame(1, 0, 70_000, &long)]);
}

#[test]
fn fraction_of_more_than_a_second_is_carried_over() {
    let file = [pcap(1), record(1, 1_000_000, 0, b""), record(u32::MAX, u32::MAX, 0, b"")].concat();
    let last_ns = u64::from(u32::MAX) * 1_000_001_000;
    assert_eq!(sound(&file).iter().map(|frame| frame.time_ns).collect::<Vec<_>>(), [2_000_000_000, last_ns]);
}

#[test]
fn version_snap_length_and_frame_check_sequence_do_not_matter() {
    let header = words(&[0xa1b2_c3d4, 0x0063_0001, 0, 0, 0, 0x2400_0001]);
    let file = [header, record(0, 0, 1, b"a")].concat();
    assert_eq!(sound(&file), [frame(0, 0, 1, b"a")]);
}

#[test]
fn longest_record_is_read_and_a_longer_one_is_damage() {
    let longest = vec![7; RECORD_LENGTH_MAX as usize];
    let file = [pcap(1), record(0, 0, RECORD_LENGTH_MAX, &longest), words(&[0, 0, RECORD_LENGTH_MAX + 1, 0])].concat();
    let (count, error) = damaged(&file);
    assert_eq!(count, 1);
    let offset_expected = 24 + 16 + u64::from(RECORD_LENGTH_MAX);
    assert!(
        matches!(error, CaptureError::LengthField { offset, length, .. } if offset == offset_expected && length == RECORD_LENGTH_MAX + 1),
        "{error}"
    );
    // The same with all its bytes there, and at hand: the first record made the buffer larger than the limit.
    let lengths = [RECORD_LENGTH_MAX, 200_000, 100_000, RECORD_LENGTH_MAX + 1];
    let records = lengths.into_iter().flat_map(|length| record(0, 0, 0, &vec![7; length as usize]));
    let file: Vec<u8> = pcap(1).into_iter().chain(records).collect();
    assert!(matches!(damaged(&file), (3, CaptureError::LengthField { .. })));
}

#[test]
fn cut_record_is_an_error_that_says_what_was_there() {
    let file = [pcap(1), record(0, 0, 4, b"here"), record(0, 0, 6, b"gone..")].concat();
    let (count, error) = damaged(&file[..file.len() - 5]);
    assert_eq!(count, 1);
    assert_eq!(error.to_string(), "test: frame 1: record at byte 44 needs 22 bytes, the file ends after 17");
    let (_, error) = damaged(&file[..50]);
    assert_eq!(error.to_string(), "test: frame 1: record header at byte 44 needs 16 bytes, the file ends after 6");
    let (_, error) = damaged(&file[..20]);
    assert_eq!(error.to_string(), "test: frame 0: file header at byte 0 needs 24 bytes, the file ends after 20");
}

// pcapng.

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

// Compression and the reader itself.

#[test]
fn compression_is_found_by_content_and_may_come_in_pieces() {
    let file = [pcap(1), record(0, 0, 1, b"a"), record(0, 0, 1, b"b")].concat();
    let (start, end) = file.split_at(30);
    assert_eq!(sound(&gzip(&file)), sound(&file));
    assert_eq!(sound(&[gzip(start), gzip(end)].concat()), sound(&file));
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("memory");
    assert_eq!(sound(&[zstd(start), zstd(end)].concat()), sound(&file));
    // A skippable frame first: RFC 8878, section 3.1.2.
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    assert_eq!(sound(&[skippable, zstd(&file)].concat()), sound(&file));
}

/// Frames, the warning, and the error of a file whose garbage is looked at.
fn with_warning(file: &[u8]) -> (usize, Option<String>, Option<CaptureError>) {
    let mut capture = Capture::from_reader(Cursor::new(file.to_vec()), "test").expect("a capture");
    let (frames, errors): (Vec<_>, Vec<_>) = capture.by_ref().partition(Result::is_ok);
    (frames.len(), capture.warning(), errors.into_iter().find_map(Result::err))
}

#[test]
fn what_follows_the_last_gzip_member_is_treated_as_gzip_treats_it() {
    let file = [pcap(1), record(0, 0, 1, b"a"), record(0, 0, 1, b"b")].concat();
    let (start, end) = file.split_at(30);
    let (whole, members) = (gzip(&file), [gzip(start), gzip(b""), gzip(end)].concat());
    let garbage = Some("test: decompression OK, trailing garbage ignored".to_owned());
    for compressed in [whole, members] {
        let with = |tail: &[u8]| with_warning(&[&compressed, tail].concat());
        for padding in [&[][..], &[0], &vec![0; 100_000]] {
            assert!(matches!(with(padding), (2, None, None)), "{} zeros", padding.len());
        }
        for tail in [&b"garbage"[..], b"x", b"\0\0x", b"\x1fx", &vec![7; 100_000]] {
            let (frames, warning, error) = with(tail);
            assert!(error.is_none(), "{tail:02x?}: {error:?}");
            assert_eq!((frames, warning), (2, garbage.clone()), "{tail:02x?}");
        }
        // A member that is cut or damaged is no garbage.
        for tail in [&b"\x1f"[..], b"\x1f\x8b", b"\x1f\x8b\x08", b"\x1f\x8bxyz1234567", &gzip(b"more")[..20]] {
            assert!(matches!(with(tail), (2, None, Some(CaptureError::Read { .. }))), "{tail:02x?}");
        }
    }
}

#[test]
fn ten_thousand_gzip_members_are_one_file() {
    let file: Vec<u8> = pcap(1).into_iter().chain((0..1_250).flat_map(|at| record(at, 0, 0, b""))).collect();
    let members: Vec<u8> = file.chunks(2).flat_map(gzip).collect();
    assert_eq!(sound(&members).len(), 1_250);
}

#[test]
fn what_follows_the_last_zstd_frame_is_refused_as_zstd_refuses_it() {
    let file = [pcap(1), record(0, 0, 1, b"a"), record(0, 0, 1, b"b")].concat();
    let compressed = zstd::encode_all(&file[..], 3).expect("memory");
    let skippable = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let with = |tail: &[u8]| with_warning(&[&compressed, tail].concat());
    assert!(matches!(with(&skippable), (2, None, None)));
    assert!(matches!(with(&zstd::encode_all(&b""[..], 3).expect("memory")), (2, None, None)));
    for tail in [&b"garbage"[..], b"x", &[0; 100]] {
        assert!(matches!(with(tail), (2, None, Some(CaptureError::Read { .. }))), "{tail:02x?}");
    }
}

#[test]
fn frames_before_damaged_compression_come_first() {
    let noise = (0..100_000_u32).flat_map(|at| record(at, 0, 4, &at.wrapping_mul(2_654_435_761).to_le_bytes()));
    let file: Vec<u8> = pcap(1).into_iter().chain(noise).collect();
    for compressed in [gzip(&file), zstd::encode_all(&file[..], 3).expect("memory")] {
        let cut = &compressed[..compressed.len() / 2];
        let (frames, error) = read(cut);
        assert!(matches!(error, Some(CaptureError::Read { offset, frame_index, .. })
            if frame_index == frames.len() as u64 && offset >= 24 + 20 * frame_index && offset < 24 + 20 * (frame_index + 1)));
        assert!(frames.len() > 40_000, "{}", frames.len());
        assert_eq!(frames[..], sound(&file)[..frames.len()]);
    }
    // A wrong checksum at the end: every frame is there, and still the file is damaged.
    let mut wrong = gzip(&file);
    let checksum_at = wrong.len() - 8;
    wrong[checksum_at] ^= 1;
    assert!(matches!(damaged(&wrong), (100_000, CaptureError::Read { .. })));
}

/// Gives one byte at a time, with an interruption before each, and fails at the end.
struct Trickle {
    bytes: Vec<u8>,
    position: usize,
    interrupted: bool,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some(byte) = self.bytes.get(self.position) else { return Err(io::Error::other("unplugged")) };
        buffer[0] = *byte;
        self.position += 1;
        Ok(1)
    }
}

#[test]
fn read_error_comes_after_the_frames_before_it() {
    let bytes = [pcap(1), record(0, 0, 1, b"a"), record(0, 0, 1, b"b")].concat();
    let (frames, error) = read_from(Trickle { bytes, position: 0, interrupted: false });
    assert_eq!(frames.len(), 2);
    assert!(matches!(error, Some(CaptureError::Read { offset: 58, frame_index: 2, .. })), "{error:?}");
}

#[test]
fn dash_is_standard_input() {
    // The test runs itself again with the capture on its standard input.
    const INNER: &str = "TREELINE_TEST_STANDARD_INPUT";
    if std::env::var_os(INNER).is_some() {
        let capture = Capture::open("-".as_ref()).expect("a capture");
        assert_eq!(capture.bytes_total(), None);
        let frames: Vec<_> = capture.map(|frame| frame.expect("sound")).collect();
        assert_eq!(frames, [frame(0, 0, 1, b"a")]);
        return;
    }
    let mut inner = Command::new(std::env::current_exe().expect("a test"))
        .args(["--exact", "dash_is_standard_input"])
        .env(INNER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let file = gzip(&[pcap(1), record(0, 0, 1, b"a")].concat());
    inner.stdin.take().expect("piped").write_all(&file).expect("a pipe");
    let output = inner.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn a_capture_can_be_read_on_another_thread() {
    let file = [pcap(1), record(0, 0, 1, b"a")].concat();
    let capture = Capture::from_reader(Cursor::new(file), "test").expect("a capture");
    assert_eq!(std::thread::spawn(|| capture.count()).join().expect("a thread"), 1);
}

#[test]
fn progress_counts_bytes_of_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("misnamed.txt");
    let file = gzip(&[pcap(1), record(0, 0, 1, b"a")].concat());
    std::fs::write(&path, &file).expect("written");
    let mut capture = Capture::open(&path).expect("a capture");
    assert_eq!(capture.bytes_total(), Some(file.len() as u64));
    assert_eq!(capture.by_ref().count(), 1);
    assert_eq!(capture.bytes_read(), file.len() as u64);
}
