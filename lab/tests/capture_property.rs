//! Properties of the capture reader over captures that `pcap-file` writes, and over bytes that nobody wrote.
//!
//! What is not checked here: values that only a malformed file has, which `tests/capture.rs` spells out.

use std::io::Cursor;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapTsResolution, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution};
use pcap_file::pcapng::{Block, PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use treeline_lab::Frame;
use treeline_lab::capture::{Capture, CaptureError};

/// A file, the frames in it, and where it may end without being cut.
#[derive(Debug, Clone)]
struct Written {
    file: Vec<u8>,
    frames: Vec<Frame>,
    /// Ends of the header (pcap) or of each block before the packets (pcapng), then of each packet.
    ends: Vec<usize>,
    /// How many of `ends` come before the first packet.
    heads_count: usize,
}

/// A clock that counts every `tick_ns` nanoseconds.
#[derive(Debug, Clone, Copy)]
enum Clock {
    Microseconds,
    Nanoseconds,
}

impl Clock {
    fn tick_ns(self) -> u64 {
        match self {
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    // Up to the last second that pcap can say, in the year 2106.
    let time_ns = 0..=u64::from(u32::MAX) * 1_000_000_000 + 999_999_999;
    let frame = (time_ns, vec(any::<u8>(), 0..80), 0..70_000_u32);
    vec(frame, 0..12).prop_map(|frames| {
        let frame = |(index, (time_ns, bytes, more)): (u64, (u64, Vec<u8>, u32))| {
            let original_length = u32::try_from(bytes.len()).expect("short") + more;
            Frame { index, time_ns, original_length, bytes }
        };
        (0..).zip(frames).map(frame).collect()
    })
}

fn captures() -> impl Strategy<Value = Written> {
    let order = prop_oneof![Just(Endianness::Little), Just(Endianness::Big)];
    let clock = prop_oneof![Just(Clock::Microseconds), Just(Clock::Nanoseconds)];
    (frames(), order, clock, any::<bool>()).prop_map(|(mut frames, order, clock, pcapng)| {
        for frame in &mut frames {
            frame.time_ns -= frame.time_ns % clock.tick_ns();
        }
        if pcapng { write_pcapng(frames, order, clock) } else { write_pcap(frames, order, clock) }
    })
}

fn write_pcap(frames: Vec<Frame>, endianness: Endianness, clock: Clock) -> Written {
    let ts_resolution = match clock {
        Clock::Microseconds => PcapTsResolution::MicroSecond,
        Clock::Nanoseconds => PcapTsResolution::NanoSecond,
    };
    let header = PcapHeader { endianness, ts_resolution, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).expect("memory");
    let mut ends = vec![24];
    for frame in &frames {
        let packet = PcapPacket::new(Duration::from_nanos(frame.time_ns), frame.original_length, &frame.bytes[..]);
        let written = writer.write_packet(&packet.expect("a packet")).expect("memory");
        ends.push(ends[ends.len() - 1] + written);
    }
    Written { file: writer.into_inner(), frames, ends, heads_count: 1 }
}

/// Two interfaces of Ethernet take turns.
fn write_pcapng(frames: Vec<Frame>, order: Endianness, clock: Clock) -> Written {
    let resolution = match clock {
        Clock::Microseconds => InterfaceTsResolution::MICRO,
        Clock::Nanoseconds => InterfaceTsResolution::NANO,
    };
    let options = vec![InterfaceDescriptionOption::IfTsResol(resolution)];
    let interface = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: 0, options }.into_block();
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), order).expect("memory");
    let mut ends = vec![28];
    let mut write = |block: &Block| ends.push(ends[ends.len() - 1] + writer.write_block(block).expect("memory"));
    write(&interface);
    write(&interface);
    for (frame, interface_id) in frames.iter().zip([0, 1].into_iter().cycle()) {
        let timestamp = Duration::from_nanos(frame.time_ns);
        let (original_len, data) = (frame.original_length, (&frame.bytes[..]).into());
        write(&EnhancedPacketBlock { interface_id, timestamp, original_len, data, options: vec![] }.into_block());
    }
    Written { file: writer.into_inner(), frames, ends, heads_count: 3 }
}

/// Frames up to the end or the error, and the error.
fn read(file: &[u8]) -> (Vec<Frame>, Option<CaptureError>) {
    let capture = match Capture::from_reader(Cursor::new(file.to_vec()), "property") {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let (frames, errors): (Vec<_>, Vec<_>) = capture.partition(Result::is_ok);
    assert!(errors.len() <= 1, "{errors:?}");
    (frames.into_iter().flatten().collect(), errors.into_iter().find_map(Result::err))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}

proptest! {
    #[test]
    fn what_was_written_is_read(written in captures()) {
        for file in [written.file.clone(), gzip(&written.file), zstd(&written.file)] {
            let (frames, error) = read(&file);
            prop_assert!(error.is_none(), "{:?}", error);
            prop_assert_eq!(&frames, &written.frames);
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_never_panic(start in 0..8_usize, bytes in vec(any::<u8>(), 0..400)) {
        let starts: [&[u8]; 8] = [
            b"",
            b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0",
            b"\xa1\xb2\x3c\x4d\0\x02\0\x04\0\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\x71",
            b"\x0a\x0d\x0d\x0a",
            b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0\x01\0\0\0",
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
            b"\x28\xb5\x2f\xfd",
            b"\x50\x2a\x4d\x18\x02\0\0\0",
        ];
        read(&[starts[start], &bytes].concat());
    }

    #[test]
    fn one_wrong_byte_never_panics_and_spares_the_frames_before_it(
        written in captures(), at in any::<Index>(), flip in 1..=255_u8
    ) {
        let mut file = written.file.clone();
        let at = at.index(file.len());
        file[at] ^= flip;
        let (frames, _) = read(&file);
        let packets_before = written.ends[written.heads_count..].iter().filter(|end| **end <= at).count();
        // The exception: the wrong byte is in what comes before every packet.
        if at >= written.ends[written.heads_count - 1] {
            prop_assert_eq!(frames.get(..packets_before), Some(&written.frames[..packets_before]));
        }
        for compress in [gzip, zstd] {
            let mut file = compress(&written.file);
            let at = at % file.len();
            file[at] ^= flip;
            read(&file);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_file_cut_at_any_byte_gives_the_frames_before_the_cut(written in captures()) {
        for length in 1..written.file.len() {
            let (frames, error) = read(&written.file[..length]);
            let sound_end = written.ends.iter().copied().rfind(|end| *end <= length).unwrap_or(0);
            let packets_count = written.ends[written.heads_count..].iter().filter(|end| **end <= length).count();
            prop_assert_eq!(&frames[..], &written.frames[..packets_count], "cut at {}", length);
            match error {
                None => prop_assert_eq!(sound_end, length),
                Some(CaptureError::Truncated { offset, frame_index, needed, found, .. }) => {
                    prop_assert_eq!(offset, sound_end as u64);
                    prop_assert_eq!(frame_index, packets_count as u64);
                    prop_assert_eq!(found, (length - sound_end) as u64);
                    prop_assert!(needed > found);
                }
                Some(error) => prop_assert!(false, "cut at {}: {}", length, error),
            }
        }
    }

    #[test]
    fn a_compressed_file_cut_at_any_byte_gives_a_prefix_of_its_frames(written in captures()) {
        for compressed in [gzip(&written.file), zstd(&written.file)] {
            for length in 4..compressed.len() {
                let (frames, error) = read(&compressed[..length]);
                prop_assert_eq!(frames.get(..), written.frames.get(..frames.len()));
                prop_assert!(error.is_some(), "cut at {} of {}", length, compressed.len());
            }
        }
    }
}
