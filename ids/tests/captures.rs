//! What commands say of captures that are read in part: unsupported link types, garbage behind gzip, directories.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const UNSUPPORTED: &str = "testdata/captures/edge-unsupported-interface.pcapng";
const MODEL: &str = "testdata/models/hand.json";

/// The command, run at the root of the source tree.
fn treeline(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(env!("CARGO_BIN_EXE_treeline")).current_dir(root).args(arguments).output().expect("treeline starts")
}

/// Its standard output, with its exit code and standard error as expected.
#[track_caller]
fn printed(arguments: &[&str], code: i32, errors: &str) -> String {
    let output = treeline(arguments);
    assert_eq!(String::from_utf8_lossy(&output.stderr), errors, "{arguments:?}");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn every_command_counts_frames_of_unsupported_link_types() {
    let text = printed(&["replay", "--engine", "native,vm", UNSUPPORTED], 0, "");
    assert!(text.contains("  frames     16\n  classified 13\n  skipped    link type 105 (IEEE802_11) 3\n"), "{text}");
    assert!(text.contains("native and vm agree on 13 packets (hook tc, tree compiled)"), "{text}");
    let summary = document(&printed(&["replay", "--engine", "native", "--format", "json", UNSUPPORTED], 0, ""));
    assert_eq!((&summary["frames"], &summary["unsupported_link_types"]["105"]), (&16.into(), &3.into()));
    let left_out = format!("treeline: {UNSUPPORTED}: frames not read: 3 of link type 105 (IEEE802_11)\n");
    assert_eq!(printed(&["replay", "--engine", "native", "--format", "jsonl", UNSUPPORTED], 0, &left_out).lines().count(), 13);

    let object = ["test", "lab/examples/filter/filter.bpf.o", UNSUPPORTED, "--engine", "vm"];
    let text = printed(&object, 0, "");
    assert!(text.contains("13 of 16 frames run\n  3 frames not run: link type 105 (IEEE802_11) is not supported\n"), "{text}");

    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (rows, labels, model) = (at("rows.csv"), at("labels.csv"), at("model.json"));
    let text = printed(&["features", UNSUPPORTED, "-o", &rows], 0, "");
    assert!(text.contains("  frames     16\n  skipped    link type 105 (IEEE802_11) 3\n"), "{text}");
    fs::write(&labels, "capture,class,protocol\n,benign,udp\n,scan,tcp\n").expect("labels");
    let text = printed(&["evaluate", "--model", MODEL, UNSUPPORTED, "--labels", &labels], 0, "");
    assert!(text.contains("frames      16 in 1 captures\n"), "{text}");
    assert!(text.contains("skipped     link type 105 (IEEE802_11) 3\n"), "{text}");
    let evaluation = document(&printed(&["evaluate", "--model", MODEL, UNSUPPORTED, "--labels", &labels, "--format", "json"], 0, ""));
    assert_eq!(evaluation["skipped"]["unsupported-link-type"], 3);
    let train = ["train", UNSUPPORTED, "--labels", &labels, "--split", "none", "-o", &model];
    let text = printed(&train, 0, "");
    assert!(text.contains("3 frames of link type 105 (IEEE802_11), which is not supported"), "{text}");

    // Frames keep their numbers.
    assert!(printed(&["explain", "--model", MODEL, UNSUPPORTED, "--packet", "15"], 0, "").contains("frame 15"));
    let error = format!("treeline: {UNSUPPORTED}: frame 4 is of a link type that is not supported; `replay` counts these\n");
    printed(&["explain", "--model", MODEL, UNSUPPORTED, "--packet", "4"], 2, &error);
}

#[test]
fn a_limit_counts_what_is_left_out() {
    let text = printed(&["replay", "--engine", "native", "-n", "6", UNSUPPORTED], 0, "");
    assert!(text.contains("  frames     6\n  classified 5\n"), "{text}");
}

#[test]
fn garbage_behind_gzip_is_a_warning_and_no_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sound = fs::read(root.join("testdata/captures/edge-gzip.pcap.gz")).expect("an edge");
    let file = |tail: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&[&sound, tail].concat()).expect("a file");
        file
    };
    for (tail, warns) in [(&b"garbage"[..], true), (&[0; 512], false)] {
        let file = file(tail);
        let path = file.path().to_str().expect("UTF-8");
        let warning = if warns { format!("treeline: {path}: decompression OK, trailing garbage ignored\n") } else { String::new() };
        let text = printed(&["replay", "--engine", "native", path], 0, &warning);
        assert!(text.contains("  classified 13\n"), "{text}");
        printed(&["test", "lab/examples/filter/filter.bpf.o", path, "--engine", "vm"], 0, &warning);
    }
}

#[test]
fn a_directory_is_named_as_one() {
    printed(&["replay", "--engine", "native", "testdata"], 2, "treeline: testdata: a directory; give the captures in it\n");
    printed(&["explain", "--model", MODEL, "testdata", "--packet", "0"], 2, "treeline: testdata: a directory; give the captures in it\n");
}

#[test]
fn a_flow_table_out_of_bounds_is_refused_at_its_argument() {
    for flows in ["4095", "67108865", "4294967295"] {
        let output = treeline(&["replay", "--flows", flows, UNSUPPORTED]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(&format!("invalid value '{flows}' for '--flows <N>': {flows} is not in 4096..=67108864")), "{error}");
    }
    for command in ["replay", "features", "evaluate", "explain"] {
        let help = String::from_utf8(treeline(&[command, "--help"]).stdout).expect("text");
        assert!(help.contains("4096 to 67108864"), "{command}");
        assert!(help.contains("NFLOG (239)"), "{command} lists link types");
        assert_eq!(help.contains("stop being compared"), command == "replay", "{command}");
    }
}

#[test]
fn every_hook_and_tree_is_replayed_in_turn() {
    let capture = "testdata/captures/edge-ppp.pcap";
    let text = printed(&["replay", "--engine", "native,vm", "--hook", "all", "--tree", "all", capture], 0, "");
    let agreed = |hook, tree| text.matches(&format!("native and vm agree on 13 packets (hook {hook}, tree {tree})\n")).count();
    for hook in ["xdp", "tc", "socket"] {
        assert_eq!((agreed(hook, "walk"), agreed(hook, "compiled")), (1, 1), "{hook}: {text}");
    }
    let json = printed(&["replay", "--engine", "native,vm", "--hook", "xdp,tc,xdp", "--format", "json", capture], 0, "");
    let hooks: Vec<Value> = json.lines().map(|line| document(line)["hook"].clone()).collect();
    assert_eq!(hooks, ["xdp", "tc"]);
    let once = "treeline: standard input is read once; give one --hook and one --tree, or a file\n";
    printed(&["replay", "--hook", "all", "-"], 2, once);
}
