//! Standard output that nobody reads, and one that is full.

use std::fs::File;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Commands that print, each in little time.
fn outputs(stdout: impl Fn() -> Stdio) -> Vec<Output> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let path = |name: &str| testdata.join(name).to_str().expect("a name").to_owned();
    let (capture, model) = (path("captures/edge-ipv4-options.pcap"), path("models/default.json"));
    let folder = tempfile::tempdir().expect("a folder");
    let linked = folder.path().join("linked.bpf.o");
    let commands = [
        vec!["replay", "--engine", "native", &capture],
        vec!["replay", "--engine", "native", "--format", "jsonl", &capture],
        vec!["explain", "--model", &model, &capture, "--packet", "0"],
        vec!["link", &model, "-o", linked.to_str().expect("a name")],
    ];
    let run = |arguments: Vec<&str>| {
        Command::new(env!("CARGO_BIN_EXE_treeline")).args(arguments).stdout(stdout()).output().expect("the command runs")
    };
    commands.into_iter().map(run).collect()
}

/// Found by `treeline verify ... | head`, which ended in a panic.
#[test]
fn a_reader_that_has_gone_is_no_fault() {
    let gone = || Stdio::from(pipe().expect("a pipe").1);
    for Output { status, stderr, .. } in outputs(gone) {
        assert!(status.success() && stderr.is_empty(), "{status}: {}", String::from_utf8_lossy(&stderr));
    }
}

#[test]
fn an_output_without_room_is_bad_input() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("a device"));
    for Output { status, stderr, .. } in outputs(full) {
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.code() == Some(2) && said.contains("standard output: No space left on device"), "{status}: {said}");
    }
}
