//! `treeline train` and `treeline import` as a user runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use treeline_model::Model;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

fn treeline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_treeline")).args(arguments).output().expect("the command runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_table_of_rows_gives_the_model_of_its_captures_whatever_the_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let [rows, from_rows, from_capture] = ["rows.parquet", "rows.json", "capture.json"].map(|name| folder.path().join(name));
    let (capture, labels) = (testdata("captures/lab-ssh-bruteforce.pcap"), testdata("labels/lab.csv"));
    let labelled = [text(&capture), "--labels", text(&labels)];
    let written = treeline(&[&["features"], &labelled[..], &["-o", text(&rows)]].concat());
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let trained = treeline(&["train", "--table", text(&rows), "--threads", "2", "-o", text(&from_rows)]);
    assert_eq!(trained.status.code(), Some(0), "{trained:?}");
    let trained = treeline(&[&["train"], &labelled[..], &["--threads", "1", "-o", text(&from_capture)]].concat());
    assert_eq!(trained.status.code(), Some(0), "{trained:?}");
    let [one, other] = [from_rows, from_capture].map(|path| Model::read(path).expect("a model"));
    assert!(one.leaves() > 1, "nothing was learned");
    assert_eq!(one.nodes(), other.nodes());
}

#[test]
fn captures_of_one_class_train_nothing_and_keep_the_model_that_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model.json");
    fs::write(&model, "earlier").expect("a file");
    let (capture, labels) = (testdata("captures/lab-benign.pcap"), testdata("labels/lab.csv"));
    let output = treeline(&["train", text(&capture), "--labels", text(&labels), "-o", text(&model)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(&model).expect("a file"), "earlier");
}

#[test]
fn an_imported_tree_is_a_model_and_a_file_of_no_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model.json");
    let output = treeline(&["import", text(&testdata("import/sklearn-tree.json")), "-o", text(&model)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("exact    yes"), "{output:?}");
    assert_eq!(Model::read(&model).expect("a model").nodes().len(), 119);
    let output = treeline(&["import", text(&testdata("labels/lab.csv")), "-o", text(&folder.path().join("none.json"))]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!folder.path().join("none.json").exists());
}
