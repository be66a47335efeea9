//! `treeline features` as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use treeline_data::table::Reader;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

fn features(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_treeline")).arg("features").args(arguments).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn labelled_captures_become_a_table_and_a_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("rows.parquet");
    let (capture, labels) = (testdata("captures/lab-ssh-bruteforce.pcap"), testdata("labels/lab.csv"));
    let output = features(&[&capture, "--labels".as_ref(), &labels, "-o".as_ref(), &table, "--format".as_ref(), "json".as_ref()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["written"], json!({ "rows": 1500, "flows": 106 }));
    assert_eq!(summary["classes"]["ssh-bruteforce"], json!({ "rows": 1356, "flows": 58 }));
    assert_eq!(summary["labels"]["matched"], 3);
    let reader = Reader::open(&table).expect("a table");
    assert_eq!(reader.rows_count(), 1500);
    assert_eq!(reader.classes()[0], "benign");
}

#[test]
fn rows_go_to_standard_output_and_the_summary_to_standard_error() {
    let output = features(&[&testdata("captures/lab-portscan.pcap"), "-o".as_ref(), "-".as_ref()]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 345);
    assert!(text(&output.stderr).contains("rows       344 of 142 flows"), "{}", text(&output.stderr));
}

#[test]
fn flows_without_a_label_are_left_out_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (table, labels) = (folder.path().join("rows.csv"), folder.path().join("labels.csv"));
    fs::write(&labels, "capture,class,port\n,web,80\nother.pcap,benign,\n").expect("a file");
    let output = features(&[&testdata("captures/lab-portscan.pcap"), "--labels".as_ref(), &labels, "-o".as_ref(), &table]);
    let summary = text(&output.stdout);
    assert!(summary.contains("flows, left out"), "{summary}");
    assert!(summary.contains("1 of 2 rows (rules) matched"), "{summary}");
    assert!(summary.contains("1 not: its capture had no flows or was not read (line 3)"), "{summary}");
    assert!(fs::read_to_string(table).expect("a table").lines().skip(1).all(|line| line.ends_with(",web")));
}

#[test]
fn a_damaged_capture_is_written_up_to_the_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let (table, capture) = (folder.path().join("rows.csv"), folder.path().join("cut.pcap"));
    let bytes = fs::read(testdata("captures/lab-portscan.pcap")).expect("a capture");
    fs::write(&capture, &bytes[..bytes.len() / 2]).expect("a file");
    let output = features(&[&capture, "-o".as_ref(), &table]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cut.pcap: frame "), "{}", text(&output.stderr));
    assert!(fs::read_to_string(table).expect("a table").lines().count() > 100);
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("rows.parquet");
    let capture = testdata("captures/lab-portscan.pcap");
    let missing = folder.path().join("missing");
    let cases: [(&[&Path], &str); 4] = [
        (&[&capture, "-o".as_ref(), "rows.txt".as_ref()], "rows.txt: rows are written to names that end in .parquet or .csv"),
        (&[&capture, "--labels".as_ref(), &missing, "-o".as_ref(), &table], "cannot open the labels"),
        (&[&capture, "--idle-timeout".as_ref(), "0".as_ref(), "-o".as_ref(), &table], "timeouts must lie between 1 ns and 7200 s"),
        (&[&missing, "-o".as_ref(), &table], "not written: there is no row"),
    ];
    for (arguments, expected) in cases {
        let output = features(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.starts_with("treeline: ") && error.contains(expected), "{error}");
        assert!(!table.exists());
    }
}
