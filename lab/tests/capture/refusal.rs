//! Files that are no captures, or hold none of a link type that is read.

use std::io::Cursor;

use treeline_lab::Frame;
use treeline_lab::capture::{Capture, CaptureError};

use crate::by_hand::{damaged, frame, gzip, interface, packet, pcap, section, sound};

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
