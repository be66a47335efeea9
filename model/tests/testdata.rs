//! The committed models: readable, laid out as written here, and the one written by hand decides what its text says.

use std::fs;
use std::path::{Path, PathBuf};

use treeline_ebpf::feature::{FEATURES, FRACTION_BITS, NAMES};
use treeline_ebpf::{Features, tree};
use treeline_model::Model;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/models")
}

#[test]
fn committed_models_are_laid_out_as_written() {
    let mut models = 0;
    for entry in fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let model = Model::read(&path).unwrap_or_else(|error| panic!("{error}"));
            let text = fs::read_to_string(&path).expect("read above");
            assert!(model.to_json() == text, "{}: differs from Model::to_json; write it with Model::write", path.display());
            models += 1;
        }
    }
    assert!(models > 0, "no model in {}", folder().display());
}

/// The class that `hand.json` gives a packet with these features (in their units), all others 0.
#[track_caller]
fn check(features: &[(&str, f64)], class: &str) {
    let model = Model::read(folder().join("hand.json")).unwrap_or_else(|error| panic!("{error}"));
    let mut values = [0; FEATURES];
    for (name, value) in features {
        let index = NAMES.iter().position(|(known, _)| known == name).expect("a feature's name");
        values[index] = fixed(*value);
    }
    let decided = tree::descend(&model.to_array().expect("a tree"), &Features::from(values)).expect("a checked tree decides");
    assert_eq!(model.classes()[usize::from(decided)], class, "{features:?}");
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the tests' values are small and not negative")]
fn fixed(value: f64) -> u64 {
    (value * f64::from(1_u32 << FRACTION_BITS)) as u64
}

const ICMP: (&str, f64) = ("protocol", 1.0);
const TCP: (&str, f64) = ("protocol", 6.0);
const UDP: (&str, f64) = ("protocol", 17.0);
const UNANSWERED: (&str, f64) = ("direction_mean", 1.0);
const ANSWERED: (&str, f64) = ("direction_mean", 0.5);

#[test]
fn by_hand_a_ping_is_benign_and_a_flood_is_not() {
    check(&[ICMP, UNANSWERED], "benign");
    check(&[ICMP, ANSWERED, ("direction_deviation", 0.25), ("gap_mean", 100e3)], "benign");
    check(&[ICMP, ANSWERED, ("direction_deviation", 0.45), ("gap_mean", 500e6)], "benign");
    check(&[ICMP, ANSWERED, ("direction_deviation", 0.45), ("gap_mean", 5e6)], "malicious");
    check(&[ICMP, UNANSWERED, ("gap_mean", 1e3)], "malicious");
    check(&[ICMP, UNANSWERED, ("gap_mean", 1e9)], "benign");
}

#[test]
fn by_hand_a_bare_syn_is_malicious_and_one_with_options_is_not() {
    check(&[TCP, UNANSWERED, ("length_mean", 40.0)], "malicious");
    check(&[TCP, UNANSWERED, ("length_mean", 44.0)], "malicious");
    check(&[TCP, UNANSWERED, ("length_mean", 60.0)], "benign");
    check(&[TCP, ANSWERED, ("length_mean", 42.0), ("length_deviation", 1.0)], "malicious");
    check(&[TCP, ANSWERED, ("length_mean", 50.0), ("length_deviation", 5.0)], "benign");
    check(&[TCP, ANSWERED, ("length_mean", 700.0), ("length_deviation", 500.0)], "benign");
}

#[test]
fn by_hand_equal_packets_in_haste_are_a_flood() {
    for (protocol, port) in [(TCP, 80.0), (UDP, 5_000.0)] {
        let port = ("responder_port", port);
        check(&[protocol, UNANSWERED, port, ("length_mean", 128.0), ("gap_mean", 20e3)], "malicious");
        check(&[protocol, UNANSWERED, port, ("length_mean", 128.0), ("gap_mean", 1e9)], "benign");
        check(&[protocol, UNANSWERED, port, ("length_mean", 900.0), ("gap_mean", 20e3), ("length_deviation", 300.0)], "benign");
        check(&[protocol, UNANSWERED, port, ("length_mean", 128.0)], "benign");
    }
}

#[test]
fn by_hand_two_questions_to_a_name_server_are_benign_and_an_empty_probe_is_not() {
    check(&[UDP, UNANSWERED, ("responder_port", 53.0), ("length_mean", 64.0), ("gap_mean", 10e3)], "benign");
    check(&[UDP, UNANSWERED, ("responder_port", 53.0), ("length_mean", 28.0)], "malicious");
    check(&[UDP, ANSWERED, ("responder_port", 53.0), ("length_mean", 90.0), ("gap_mean", 10e3)], "benign");
}
