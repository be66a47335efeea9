//! `test` and `verify` as a user gives them, without privileges: options, exit codes, what a refusal says.

use std::fs;
use std::process::Command;

const LAB: &str = "test ../lab/tests/objects/lab.bpf.o ../testdata/captures/lab-portscan.pcap --engine vm";

/// Exit code, standard output and standard error.
fn treeline(arguments: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_treeline"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments.split(' '))
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_expectation_decides_the_exit_code() {
    let passes = LAB.replace("lab.bpf.o", "deep.bpf.o") + " --program xdp_last --expect";
    let (code, text, _) = treeline(&format!("{passes} XDP_PASS"));
    assert_eq!(code, Some(0), "{text}");
    let (code, text, _) = treeline(&format!("{passes} XDP_DROP"));
    assert!(code == Some(1) && text.contains("EXPECTED XDP_DROP: 364 packets returned something else"), "{text}");
}

#[test]
fn an_expectation_that_no_packet_meets_is_not_met() {
    let passes = LAB.replace("lab.bpf.o", "deep.bpf.o") + " --program xdp_last --expect XDP_PASS --limit 0";
    let (code, text, _) = treeline(&passes);
    assert!(code == Some(1) && text.contains("EXPECTED XDP_PASS: no packet was run"), "{text}");
}

#[test]
fn a_constant_that_is_set_changes_the_verdicts() {
    let returned = |arguments: &str| {
        let (code, text, error) = treeline(&format!("{LAB} --program xdp_lab --format json{arguments}"));
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str::<serde_json::Value>(&text).expect("a document")["returned"].clone()
    };
    assert!(returned("")["XDP_PASS"].as_u64() > Some(0));
    let dropped = returned(" --set VERDICT=1");
    assert!(dropped["XDP_PASS"].is_null() && dropped["XDP_DROP"].as_u64() > Some(0), "{dropped}");
}

#[test]
fn a_map_has_the_entries_that_it_is_given() {
    let (code, text, error) = treeline(&format!("{LAB} --program xdp_lab --entries LENGTHS=64"));
    assert_eq!(code, Some(0), "{text} {error}");
    assert!(text.contains("map LENGTHS: array, 64 of 64 entries") && text.contains("through vm alone"), "{text}");
}

#[test]
fn a_map_that_is_filled_has_its_entries_before_the_first_packet() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hash.json");
    let rows: Vec<_> = (0..3).map(|key| format!(r#"{{"key": {key}, "value": "{}"}}"#, ["0a"; 16].join(":"))).collect();
    fs::write(&path, format!("[{}]", rows.join(","))).expect("written");
    let entries = |map: &str| {
        let (code, text, error) = treeline(&format!("{LAB} --program tc_lab{map}"));
        assert_eq!(code, Some(0), "{error}");
        let line = text.lines().find(|line| line.contains("map HASH")).map(str::to_owned);
        line.and_then(|line| line.split(' ').find_map(|word| word.parse::<u32>().ok())).expect("a count")
    };
    assert_eq!(entries(&format!(" --map HASH={}", path.display())), entries("") + 3);
}

#[test]
fn where_the_vm_stops_is_told_with_its_source_line() {
    let long = LAB.replace("lab.bpf.o", "diverge.bpf.o") + " --program xdp_long";
    let (code, text, _) = treeline(&long);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("STOPPED at frame 54: vm: xdp_long, function spin, instruction 19 `ldxw r3, [r2+0x0]`: more than 1000000"),
        "{text}"
    );
    assert!(
        text.contains("        ./diverge.bpf.c:105: *turns += turn;\n      after xdp_long, instruction 6 `jlt32 r1, 0x3d, +0xb`"),
        "{text}"
    );
    let (_, text, _) = treeline(&format!("{long} --format jsonl"));
    let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("records")).expect("a record");
    let place = &last["stop"]["origins"][0]["place"];
    assert_eq!((&place["file"], &place["line"], &place["instruction"]), (&"./diverge.bpf.c".into(), &105.into(), &19.into()), "{last}");
}

#[test]
fn jsonl_has_a_record_a_packet() {
    let (code, text, error) = treeline(&format!("{LAB} --program tc_lab --format jsonl --limit 5"));
    assert_eq!((code, text.lines().count()), (Some(0), 5), "{error}");
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record");
        assert!(record["verdict"].as_str().is_some_and(|verdict| verdict.starts_with("TC_ACT_")), "{record}");
    }
}

#[test]
fn coverage_adds_up_over_captures_and_names_the_ways_not_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.lcov");
    let with = LAB.replace("--engine", "../testdata/captures/edge-tcp-flags.pcap --engine");
    let counts = |arguments: &str| {
        let (code, text, error) = treeline(&format!("{arguments} --program xdp_lab --coverage {}", path.display()));
        assert_eq!(code, Some(0), "{error}");
        let lcov = fs::read_to_string(&path).expect("written");
        assert!(lcov.contains("SF:./lab.bpf.c\n") && lcov.ends_with("end_of_record\n"), "{lcov}");
        let entered = lcov.lines().find_map(|line| line.strip_prefix("FNDA:")?.strip_suffix(",xdp_lab")?.parse::<u64>().ok());
        (entered.expect("the program's count"), text)
    };
    let (one, text) = counts(LAB);
    assert_eq!(one, 364);
    assert!(text.contains("./lab.bpf.c:46: xdp_lab instruction 36 never jumps"), "{text}");
    assert!(counts(&with).0 > one);
    let (code, _, error) = treeline(&format!("{} --program xdp_lab --coverage {}", LAB.replace("vm", "kernel"), path.display()));
    assert!(code == Some(2) && error.contains("--coverage: the vm counts"), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_in_a_line() {
    for (arguments, expected) in [
        (format!("{LAB} --program nope"), "no program `nope` in the object, which has: socket_lab, tc_lab, xdp_lab"),
        (format!("{LAB} --program tc_lab --entries NOPE=1"), "the object has no map `NOPE`"),
        (format!("{LAB} --program tc_lab --entries HASH"), "--entries HASH: write it as NAME=COUNT"),
        (LAB.to_owned(), "which program? --program with one of socket_lab, tc_lab, xdp_lab"),
        (format!("{LAB} --program tc_lab --set NOPE=1"), "the object has no variable `NOPE`"),
        (format!("{LAB} --program tc_lab --set VERDICT"), "--set VERDICT: write it as NAME=VALUE"),
        (format!("{LAB} --program tc_lab --map NOPE=x.json"), "the object has no such map; it has .bss, .rodata"),
        (format!("{LAB} --program xdp_lab --expect TC_ACT_OK"), "--expect"),
        (format!("{LAB},native --program tc_lab"), "in kernels alone; give vm, kernel or kernel@SERIES"),
        ("verify Cargo.toml".to_owned(), "Cargo.toml: "),
        ("verify nothing.bpf.o".to_owned(), "nothing.bpf.o: No such file"),
        ("verify ../lab/tests/objects/lab.bpf.o --set NOPE=1".to_owned(), "the object has no variable `NOPE`"),
        ("verify ../lab/tests/objects/lab.bpf.o --program nope".to_owned(), "no program `nope`"),
    ] {
        let (code, _, error) = treeline(&arguments);
        assert!(code == Some(2) && error.contains(expected) && error.lines().count() == 1, "{arguments}: {code:?} {error}");
    }
}

#[test]
fn an_object_without_programs_is_bad_input_to_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.o");
    fs::write(&path, b"").expect("written");
    let lab = "../testdata/captures/lab-portscan.pcap";
    for command in [
        format!("verify {}", path.display()),
        format!("test {} {lab} --engine vm", path.display()),
        format!("test {} {lab} --engine vm --coverage {}", path.display(), folder.path().join("lcov").display()),
    ] {
        let (code, _, error) = treeline(&command);
        assert!(code == Some(2) && error.contains("empty.o: cannot read the BPF object: the file is empty"), "{command}: {code:?} {error}");
    }
}

#[test]
fn a_literal_descriptor_is_refused_by_every_engine() {
    for engine in ["vm", "kernel", "vm,kernel"] {
        let (code, _, error) = treeline(&format!(
            "test ../lab/tests/objects/literal.bpf.o ../testdata/captures/lab-portscan.pcap --program map_zero --engine {engine}"
        ));
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("instruction 4 `lddw r1, fd 0`") && error.contains("fd 0 is not pointing to valid bpf_map"), "{error}");
    }
}

#[test]
fn a_junit_report_has_a_case_for_each_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, cut) = (folder.path().join("report.xml"), folder.path().join("cut.pcap"));
    let bytes = fs::read("../testdata/captures/lab-portscan.pcap").expect("a capture");
    fs::write(&cut, &bytes[..bytes.len() / 2 + 3]).expect("written");
    let captures = format!("{} ../testdata/captures/edge-not-ip.pcap no-such.pcap", cut.display());
    let with = LAB.replace("lab.bpf.o", "deep.bpf.o").replace("--engine", &format!("{captures} --engine"));
    let (code, _, _) = treeline(&format!("{with} --program xdp_last --expect XDP_DROP --junit {}", path.display()));
    assert_eq!(code, Some(2));
    let text = fs::read_to_string(&path).expect("a report");
    let document = roxmltree::Document::parse(&text).expect("XML");
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).expect("a suite");
    assert_eq!(
        (suite.attribute("tests"), suite.attribute("failures"), suite.attribute("errors")),
        (Some("4"), Some("2"), Some("2")),
        "{text}"
    );
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    let what = |case: &roxmltree::Node<'_, '_>| {
        let child = case.children().find(roxmltree::Node::is_element)?;
        Some((child.tag_name().name().to_owned(), child.attribute("message")?.to_owned()))
    };
    let found: Vec<_> = cases.iter().map(|case| what(case).expect("nothing passes")).collect();
    assert_eq!(found.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["failure", "error", "failure", "error"], "{text}");
    assert!(found[0].1.starts_with("EXPECTED XDP_DROP: 364 packets returned something else"), "{text}");
    assert!(found[3].1.contains("cannot be read"), "{text}");
    // What passes has nothing to say.
    let (code, _, _) = treeline(&format!("{LAB} --program xdp_lab --junit {}", path.display()));
    assert_eq!(code, Some(0));
    let text = fs::read_to_string(&path).expect("a report");
    let document = roxmltree::Document::parse(&text).expect("XML");
    let case = document.descendants().find(|node| node.has_tag_name("testcase")).expect("a case");
    assert_eq!((case.attribute("classname"), case.children().any(|node| node.is_element())), (Some("xdp_lab"), false), "{text}");
}

#[test]
fn replay_says_where_the_test_of_any_object_went() {
    let (code, _, error) = treeline("replay --object filter.bpf.o ../testdata/captures/lab-portscan.pcap");
    assert!(code == Some(2) && error.contains("treeline test filter.bpf.o CAPTURE..."), "{error}");
}
