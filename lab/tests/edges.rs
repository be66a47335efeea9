//! The hand-made captures: the committed files are what their generator makes, and the reader gives back what went in.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use treeline_lab::Frame;
use treeline_lab::capture::Capture;

#[path = "../examples/edges/edge/mod.rs"]
mod edge;

use edge::{Container, Edge};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

fn read(capture: Capture) -> Vec<Frame> {
    capture.map(|frame| frame.expect("a sound capture")).collect()
}

/// Names of the edges that `wrong` finds fault with, and its findings.
fn report(wrong: impl Fn(&Edge) -> Option<String>) {
    let findings: Vec<_> = edge::all().iter().filter_map(|edge| Some(format!("{}: {}", edge.file(), wrong(edge)?))).collect();
    assert!(findings.is_empty(), "{}\ncargo run -p treeline-lab --example edges", findings.join("\n"));
}

#[test]
fn committed_edges_are_what_the_generator_makes() {
    report(|edge| {
        let committed = match fs::read(testdata().join("captures").join(edge.file())) {
            Ok(committed) => committed,
            Err(error) => return Some(error.to_string()),
        };
        // Another version of a compressor may choose other bytes for the same contents.
        let mut plain = Vec::new();
        let result = match edge.container {
            Container::Gzip => flate2::read::GzDecoder::new(&committed[..]).read_to_end(&mut plain),
            Container::Zstd => zstd::Decoder::new(&committed[..]).and_then(|mut decoder| decoder.read_to_end(&mut plain)),
            _ => (&committed[..]).read_to_end(&mut plain),
        };
        match result {
            Err(error) => Some(error.to_string()),
            Ok(_) => (plain != edge.container.plain_bytes(&edge.frames)).then(|| "differs".to_owned()),
        }
    });
}

#[test]
fn no_committed_edge_is_without_a_generator() {
    let known: Vec<_> = edge::all().iter().map(Edge::file).collect();
    let folder = fs::read_dir(testdata().join("captures")).expect("testdata/captures");
    let files = folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let unknown: Vec<_> = files.filter(|file| file.starts_with("edge-") && !known.contains(file)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_edge_has_its_row_in_the_table_of_testdata() {
    let tables: String =
        ["README.md", "README-edges.md"].iter().filter_map(|file| fs::read_to_string(testdata().join(file)).ok()).collect();
    report(|edge| (!tables.lines().any(|line| line == edge.table_row())).then(|| format!("no row {}", edge.table_row())));
}

#[test]
fn every_edge_gives_back_the_frames_that_went_in() {
    report(|edge| {
        let capture = Capture::from_reader(Cursor::new(edge.file_bytes()), edge.file()).expect("a sound capture");
        let difference = read(capture).into_iter().zip(expected(edge)).find(|(found, expected)| found != expected);
        difference.map(|(found, expected)| format!("{found:?}, expected {expected:?}"))
    });
}

#[test]
fn every_edge_gives_as_many_frames_as_went_in() {
    report(|edge| {
        let path = testdata().join("captures").join(edge.file());
        let frames_count = read(Capture::open(&path).expect("a sound capture")).len();
        (frames_count != edge.frames.len()).then(|| format!("{frames_count} of {}", edge.frames.len()))
    });
}

/// The frames without the addresses that the container has no place for.
fn expected(edge: &Edge) -> Vec<Frame> {
    let lost_length = |frame: &Frame| match edge.container {
        Container::RawIp
        | Container::Null
        | Container::Ppp
        | Container::PppHdlc
        | Container::PppEther
        | Container::PppPppd
        | Container::CiscoHdlc
        | Container::Nflog
        | Container::NflogBigEndian
        | Container::InfiniBand => 12,
        Container::PcapngTwoInterfaces if frame.index % 2 == 1 => 12,
        // Cooked headers keep the sender's.
        Container::Sll | Container::Sll2 => 6,
        _ => 0,
    };
    let mut frames = edge.frames.clone();
    for frame in &mut frames {
        let lost_length = lost_length(frame);
        frame.bytes[..lost_length].fill(0);
    }
    frames
}
