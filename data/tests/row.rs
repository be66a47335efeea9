//! Captures into rows: numbers, features, classes, damage.

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use support::{labels, testdata};
use treeline_data::row::{Count, Options, RowError};
use treeline_data::{Labels, Row, Rows};
use treeline_ebpf::{Config, Counter};
use treeline_lab::capture::Capture;
use treeline_model::{Model, Node};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook, Settings};

fn capture(name: &str) -> PathBuf {
    testdata("captures").join(name)
}

fn rows(captures: &[&str], labels: Option<Labels>, options: Options) -> (Vec<Row>, Rows) {
    let mut rows = Rows::new(captures.iter().map(|name| capture(name)).collect(), labels, options).expect("options");
    (rows.by_ref().map(|row| row.expect("a sound capture")).collect(), rows)
}

#[test]
fn rows_are_what_the_native_engine_observes() {
    let tree = Model::from_nodes("test", vec!["benign".to_owned()], vec![Node::Leaf { class: 0 }]).expect("a leaf");
    let mut engine = Native::new(&Settings::new(Hook::Xdp, Config::default(), &tree, 1000));
    let frames = Capture::open(&capture("lab-portscan.pcap")).expect("a capture").map(|frame| frame.expect("sound"));
    let expected: Vec<_> = frames
        .filter_map(|frame| {
            let observation = engine.judge(&frame).expect("native takes all");
            Some((frame.index, frame.time_ns, observation.features?, observation.flow?.packets))
        })
        .collect();
    let (rows, _) = rows(&["lab-portscan.pcap"], None, Options::default());
    let found: Vec<_> = rows.iter().map(|row| (row.index, row.time_ns, row.features, row.packet)).collect();
    assert_eq!(found, expected);
    assert_eq!(rows.len(), 344);
}

#[test]
fn flows_are_numbered_over_all_captures() {
    let (rows, state) = rows(&["lab-portscan.pcap", "edge-idle-timeout.pcap", "lab-portscan.pcap"], None, Options::default());
    let mut packets: HashMap<u64, (u32, u64)> = HashMap::new();
    for row in &rows {
        let flows = packets.len() as u64;
        let (capture, packet) = packets.entry(row.flow).or_insert((row.capture, 0));
        assert!(*packet > 0 || row.flow == flows, "flow {} is not the next one", row.flow);
        *packet += 1;
        assert_eq!((row.capture, row.packet), (*capture, *packet), "flow {}", row.flow);
    }
    let tally = state.tally();
    assert_eq!(packets.len() as u64, tally.total().flows);
    assert_eq!(tally.total().flows, tally.counters[Counter::Opened as usize]);
    assert!(tally.counters[Counter::EndedIdle as usize] > 0, "the second capture has a flow that ends");
}

#[test]
fn evicted_flow_that_goes_on_is_a_new_one() {
    let (rows, state) = rows(&["lab-portscan.pcap"], None, Options { flows_max: 1, ..Options::default() });
    let mut last = None;
    for row in rows {
        assert_eq!(row.packet > 1, last == Some(row.flow));
        last = Some(row.flow);
    }
    assert_eq!(state.tally().total().flows, state.tally().counters[Counter::Opened as usize]);
}

#[test]
fn lab_rows_have_the_classes_of_its_table() {
    let labels = Labels::open(testdata("labels/lab.csv").to_str().expect("UTF-8")).expect("rules");
    let (_, state) = rows(&["lab-ssh-bruteforce.pcap"], Some(labels), Options::default());
    let classes: Vec<_> = state.classes().into_iter().zip(&state.tally().classes).filter(|(_, count)| count.rows > 0).collect();
    let expected = [("benign", 144, 48), ("ssh-bruteforce", 1356, 58)];
    let found: Vec<_> = classes.iter().map(|(name, count)| (name.as_str(), count.rows, count.flows)).collect();
    assert_eq!(found, expected, "testdata/README.md");
}

#[test]
fn flow_keeps_the_class_of_its_first_packet() {
    let (all, _) = rows(&["lab-portscan.pcap"], None, Options::default());
    // A rule that ends with the first packet covers its whole flow and no other.
    let end = format!("{}.{:09}", all[0].time_ns / 1_000_000_000, all[0].time_ns % 1_000_000_000);
    let (rows, state) = rows(&["lab-portscan.pcap"], Some(labels(format!("capture,class,end\n,first,{end}\n"))), Options::default());
    assert!(rows.iter().all(|row| (row.class == Some(1)) == (row.flow == 0)));
    assert!(rows.iter().filter(|row| row.flow == 0).count() > 1, "a flow of one packet shows nothing");
    assert_eq!(state.tally().unlabelled, Count { rows: 344 - state.tally().classes[1].rows, flows: 141 });
}

#[test]
fn without_labels_rows_have_no_class() {
    let (rows, state) = rows(&["lab-portscan.pcap"], None, Options::default());
    assert!(rows.iter().all(|row| row.class.is_none()));
    assert_eq!((state.classes(), state.tally().unlabelled), (vec!["benign".to_owned()], Count { rows: 344, flows: 142 }));
}

#[test]
fn limit_counts_frames_of_each_capture() {
    let (rows, state) = rows(&["lab-portscan.pcap", "lab-benign.pcap"], None, Options { frames_max: 30, ..Options::default() });
    assert_eq!(state.tally().frames, 60);
    assert!(rows.iter().all(|row| row.index < 30));
}

#[test]
fn damaged_capture_gives_the_rows_before_and_then_the_next_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let damaged = folder.path().join("cut.pcap");
    let bytes = fs::read(capture("lab-portscan.pcap")).expect("a capture");
    fs::write(&damaged, &bytes[..bytes.len() - 5]).expect("a file");
    let missing = folder.path().join("missing.pcap");
    let captures = vec![damaged, missing, capture("lab-portscan.pcap")];
    let read: Vec<_> = Rows::new(captures, None, Options::default()).expect("options").collect();
    let errors: Vec<_> = (0..read.len()).filter(|&at| read[at].is_err()).collect();
    assert_eq!((errors, read.len()), (vec![343, 344], 343 + 2 + 344));
    assert!(matches!(read[345], Ok(Row { capture: 2, packet: 1, .. })));
}

#[test]
fn timeout_out_of_range_is_refused() {
    let config = Config { idle_timeout_ns: 0, ..Config::default() };
    let error = Rows::new(Vec::new(), None, Options { config, ..Options::default() });
    assert!(matches!(error, Err(RowError::Timeout)));
}
