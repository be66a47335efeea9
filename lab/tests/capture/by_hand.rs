//! Files put together by hand, so that neither the reader nor a library decides what they say; and what the reader makes of one.

use std::io::{Cursor, Read, Write};

use treeline_lab::Frame;
use treeline_lab::capture::{Capture, CaptureError};

/// Frames up to the end or the error, and the error; also that the reader stays ended.
pub fn read(file: &[u8]) -> (Vec<Frame>, Option<CaptureError>) {
    read_from(Cursor::new(file.to_vec()))
}

pub fn read_from(reader: impl Read + Send + 'static) -> (Vec<Frame>, Option<CaptureError>) {
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

pub fn sound(file: &[u8]) -> Vec<Frame> {
    let (frames, error) = read(file);
    assert!(error.is_none(), "{error:?}");
    frames
}

pub fn damaged(file: &[u8]) -> (usize, CaptureError) {
    let (frames, error) = read(file);
    (frames.len(), error.expect("damage"))
}

pub fn frame(index: u64, time_ns: u64, original_length: u32, bytes: &[u8]) -> Frame {
    Frame { index, time_ns, original_length, bytes: bytes.to_vec() }
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A little-endian pcap header in microseconds.
pub fn pcap(link: u32) -> Vec<u8> {
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link])
}

pub fn record(seconds: u32, fraction: u32, original_length: u32, bytes: &[u8]) -> Vec<u8> {
    [words(&[seconds, fraction, u32::try_from(bytes.len()).expect("short"), original_length]), bytes.to_vec()].concat()
}

/// A little-endian block of pcapng, its body padded.
pub fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = u32::try_from(body.len() + padding.len() + 12).expect("short");
    [words(&[kind, length]), body.to_vec(), padding, words(&[length])].concat()
}

pub fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]))
}

pub fn interface(link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
    block(1, &[&words(&[link.into(), snap_length]), options].concat())
}

pub fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    let length = u16::try_from(value.len()).expect("short");
    [&code.to_le_bytes(), &length.to_le_bytes(), value, &padding].concat()
}

pub fn packet(interface: u32, time: u64, original_length: u32, bytes: &[u8]) -> Vec<u8> {
    let [low, high] = [0, 32].map(|shift| u32::try_from(time >> shift & 0xffff_ffff).expect("32 bits"));
    let length = u32::try_from(bytes.len()).expect("short");
    block(6, &[words(&[interface, high, low, length, original_length]), bytes.to_vec()].concat())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
