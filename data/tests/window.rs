//! The built-in attack windows of CIC-IDS-2017.

#[macro_use]
extern crate treeline_trial;

#[allow(dead_code, reason = "each test uses a part")]
mod support;
#[path = "../../trial/harness.rs"]
mod trial;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use support::{TCP, at, captures, class, flow};
use treeline_data::label::{CIC_IDS_2017, CIC_IDS_2017_PAPER};
use treeline_data::{Labels, Rows, row};

const ATTACKER: &str = "172.16.0.1:50000";
const SERVER: &str = "192.168.10.50:80";
const INFILTRATOR: &str = "205.174.165.73:444";
const INFILTRATED: &str = "192.168.10.8:54119";

/// The classes that the corrected and the paper's windows give.
fn classes(originator: &str, responder: &str, time: &str) -> [String; 2] {
    [CIC_IDS_2017, CIC_IDS_2017_PAPER].map(|edition| {
        let mut labels = Labels::open(edition).expect("built in");
        class(&mut labels, "any.pcap", &flow(TCP, originator, responder), at(time)).expect("every flow has a class")
    })
}

#[test]
fn corrected_windows_cover_the_hour_of_ftp_guessing() {
    assert_eq!(classes(ATTACKER, "192.168.10.50:21", "2017-07-04T12:20:00Z"), ["ftp-patator", "ftp-patator"]);
    assert_eq!(classes(ATTACKER, "192.168.10.50:21", "2017-07-04T13:10:00Z"), ["ftp-patator", "benign"]);
    assert_eq!(classes(ATTACKER, "192.168.10.50:22", "2017-07-04T18:10:00Z"), ["ssh-patator", "benign"]);
}

#[test]
fn only_flows_that_the_attacker_opened_count() {
    assert_eq!(classes(ATTACKER, SERVER, "2017-07-06T13:20:00Z"), ["web-xss", "web-xss"]);
    assert_eq!(classes(SERVER, ATTACKER, "2017-07-06T13:20:00Z"), ["benign", "benign"]);
    assert_eq!(classes("192.168.10.5:1", SERVER, "2017-07-06T13:20:00Z"), ["benign", "benign"]);
    assert_eq!(classes(ATTACKER, SERVER, "2017-07-03T13:20:00Z"), ["benign", "benign"]);
}

#[test]
fn infiltration_counts_in_both_directions() {
    assert_eq!(classes(INFILTRATOR, INFILTRATED, "2017-07-06T17:20:00Z"), ["infiltration", "infiltration"]);
    assert_eq!(classes(INFILTRATED, INFILTRATOR, "2017-07-06T17:20:00Z"), ["infiltration", "infiltration"]);
}

#[test]
fn infiltrated_hosts_talk_to_its_attacker_is_no_scan() {
    assert_eq!(classes(INFILTRATED, INFILTRATOR, "2017-07-06T18:30:00Z"), ["infiltration", "infiltration-portscan"]);
    assert_eq!(classes(INFILTRATED, "192.168.10.9:1000", "2017-07-06T18:30:00Z"), ["infiltration-portscan", "infiltration-portscan"]);
}

#[test]
fn later_row_wins_where_two_overlap() {
    assert_eq!(classes(ATTACKER, SERVER, "2017-07-06T13:36:00Z"), ["web-sql-injection", "web-xss"]);
    assert_eq!(classes(ATTACKER, SERVER, "2017-07-05T13:12:00Z"), ["dos-slowhttptest", "dos-slowhttptest"]);
}

#[test]
fn a_port_of_the_row_is_the_responders() {
    assert_eq!(classes(ATTACKER, "192.168.10.51:444", "2017-07-05T18:20:00Z"), ["heartbleed", "heartbleed"]);
    assert_eq!(classes(ATTACKER, "192.168.10.51:443", "2017-07-05T18:20:00Z"), ["benign", "benign"]);
    assert_eq!(classes("172.16.0.1:444", "192.168.10.51:9", "2017-07-05T18:20:00Z"), ["benign", "benign"]);
}

#[test]
fn an_end_covers_its_second() {
    let ddos = |time| classes(ATTACKER, SERVER, time)[0].clone();
    assert_eq!(ddos("2017-07-07T19:18:00.999999999Z"), "ddos-loit");
    assert_eq!(ddos("2017-07-07T19:18:01Z"), "benign");
    assert_eq!(ddos("2017-07-07T18:54:00Z"), "ddos-loit");
    assert_eq!(ddos("2017-07-07T18:53:59.999999999Z"), "benign");
}

#[test]
fn botnet_is_who_opens_to_or_from_its_controller() {
    assert_eq!(classes("192.168.10.15:1", "205.174.165.73:8080", "2017-07-07T13:10:00Z"), ["botnet-ares"; 2]);
    assert_eq!(classes("205.174.165.73:8080", "192.168.10.15:1", "2017-07-07T13:10:00Z"), ["botnet-ares"; 2]);
}

#[test]
fn windows_from_a_file_are_the_corrected_ones() {
    let mut labels = support::labels(
        "class,address_from,address_to,port_to,paper_start_utc,paper_end_utc,table_first_utc,table_last_utc\n\
         a,10.0.0.1,,,2017-07-04T12:00:00Z,2017-07-04T12:10:00Z,2017-07-04T12:05:00Z,2017-07-04T13:00:00Z\n",
    );
    let mut class = |time| class(&mut labels, "x", &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), at(time));
    assert_eq!(class("2017-07-04T12:50:00Z").as_deref(), Some("a"));
    assert_eq!(class("2017-07-04T13:50:00Z").as_deref(), Some("benign"));
}

#[test]
fn web_attack_capture_is_all_cross_site_scripting() {
    let folder = match captures() {
        Ok(folder) => folder,
        Err(reason) => return trial::without(reason),
    };
    for edition in [CIC_IDS_2017, CIC_IDS_2017_PAPER] {
        let captures: Vec<PathBuf> = vec![folder.join("train/cicids2017_web_xss.pcap")];
        let labels = Labels::open(edition).expect("built in");
        let mut rows = Rows::new(captures, Some(labels), row::Options::default()).expect("options");
        assert!(rows.by_ref().all(|row| row.is_ok()));
        let class = rows.classes().iter().position(|class| class == "web-xss").expect("a class");
        assert_eq!(rows.tally().classes[class].flows, 661);
        assert_eq!(rows.tally().total().flows, 661);
    }
}

/// Rows of the corrected table's sample on which an edition and the table's own label differ, and all rows.
fn differences(folder: &std::path::Path, edition: &str) -> (usize, usize) {
    let file = folder.join("../flows/cicids2017_improved_CNS2022_sample_2500_per_class.csv.gz");
    let lines = BufReader::new(flate2::read::GzDecoder::new(File::open(file).expect("a table"))).lines().map(|line| line.expect("text"));
    let mut labels = Labels::open(edition).expect("built in");
    let (mut differ, mut all) = (0, 0);
    for line in lines.skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let [source, destination] = [2, 4].map(|at| format!("{}:{}", fields[at], fields[at + 1]));
        let protocol = fields[6].parse().expect("a number");
        let time = at(&format!("{}Z", fields[7]));
        let found = class(&mut labels, "x", &flow(protocol, &source, &destination), time).expect("every flow has a class");
        let label = fields[fields.len() - 2].to_lowercase();
        let same = label == "benign" && found == "benign" || label != "benign" && found != "benign";
        differ += usize::from(!same);
        all += 1;
    }
    (differ, all)
}

#[test]
fn corrected_windows_agree_with_the_corrected_table() {
    let folder = match captures() {
        Ok(folder) => folder,
        Err(reason) => return trial::without(reason),
    };
    // What is left is in docs/labels.md: benign flows of the host that scans, a scan behind the address translation, and a few last seconds.
    assert_eq!(differences(&folder, CIC_IDS_2017), (55, 25_127));
    assert_eq!(differences(&folder, CIC_IDS_2017_PAPER), (2_847, 25_127));
}

fn main() -> std::process::ExitCode {
    trial::main()
}
