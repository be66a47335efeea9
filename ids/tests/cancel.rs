//! Commands that are stopped halfway, over real captures: no part of a file stands where the whole was to be, nor beside it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// More than a pipe holds: who has written it knows that the other end reads.
const BEGUN_BYTES: usize = 192 << 10;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

/// Two training captures that are longer.
fn captures() -> [PathBuf; 2] {
    let entries = fs::read_dir(testdata("train")).expect("the training captures").map(|entry| entry.expect("an entry"));
    let long = entries.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > BEGUN_BYTES as u64));
    let mut paths: Vec<_> = long.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|name| name == "zst")).collect();
    paths.sort();
    paths.truncate(2);
    paths.try_into().expect("two captures")
}

/// Starts `treeline` with `arguments`, one whole capture and the beginning of another on standard input, which then waits; stops it there by
/// `signal`; and asserts that `folder` holds what it held.
fn check(arguments: &[&str], folder: &Path, signal: Signal) {
    let held = || -> Vec<_> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
    };
    let before = held();
    let [whole, begun] = captures();
    // Whoever runs this may ignore SIGINT, as a shell's jobs in the background do: the command starts without that.
    let mut child = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_treeline")])
        .args(arguments)
        .args([whole.as_os_str(), "-".as_ref(), "--labels".as_ref(), testdata("labels/train.csv").as_os_str()])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command runs");
    let mut bytes = vec![0; BEGUN_BYTES];
    File::open(begun).and_then(|mut file| file.read_exact(&mut bytes)).expect("a capture longer than that");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(&bytes).expect("the command reads");
    kill_process(Pid::from_child(&child), signal).expect("the command still runs");
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(signal.as_raw()), "{arguments:?}: {status}");
    assert_eq!(held(), before, "{arguments:?}, {signal:?}");
}

fn check_all(output: &str, arguments: &[&str]) {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().expect("a folder");
        check(arguments, folder.path(), signal);
        fs::write(folder.path().join(output), "the old file").expect("written");
        check(arguments, folder.path(), signal);
    }
}

#[test]
fn a_table_that_is_stopped_leaves_nothing_and_keeps_the_old_one() {
    check_all("rows.parquet", &["features", "-o", "rows.parquet"]);
    check_all("rows.csv", &["features", "-o", "rows.csv"]);
}

#[test]
fn a_training_that_is_stopped_leaves_nothing_and_keeps_the_old_model() {
    check_all("model.json", &["train", "-o", "model.json"]);
}

#[test]
fn an_evaluation_that_is_stopped_leaves_nothing_and_keeps_the_old_page() {
    let model = testdata("models/hand.json");
    check_all("page.html", &["evaluate", "--model", model.to_str().expect("UTF-8"), "--report", "page.html"]);
}
