//! Real captures: every file below `$TREELINE_CAPTURES` is read to its end or refused for a stated reason.
//!
//! The folder's `MANIFEST.tsv` says how many packets each holds; the counts are independent of this reader.
//! Without the variable the test is reported as ignored.

#[macro_use]
extern crate treeline_trial;

#[path = "../../trial/harness.rs"]
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use treeline_lab::capture::{Capture, CaptureError};

/// File and packet count of each row of the manifest.
fn manifest(folder: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(folder.join("MANIFEST.tsv")).expect("MANIFEST.tsv");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header line").split('\t').collect();
    let column = |name| header.iter().position(|title| *title == name).expect(name);
    let (file, packets) = (column("file"), column("packets"));
    lines
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|fields| (fields[file].to_owned(), fields[packets].parse().expect("a count")))
        .collect()
}

/// Frames of a capture, and what ended it.
fn drain(path: &Path) -> (u64, Option<CaptureError>) {
    let mut capture = match Capture::open(path) {
        Ok(capture) => capture,
        Err(error) => return (0, Some(error)),
    };
    let mut frame = treeline_lab::Frame::default();
    let mut count = 0;
    loop {
        match capture.next_into(&mut frame) {
            Ok(true) => {
                assert_eq!(frame.index, count + capture.unsupported().count(), "{}", path.display());
                count += 1;
            }
            Ok(false) => {
                assert_eq!(Some(capture.bytes_read()), capture.bytes_total(), "{}", path.display());
                return (count, None);
            }
            Err(error) => {
                assert!(!capture.next_into(&mut frame).expect("ended"), "{}", path.display());
                return (count, Some(error));
            }
        }
    }
}

#[test]
fn every_capture_gives_the_packets_of_the_manifest() {
    let Some(folder) = std::env::var_os("TREELINE_CAPTURES").map(PathBuf::from) else {
        return trial::without("TREELINE_CAPTURES is not set");
    };
    let mut wrong = Vec::new();
    for (file, packets_count) in manifest(&folder) {
        let (frames_count, error) = drain(&folder.join(&file));
        let expected = match file.as_str() {
            "robustness/arkime_linktype_80211.pcap" => {
                matches!(error, Some(CaptureError::LinkType { number: 127, name: Some("IEEE802_11_RADIOTAP"), .. }))
            }
            "robustness/pcpp_solaris.snoop" => {
                matches!(error, Some(CaptureError::NotACapture { looks_like: Some("snoop"), .. }))
            }
            "robustness/suricata_truncated_file.pcap" => {
                frames_count == packets_count && matches!(error, Some(CaptureError::LengthField { length: 4_325_376, frame_index: 6, .. }))
            }
            _ => frames_count == packets_count && error.is_none(),
        };
        if !expected {
            wrong.push(format!("{file}: {frames_count} of {packets_count} frames, {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn main() -> std::process::ExitCode {
    trial::main()
}
