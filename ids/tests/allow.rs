//! `treeline replay --allow` as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A replay of the port scan in the engines that run anywhere, with this text as the list.
fn replay(list: &str) -> (PathBuf, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("allow.txt");
    fs::write(&path, list).expect("written");
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures/lab-portscan.pcap");
    let mut command = Command::new(env!("CARGO_BIN_EXE_treeline"));
    command.args(["replay", "--engine", "native,vm,reference", "--format", "json", "--allow"]).arg(&path).arg(capture);
    (path, command.output().expect("the command runs"))
}

#[test]
fn allowed_packets_are_counted_and_the_engines_agree_on_them() {
    for (list, allowed, judged) in [("# nobody", 0, 344), ("198.18.0.0/15 # IPv4", 225, 119), ("198.18.0.0/15\n2001:db8::/32", 344, 0)] {
        let (_, output) = replay(list);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let counted = (summary["counters"]["allowed"].as_u64(), summary["judged"].as_u64());
        assert_eq!(counted, (Some(allowed), Some(judged)), "{list}");
    }
}

#[test]
fn a_list_that_cannot_be_read_is_refused_with_its_line() {
    let (path, output) = replay("198.18.0.0/15\n198.18.0.1 ssh");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0));
    let expected = format!("{}:2: ssh: not a service; one is like tcp/22 or udp/53", path.display());
    assert!(said.contains(&expected), "{said}");
}
