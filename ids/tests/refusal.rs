//! Bad input as a user gives it: one line that says what, where and what to do, exit code 2, nothing written.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A folder with two captures, their labels, a table of their rows, and a model.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    for name in ["captures/lab-portscan.pcap", "captures/lab-ssh-bruteforce.pcap", "labels/lab.csv", "models/hand.json"] {
        let source = testdata.join(name);
        fs::copy(&source, folder.path().join(source.file_name().expect("a name"))).expect("a committed file");
    }
    write(&folder, "other.csv", "capture,class\nother.pcap,scan\nother.pcap,benign\n");
    write(&folder, "scan.csv", "capture,class\n,scan\n");
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).expect("written");
}

fn treeline(folder: &TempDir, arguments: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_treeline"))
        .current_dir(folder.path())
        .args(arguments.split(' '))
        .output()
        .expect("the command runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn done(folder: &TempDir, arguments: &str) {
    let (code, message) = treeline(folder, arguments);
    assert_eq!(code, Some(0), "{arguments}: {message}");
}

/// Asserts a refusal in the line `expected`, and that no file came of it.
#[track_caller]
fn check(folder: &TempDir, arguments: &str, expected: &str) {
    let names = || fs::read_dir(folder.path()).expect("a folder").count();
    let before = names();
    let (code, message) = treeline(folder, arguments);
    assert_eq!((code, message.as_str()), (Some(2), format!("treeline: {expected}\n").as_str()), "{arguments}");
    assert_eq!(names(), before, "{arguments} left a file");
}

const BOTH: &str = "lab-portscan.pcap lab-ssh-bruteforce.pcap";
const CHECK: &str = "check that the labels name these captures, addresses and times";

#[test]
fn labels_that_cover_nothing_are_refused() {
    let folder = folder();
    let none = format!("other.csv: none of 344 packets has a label; {CHECK}");
    check(&folder, "evaluate -m hand.json lab-portscan.pcap -l other.csv --report page.html", &none);
    let none = format!("other.csv: no row has a class (1844 are unlabelled); {CHECK}");
    check(&folder, &format!("train {BOTH} -l other.csv -o model.json"), &none);
    let none = "rows.csv: not written: there is no row with a class; check that other.csv names these captures, addresses and times";
    check(&folder, "features lab-portscan.pcap -l other.csv -o rows.csv", none);
}

#[test]
fn a_capture_without_packets_is_refused() {
    let folder = folder();
    let capture = fs::read(folder.path().join("lab-portscan.pcap")).expect("a capture");
    fs::write(folder.path().join("none.pcap"), &capture[..24]).expect("written");
    let judged = "give captures with packets that reach the classifier";
    check(&folder, "evaluate -m hand.json none.pcap -l lab.csv", &format!("none of 0 frames has a verdict; {judged}"));
    check(&folder, "features none.pcap -o rows.csv", &format!("rows.csv: not written: there is no row; {judged}"));
    let none = format!("lab.csv: no packet to train on; {judged}, or a smaller --packets-min");
    check(&folder, "train none.pcap -l lab.csv -o model.json", &none);
    check(&folder, &format!("train {BOTH} -l lab.csv -o model.json --packets-min 5000"), &none);
    check(&folder, "explain -m hand.json none.pcap -p 0", "none.pcap: no frame 0: the capture has none");
}

#[test]
fn a_capture_given_twice_is_refused() {
    let folder = folder();
    fs::create_dir(folder.path().join("sub")).expect("a folder");
    let twice = "sub/../lab-portscan.pcap: given twice, also as lab-portscan.pcap; give each capture once";
    for command in ["train -o model.json", "train -o model.json --split none", "features -o rows.csv", "evaluate -m hand.json"] {
        check(&folder, &format!("{command} lab-portscan.pcap sub/../lab-portscan.pcap -l lab.csv"), twice);
    }
    let twice = "lab-portscan.pcap: given twice, also as lab-portscan.pcap; give each capture once";
    check(&folder, &format!("train {BOTH} --test lab-portscan.pcap -l lab.csv -o model.json"), twice);
}

#[test]
fn rows_of_one_class_are_refused_with_what_to_add() {
    let folder = folder();
    let one = "scan.csv: no benign row to train on (106 flows of scan); give labelled captures of both";
    check(&folder, &format!("train {BOTH} -l scan.csv -o model.json"), one);
    let kept = "all of them are kept for the test: give more captures, or split by flow (--split flow)";
    let one = format!("lab.csv: no benign row to train on (142 flows of portscan); {kept}");
    check(&folder, "train lab-portscan.pcap -l lab.csv -o model.json --test lab-ssh-bruteforce.pcap", &one);
}

#[test]
fn a_table_that_cannot_be_learned_from_is_refused() {
    let folder = folder();
    done(&folder, &format!("features {BOTH} -l lab.csv -o rows.parquet"));
    done(&folder, "features lab-portscan.pcap -o bare.parquet");
    // A table names its captures by their whole paths.
    let [scan, guesses] =
        ["lab-portscan.pcap", "lab-ssh-bruteforce.pcap"].map(|name| folder.path().canonicalize().expect("a folder").join(name));
    let captures = format!("{}, {}", scan.display(), guesses.display());
    let gone = format!("--test gone.pcap: rows.parquet has no such capture, only {captures}");
    check(&folder, "train --table rows.parquet --test gone.pcap -o model.json", &gone);
    let bare = format!("bare.parquet: no row has a class (344 are unlabelled); {CHECK}");
    check(&folder, "train --table bare.parquet -o model.json", &bare);
    write(&folder, "empty.parquet", "");
    let (code, message) = treeline(&folder, "train --table empty.parquet -o model.json");
    assert!(code == Some(2) && message.starts_with("treeline: empty.parquet: not a Parquet file"), "{message}");
}

#[test]
fn an_output_that_has_no_place_is_refused_with_what_to_do() {
    let folder = folder();
    fs::create_dir(folder.path().join("sub.csv")).expect("a folder");
    let missing = "there is no folder gone; create it first";
    let there = "a folder is there; give the name of a file";
    let train = format!("train {BOTH} -l lab.csv -o");
    check(&folder, &format!("{train} gone/model.json"), "--output gone/model.json: gone is no folder; create it first");
    check(&folder, &format!("{train} sub.csv"), &format!("--output sub.csv: {there}"));
    check(&folder, "link hand.json -o gone/ids.bpf.o", &format!("gone/ids.bpf.o: cannot write the object: {missing}"));
    check(&folder, "link hand.json -o sub.csv", &format!("sub.csv: cannot write the object: {there}"));
    check(&folder, "features lab-portscan.pcap -o gone/rows.csv", &format!("gone/rows.csv: cannot create the table: {missing}"));
    check(&folder, "features lab-portscan.pcap -o sub.csv", &format!("sub.csv: cannot create the table: {there}"));
    let evaluate = "evaluate -m hand.json lab-portscan.pcap -l lab.csv --report";
    check(&folder, &format!("{evaluate} gone/page.html"), &format!("gone/page.html: cannot write the report: {missing}"));
    check(&folder, &format!("{evaluate} sub.csv"), &format!("sub.csv: cannot write the report: {there}"));
}

#[test]
fn a_model_of_another_library_that_is_cut_off_or_holds_nan_is_refused_as_that() {
    let folder = folder();
    let save = "a model is one whole document of finite numbers: save it again";
    write(&folder, "cut.json", "{\"classes\": [0, 1], \"trees\": [");
    let cut = format!("cut.json: line 1, column 30: not JSON: EOF while parsing a list; {save}");
    check(&folder, "import cut.json -o model.json", &cut);
    write(&folder, "nan.json", "{\"classes\": [0, 1], \"threshold\": NaN}");
    let nan = format!("nan.json: line 1, column 34: not JSON: expected value; {save}");
    check(&folder, "import nan.json -o model.json", &nan);
}

#[test]
fn a_model_that_is_cut_off_or_holds_nan_is_refused_by_each_command() {
    let folder = folder();
    let whole = fs::read_to_string(folder.path().join("hand.json")).expect("a model");
    write(&folder, "cut.json", &whole[..1000]);
    let at = whole.find("\"threshold\": ").expect("a threshold") + 13;
    let end = at + whole[at..].find(',').expect("more fields");
    write(&folder, "nan.json", &format!("{}NaN{}", &whole[..at], &whole[end..]));
    for name in ["cut.json", "nan.json"] {
        for command in ["evaluate -m NAME lab-portscan.pcap -l lab.csv", "explain -m NAME lab-portscan.pcap -p 0", "link NAME -o ids.bpf.o"]
        {
            let (code, message) = treeline(&folder, &command.replace("NAME", name));
            assert_eq!(code, Some(2), "{message}");
            assert!(message.starts_with(&format!("treeline: {name}: line ")) && message.contains("not JSON"), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[test]
fn an_unreasonable_number_of_threads_is_refused() {
    let (code, message) = treeline(&folder(), &format!("train {BOTH} -l lab.csv -o model.json --threads 100000"));
    assert!(code == Some(2) && message.contains("100000 is not in 0..=1024"), "{message}");
}
