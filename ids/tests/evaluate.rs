//! The commands `evaluate` and `explain` as a user runs them: what they print, what they refuse, with which exit code.
//!
//! `INSTA_UPDATE=always cargo test -p treeline --test evaluate` writes the snapshots again; under `CI` nothing is written.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use treeline_model::vote::{Arithmetic, Choice, Combination, Estimator};
use treeline_model::{Model, Node, Precondition, Rule, Vote};

const CAPTURES: [&str; 4] = ["edge-icmp-echo.pcap", "edge-tcp-flags.pcap", "edge-not-ip.pcap", "edge-swapped-ports.pcap"];
const LABELS: &str = "\
capture,class,protocol,address_a,address_b,port
edge-icmp-echo.pcap,ping,icmp,192.0.2.1,,
edge-icmp-echo.pcap,benign,,,,
edge-tcp-flags.pcap,probe,,,,
edge-swapped-ports.pcap,benign,,,,
";

/// A folder with captures, labels and a model of three classes that asks from packet 2 of a flow on.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures");
    for name in CAPTURES {
        fs::copy(captures.join(name), folder.path().join(name)).expect("a committed capture");
    }
    fs::write(folder.path().join("labels.csv"), LABELS).expect("written");
    let nodes = vec![
        Node::Inner { feature: 2, threshold: 1 << 16, left: 1, right: 2 },
        Node::Leaf { class: 1 },
        Node::Inner { feature: 7, threshold: 900_000 << 16, left: 3, right: 4 },
        Node::Leaf { class: 2 },
        Node::Leaf { class: 0 },
    ];
    let classes = ["benign", "ping", "probe"].map(str::to_owned).to_vec();
    let model = Model::from_nodes("three classes", classes, nodes)
        .and_then(|model| model.with_precondition(Precondition::new(2, false).expect("a wait")))
        .expect("a tree");
    model.write(folder.path().join("model.json")).expect("written");
    folder
}

/// A forest of three trees beside the model, of the same classes and with the same wait.
fn forest(folder: &TempDir) {
    let stump = |feature, threshold, left: [f64; 3], right: [f64; 3]| Estimator {
        output: 0,
        nodes: vec![Node::Inner { feature, threshold, left: 1, right: 2 }, Node::Leaf { class: 0 }, Node::Leaf { class: 1 }],
        values: vec![left.to_vec(), right.to_vec()],
    };
    let trees = vec![
        stump(2, 1 << 16, [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]),
        stump(7, 900_000 << 16, [0.25, 0.0, 0.75], [0.875, 0.125, 0.0]),
        stump(5, 0, [0.5, 0.25, 0.25], [0.375, 0.25, 0.375]),
    ];
    let vote = Combination { choice: Choice::LargestMean, arithmetic: Arithmetic::F64, base: vec![0.0; 3], classes: vec![0, 1, 2] };
    let classes = ["benign", "ping", "probe"].map(str::to_owned).to_vec();
    let forest = Vote::new(vote, trees)
        .and_then(|vote| Model::new("three stumps", classes, Rule::Vote(vote)))
        .and_then(|forest| forest.with_precondition(Precondition::new(2, false).expect("a wait")))
        .expect("an ensemble");
    forest.write(folder.path().join("forest.json")).expect("written");
}

fn treeline(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_treeline")).current_dir(folder.path()).args(arguments).output().expect("the command runs")
}

fn evaluate(folder: &TempDir, more: &[&str]) -> Output {
    treeline(folder, &[&["evaluate", "--model", "model.json"], &CAPTURES[..], &["--labels", "labels.csv"], more].concat())
}

/// What a run printed, lines without the blanks at their ends.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

fn document(output: &Output) -> Value {
    serde_json::from_str(&printed(output)).expect("one JSON document")
}

/// Asserts a refusal: exit code 2, and a message with each part.
fn refused(output: &Output, parts: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(parts.iter().all(|part| message.contains(part)), "{message} lacks one of {parts:?}");
}

/// The one place that knows where snapshots lie.
fn check(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../snapshots/evaluate",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_report_reads_as_its_snapshot() {
    let text = printed(&evaluate(&folder(), &[]));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{text}");
    check("report", &text);
}

#[test]
fn an_explanation_reads_as_its_snapshot() {
    let folder = folder();
    for (name, capture, packet) in [
        ("explain-judged", "edge-tcp-flags.pcap", "2"),
        ("explain-waiting", "edge-icmp-echo.pcap", "0"),
        ("explain-skipped", "edge-not-ip.pcap", "0"),
    ] {
        check(name, &printed(&treeline(&folder, &["explain", "--model", "model.json", capture, "--packet", packet])));
    }
}

#[test]
fn an_ensemble_is_evaluated_and_explained_as_its_snapshots_read() {
    let folder = folder();
    forest(&folder);
    let arguments = [&["evaluate", "--model", "forest.json"], &CAPTURES[..], &["--labels", "labels.csv", "--report", "out.html"]].concat();
    let text = printed(&treeline(&folder, &arguments));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{text}");
    check("ensemble-report", &text);
    assert!(fs::read_to_string(folder.path().join("out.html")).expect("a page").contains("<h2>The first tree</h2>"));
    check("ensemble-explain", &printed(&treeline(&folder, &["explain", "--model", "forest.json", "edge-tcp-flags.pcap", "--packet", "2"])));
}

#[test]
fn an_ensembles_explanation_adds_up_to_what_replay_decides() {
    let folder = folder();
    forest(&folder);
    let replayed = printed(&treeline(&folder, &["replay", "-e", "native", "-m", "forest.json", "-f", "jsonl", CAPTURES[0], CAPTURES[1]]));
    let records: Vec<Value> = replayed.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    assert!(
        records.iter().any(|record| record["verdict"] == json!("ping"))
            && records.iter().any(|record| record["verdict"] == json!("benign"))
    );
    for record in &records {
        let [capture, index] = ["capture", "index"].map(|field| record[field].to_string().trim_matches('"').to_owned());
        let explained = document(&treeline(&folder, &["explain", "--model", "forest.json", &capture, "-p", &index, "-f", "json"]));
        assert_eq!(explained["verdict"], record["verdict"], "{explained:#}");
        assert_eq!((&explained["reference"]["verdict"], &explained["reference"]["same"]), (&record["verdict"], &json!(true)));
        let vote = &explained["vote"];
        if explained["passes"] == json!(true) {
            assert_eq!((vote, &record["verdict"]), (&json!(null), &json!("benign")));
            continue;
        }
        assert_eq!(vote["class"], record["verdict"]);
        for output in 0..3 {
            let added: Vec<_> =
                vote["trees"].as_array().expect("trees").iter().filter_map(|tree| tree["values"][output].as_f64()).collect();
            assert_eq!(json!(added.iter().sum::<f64>()), vote["sums"][output]);
        }
    }
}

/// The same by replay, explain and evaluate, of a model that calls all else malicious.
#[test]
fn what_is_midstream_passes_in_every_command() {
    let folder = folder();
    let classes = ["benign", "ping"].map(str::to_owned).to_vec();
    let model = Model::from_nodes("", classes, vec![Node::Leaf { class: 1 }])
        .and_then(|model| model.with_precondition(Precondition::new(1, true).expect("a precondition")));
    model.and_then(|model| model.write(folder.path().join("midstream.json"))).expect("written");
    let capture = "edge-truncated.pcap";
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures");
    fs::copy(captures.join(capture), folder.path().join(capture)).expect("a committed capture");
    fs::write(folder.path().join("labels.csv"), format!("capture,class,protocol,address_a,address_b,port\n{capture},ping,,,,\n"))
        .expect("written");
    let replayed = printed(&treeline(&folder, &["replay", "-e", "native", "-m", "midstream.json", "-f", "jsonl", capture]));
    let records = replayed.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
    let mut counts = [0, 0];
    for record in records.filter(|record| record["skip"].is_null()) {
        let explained = document(&treeline(
            &folder,
            &["explain", "--model", "midstream.json", capture, "-p", &record["index"].to_string(), "-f", "json"],
        ));
        let passes = explained["passes"] == json!(true);
        assert_eq!(explained["flow"]["midstream"], json!(passes), "{explained:#}");
        assert_eq!(record["verdict"], json!(if passes { "benign" } else { "ping" }));
        assert_eq!(explained["verdict"], record["verdict"]);
        assert_eq!(explained["reference"]["same"], json!(true));
        counts[usize::from(passes)] += 1;
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    let evaluated =
        document(&treeline(&folder, &["evaluate", "--model", "midstream.json", capture, "--labels", "labels.csv", "-f", "json"]));
    assert_eq!(evaluated["midstream_passes"], json!(true));
    let rows = evaluated["packets"]["confusion"].as_object().expect("rows");
    let judged = |class: &str| rows.values().filter_map(|row| row[class].as_u64()).sum::<u64>();
    assert_eq!([judged("ping"), judged("benign")], counts, "{evaluated:#}");
}

#[test]
fn native_and_the_reference_take_an_ensemble_and_the_others_say_so() {
    let folder = folder();
    forest(&folder);
    refused(
        &treeline(&folder, &["link", "forest.json", "-o", "out.o"]),
        &["forest.json", "an ensemble, expected one tree", "--engine native,reference"],
    );
    assert!(!folder.path().join("out.o").exists());
    for engine in ["vm", "kernel", "all", "native,vm"] {
        let output = treeline(&folder, &["replay", "--engine", engine, "--model", "forest.json", CAPTURES[0]]);
        refused(&output, &["the model is an ensemble", "use --engine native,reference"]);
    }
    let output = treeline(&folder, &["replay", "--tree", "compiled", "--model", "forest.json", CAPTURES[0]]);
    refused(&output, &["the model is an ensemble", "native and the reference"]);
    // Without a word about engines both run it, and agree after each packet.
    for engines in [&["--engine", "native,reference"][..], &[]] {
        let replayed = printed(&treeline(&folder, &[&["replay", "--model", "forest.json", CAPTURES[0]], engines].concat()));
        assert!(replayed.contains("native") && replayed.contains("reference") && !replayed.contains("diverge"), "{replayed}");
        assert_eq!(replayed.contains("vm and kernel do not run one"), engines.is_empty(), "{replayed}");
    }
}

#[test]
fn json_has_the_figures_counted_by_hand() {
    let figures = document(&evaluate(&folder(), &["--format", "json"]));
    // Flows: ping of 4 packets; the same over IPv6, benign, of 2; probe of 6 and of 1; four benign ones with swapped ports.
    let flows = &figures["flows"];
    assert_eq!(flows["labelled"], json!(8), "{flows:#}");
    assert_eq!(figures["by_class"][1]["class"], json!("ping"));
    assert_eq!(figures["by_class"][1]["flows_found_by_packet"][1], json!({ "packet": 2, "flows": 1, "share": 1.0 }));
    assert_eq!(figures["by_capture"].as_array().map(Vec::len), Some(CAPTURES.len()));
    assert_eq!(flows["by_packet"][0]["precision"], json!(null), "nothing is flagged at the first packet");
    assert_eq!(figures["skipped"]["not-ip"], json!(8));
}

#[test]
fn explain_and_evaluate_tell_the_same_verdict() {
    let folder = folder();
    for (packet, verdict) in [("0", "benign"), ("1", "ping"), ("3", "ping"), ("4", "benign"), ("5", "probe")] {
        let explained = document(&treeline(&folder, &["explain", "--model", "model.json", CAPTURES[0], "-p", packet, "-f", "json"]));
        assert_eq!(explained["verdict"], json!(verdict), "{explained:#}");
        assert_eq!(explained["reference"]["same"], json!(true));
        let features = explained["features"].as_array().expect("twelve");
        assert!(features.iter().all(|feature| feature["reference"]["within"] == json!(true)), "{features:#?}");
    }
}

#[test]
fn a_page_is_written_beside_the_text() {
    let folder = folder();
    let output = evaluate(&folder, &["--report", "out.html"]);
    assert!(output.status.success());
    let page = fs::read_to_string(folder.path().join("out.html")).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    refused(&evaluate(&folder, &["--report", "missing/out.html"]), &["missing/out.html", "cannot write the report"]);
}

#[test]
fn a_frame_beyond_the_end_is_refused() {
    let folder = folder();
    refused(
        &treeline(&folder, &["explain", "--model", "model.json", CAPTURES[0], "--packet", "6"]),
        &[CAPTURES[0], "no frame 6", "--packet 0 to 5"],
    );
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let folder = folder();
    refused(&treeline(&folder, &["evaluate", "--model", "gone.json", CAPTURES[0], "--labels", "labels.csv"]), &["gone.json"]);
    refused(&treeline(&folder, &["evaluate", "--model", "labels.csv", CAPTURES[0], "--labels", "labels.csv"]), &["labels.csv", "not JSON"]);
    refused(&treeline(&folder, &["evaluate", "--model", "model.json", "gone.pcap", "--labels", "labels.csv"]), &["gone.pcap"]);
    refused(&treeline(&folder, &["evaluate", "--model", "model.json", CAPTURES[0], "--labels", "gone.csv"]), &["gone.csv"]);
    refused(&treeline(&folder, &["evaluate", "--model", "model.json", CAPTURES[0]]), &["--labels"]);
    refused(&evaluate(&folder, &["--idle-timeout", "nan"]), &["--idle-timeout"]);
    refused(&treeline(&folder, &["explain", "--model", "model.json", "gone.pcap", "--packet", "0"]), &["gone.pcap"]);
    refused(&treeline(&folder, &["explain", "--model", "model.json", "model.json", "--packet", "0"]), &["model.json", "not a capture"]);
}

#[test]
fn a_damaged_capture_is_evaluated_up_to_the_damage() {
    let folder = folder();
    let path = folder.path().join(CAPTURES[0]);
    let whole = fs::read(&path).expect("a capture");
    fs::write(&path, &whole[..whole.len() - 10]).expect("written");
    let output = evaluate(&folder, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(CAPTURES[0]));
    let figures: Value = serde_json::from_slice(&output.stdout).expect("a document all the same");
    assert_eq!(figures["by_capture"][0]["packets"]["labelled"], json!(5));
    assert!(figures["by_capture"][0]["damage"].is_string());
    refused(&treeline(&folder, &["explain", "--model", "model.json", CAPTURES[0], "--packet", "5"]), &[CAPTURES[0]]);
}
