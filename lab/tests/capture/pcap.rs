//! The pcap format: its header, lengths, clocks and damage.

use treeline_lab::capture::{CaptureError, RECORD_LENGTH_MAX};

use crate::by_hand::{damaged, frame, pcap, record, section, sound, words};

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
