//! `treeline train` and `treeline import` as a user runs them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use treeline_data::Row;
use treeline_data::table::{Column, GROUP_ROWS, Names, ParquetWriter, Reader};
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
    assert_eq!(one.tree().expect("a tree").nodes(), other.tree().expect("a tree").nodes());
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
    assert_eq!(Model::read(&model).expect("a model").tree().expect("a tree").nodes().len(), 119);
    let output = treeline(&["import", text(&testdata("labels/lab.csv")), "-o", text(&folder.path().join("none.json"))]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!folder.path().join("none.json").exists());
}

/// The tables' rows in one, the second's classes being the first's. Without `captures`, both have the first's names.
fn put_together(tables: [&Path; 2], path: &Path, has_captures: bool) {
    let readers = tables.map(|table| Reader::open(table).expect("a table"));
    let captures: Vec<String> = readers[..if has_captures { 2 } else { 1 }].iter().flat_map(|reader| reader.captures().to_vec()).collect();
    let names = Names { captures, classes: readers[0].classes().to_vec() };
    let mut writer = ParquetWriter::new(File::create(path).expect("a file"), path, &names, GROUP_ROWS).expect("memory");
    for (capture, reader) in readers.iter().enumerate() {
        assert_eq!(reader.captures().len(), 1);
        for chunk in reader.chunks(&Column::all()).map(|chunk| chunk.expect("sound")) {
            for at in 0..chunk.rows {
                let row = Row {
                    capture: if has_captures { u32::try_from(capture).expect("two") } else { 0 },
                    index: chunk.index[at],
                    time_ns: chunk.time_ns[at],
                    flow: chunk.flow[at],
                    packet: chunk.packet[at],
                    midstream: chunk.midstream[at],
                    features: std::array::from_fn(|feature| chunk.features[feature][at]),
                    class: chunk.class[at],
                };
                writer.write(&row).expect("written");
            }
        }
    }
    writer.finish().expect("written");
}

#[test]
fn captures_of_one_name_in_two_folders_stay_two_in_the_tables_of_two_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = folder.path().join("labels.csv");
    fs::write(&labels, "capture,class,port\n,ssh,22\n,benign,\n").expect("a file");
    let run = |name: &str, capture: &str| {
        let inner = folder.path().join(name);
        fs::create_dir(&inner).expect("a folder");
        fs::copy(testdata("captures").join(capture), inner.join("x.pcap")).expect("a capture");
        let mut command = Command::new(env!("CARGO_BIN_EXE_treeline"));
        let command = command.current_dir(&inner).args(["features", "x.pcap", "-o", "rows.parquet", "--labels", text(&labels)]);
        assert_eq!(command.status().expect("it runs").code(), Some(0));
        inner.join("rows.parquet")
    };
    let tables = [run("one", "lab-portscan.pcap"), run("two", "lab-ssh-bruteforce.pcap")];
    let (together, model) = (folder.path().join("together.parquet"), folder.path().join("model.json"));
    let tables = [tables[0].as_path(), tables[1].as_path()];
    put_together(tables, &together, true);
    let train = |more: &[&str]| treeline(&[&["train", "--table", text(&together), "-f", "json", "-o", text(&model)], more].concat());
    let test = folder.path().join("two/x.pcap");
    for more in [&["--split", "none"][..], &["--test", text(&test)], &["--samples", "flow-last", "--split", "flow"]] {
        let trained = train(more);
        let record: Value = serde_json::from_slice(&trained.stdout).unwrap_or_else(|_| panic!("{trained:?}"));
        let flows = ["trained_on", "tested_on"].map(|part| record[part]["flows"].as_u64().expect("a number"));
        assert_eq!(flows[0] + flows[1], 142 + 106, "{more:?}");
        assert!(more[0] != "--test" || flows[1] == 106, "{flows:?}");
    }
    put_together(tables, &together, false);
    let refused = train(&[]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("these are rows of two flows, or copies"), "{error}");
}
