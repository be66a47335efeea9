//! Compression, by content; what follows it, and damage in it.

use std::io::Cursor;

use treeline_lab::capture::{Capture, CaptureError};

use crate::by_hand::{damaged, gzip, pcap, read, record, sound};

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
