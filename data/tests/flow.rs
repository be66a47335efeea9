//! Flow tables as CIC-IDS-2017 publishes them: each trap in them, in small.

#[macro_use]
extern crate treeline_trial;

#[allow(dead_code, reason = "each test uses a part")]
mod support;
#[path = "../../trial/harness.rs"]
mod trial;

use support::{TCP, UDP, at, captures, class, flow, labels, refused};
use treeline_data::Labels;

/// The published header with its irregular blanks and its column that is there twice.
const PUBLISHED: &str = "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Protocol, Timestamp, Flow Duration, Fwd Header Length,Fwd Packets/s, Fwd Header Length, Label";
/// The corrected table's.
const CORRECTED: &str = "id,Flow ID,Src IP,Src Port,Dst IP,Dst Port,Protocol,Timestamp,Flow Duration,Label,Attempted Category";

fn published(row: &str) -> Labels {
    labels(format!("{PUBLISHED}\r\n{row}\r\n"))
}

fn corrected(rows: &str) -> Labels {
    labels(format!("{CORRECTED}\n{rows}\n"))
}

#[test]
fn columns_are_found_between_irregular_blanks_and_twins() {
    let mut labels = published("1-2-3-4-6,172.16.0.1,50000, 192.168.10.50 ,80,6,7/7/2017 3:56,1000000,40,9,40,DDoS");
    let attack = flow(TCP, "172.16.0.1:50000", "192.168.10.50:80");
    assert_eq!(class(&mut labels, "x", &attack, at("2017-07-07T18:56:30Z")).as_deref(), Some("ddos-loit"));
}

#[test]
fn both_directions_are_one_flow() {
    let mut labels = published("a,104.16.207.165,443,192.168.10.5,54865,6,7/7/2017 3:30,3,40,9,40,BENIGN");
    let time = at("2017-07-07T18:30:00Z");
    assert_eq!(class(&mut labels, "x", &flow(TCP, "192.168.10.5:54865", "104.16.207.165:443"), time).as_deref(), Some("benign"));
    assert_eq!(class(&mut labels, "x", &flow(TCP, "192.168.10.5:443", "104.16.207.165:54865"), time), None);
    assert_eq!(class(&mut labels, "x", &flow(UDP, "192.168.10.5:54865", "104.16.207.165:443"), time), None);
}

#[test]
fn local_minutes_without_am_or_pm_become_utc() {
    let mut labels = published("a,10.0.0.1,1,10.0.0.2,2,6,5/7/2017 1:05,2000000,0,0,0,DoS slowloris");
    let mut found = |time| class(&mut labels, "x", &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), at(time)).is_some();
    // The minute 13:05 local time is 16:05 UTC; the row lasts its minute and two seconds.
    let times =
        ["2017-07-05T16:04:59.9Z", "2017-07-05T16:05:00Z", "2017-07-05T16:06:01.9Z", "2017-07-05T16:06:02Z", "2017-07-05T04:05:00Z"];
    assert_eq!(times.map(&mut found), [false, true, true, false, false]);
}

#[test]
fn corrected_times_are_utc_to_the_microsecond() {
    let mut labels = corrected("7,x,10.0.0.1,1,10.0.0.2,2,17,2017-07-07 12:59:21.088203,25,Portscan,-1");
    let mut found = |time| class(&mut labels, "x", &flow(UDP, "10.0.0.1:1", "10.0.0.2:2"), at(time)).is_some();
    let times =
        ["2017-07-07T12:59:21.088202Z", "2017-07-07T12:59:21.088203Z", "2017-07-07T12:59:21.088228999Z", "2017-07-07T12:59:21.088229Z"];
    assert_eq!(times.map(&mut found), [false, true, true, false]);
}

#[test]
fn broken_dashes_give_one_class() {
    let rows: Vec<u8> =
        [&b"Web Attack \x96 XSS"[..], "Web Attack – XSS".as_bytes(), "Web Attack \u{fffd} XSS".as_bytes(), b"Web Attack - XSS"]
            .iter()
            .flat_map(|label| [&b"a,10.0.0.1,1,10.0.0.2,2,6,6/7/2017 10:15,3,0,0,0,"[..], label, b"\r\n"].concat())
            .collect();
    let table = labels([PUBLISHED.as_bytes(), b"\r\n", &rows].concat());
    assert_eq!(table.classes(), ["benign", "web-xss"]);
    assert_eq!(table.report().rows, 4);
}

#[test]
fn published_labels_get_the_names_of_the_windows() {
    let published =
        ["BENIGN", "Bot", "DDoS", "DoS Hulk", "FTP-Patator", "Web Attack - Sql Injection", "Infiltration - Portscan", "PortScan"];
    let rows: Vec<_> = published.iter().map(|label| format!("1,x,10.0.0.1,1,10.0.0.2,2,6,2017-07-07 12:00:00.5,2,{label},-1")).collect();
    let ours = ["benign", "botnet-ares", "ddos-loit", "dos-hulk", "ftp-patator", "web-sql-injection", "infiltration-portscan", "portscan"];
    assert_eq!(corrected(&rows.join("\n")).classes(), ours);
}

#[test]
fn an_attempt_without_effect_is_benign() {
    let table = corrected("1,x,10.0.0.1,1,10.0.0.2,2,6,2017-07-07 12:00:00.5,2,DoS Hulk - Attempted,1");
    assert_eq!(table.classes(), ["benign"]);
}

#[test]
fn protocol_may_stand_in_the_flow_id_alone() {
    let mut table = labels(
        "Flow ID,Source IP,Source Port,Destination IP,Destination Port,Timestamp,Flow Duration,Label\n\
         10.0.0.1-10.0.0.2-1-2-17,10.0.0.1,1,10.0.0.2,2,5/7/2017 9:48,100,BENIGN\n",
    );
    let time = at("2017-07-05T12:48:00Z");
    assert!(class(&mut table, "x", &flow(UDP, "10.0.0.1:1", "10.0.0.2:2"), time).is_some());
    assert!(class(&mut table, "x", &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), time).is_none());
}

#[test]
fn of_several_rows_the_one_that_starts_last_counts() {
    let mut table = corrected(
        "1,x,10.0.0.1,1,10.0.0.2,2,6,2017-07-07 12:00:30.0,1000000,DDoS,-1\n\
         2,x,10.0.0.2,2,10.0.0.1,1,6,2017-07-07 12:00:00.0,60000000,BENIGN,-1",
    );
    let mut found = |time| class(&mut table, "x", &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), at(time));
    assert_eq!(found("2017-07-07T12:00:29Z").as_deref(), Some("benign"));
    assert_eq!(found("2017-07-07T12:00:30.5Z").as_deref(), Some("ddos-loit"));
    assert_eq!(found("2017-07-07T12:00:50Z").as_deref(), Some("benign"));
    assert_eq!(found("2017-07-07T12:01:50Z"), None);
}

#[test]
fn report_says_why_rows_matched_nothing() {
    let mut table = corrected(
        "1,x,10.0.0.1,1,10.0.0.2,2,6,2017-07-07 12:00:00.0,1000000,DDoS,-1\n\
         2,x,10.0.0.1,1,10.0.0.2,2,6,2017-07-07 15:00:00.0,1000000,DDoS,-1\n\
         3,x,10.0.0.1,9,10.0.0.2,2,6,2017-07-07 12:00:00.0,1000000,DDoS,-1\n\
         ,,,,,,,,,,\n\
         5,x,Infinity,9,10.0.0.2,2,6,2017-07-07 12:00:00.0,1,DDoS,-1\n\
         6,x,10.0.0.1,9,10.0.0.2,2,6,yesterday,1,DDoS,-1\n\
         7,x,10.0.0.1,99999,10.0.0.2,2,6,2017-07-07 12:00:00.0,1,DDoS,-1\n\
         8,x,10.0.0.1,9,10.0.0.2,2,tcp,2017-07-07 12:00:00.0,1,DDoS,-1\n\
         9,x,10.0.0.1,9,10.0.0.2,2,6,2017-07-07 12:00:00.0,1,–,-1\n\
         10,x,10.0.0.1,9,2001:db8::1,2,6,2017-07-07 12:00:00.0,1,DDoS,-1",
    );
    class(&mut table, "x", &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), at("2017-07-07T12:00:00.1Z"));
    let report = table.report();
    assert_eq!((report.kind, report.rows, report.matched), ("flow table", 10, 1));
    let mut unmatched: Vec<_> = report.unmatched.iter().map(|row| (row.lines.clone(), row.rows, row.reason)).collect();
    unmatched.sort();
    assert_eq!(
        unmatched,
        [
            (vec![3], 1, "its flow is in the captures, but none was opened in its time"),
            (vec![4], 1, "its flow is not in the captures"),
            (vec![5], 1, "empty row"),
            (vec![6], 1, "no IP address"),
            (vec![7], 1, "no time"),
            (vec![8], 1, "no port number"),
            (vec![9], 1, "no protocol number"),
            (vec![10], 1, "no label"),
            (vec![11], 1, "addresses of two IP versions"),
        ]
    );
}

#[test]
fn odd_durations_cover_the_timestamp() {
    for duration in ["-1", "Infinity", "NaN", "", "1e300", "x"] {
        let mut table = corrected(&format!("1,x,10.0.0.1,1,10.0.0.2,2,6,2017-07-07 12:00:00.0,{duration},DDoS,-1"));
        assert!(class(&mut table, "x", &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), at("2017-07-07T12:00:00Z")).is_some(), "{duration}");
    }
}

#[test]
fn ports_of_protocols_without_ports_are_ignored() {
    let mut table = corrected("1,x,10.0.0.1,8,10.0.0.2,0,1,2017-07-07 12:00:00.0,5,Portscan,-1");
    assert!(class(&mut table, "x", &flow(1, "10.0.0.2:0", "10.0.0.1:0"), at("2017-07-07T12:00:00Z")).is_some());
}

#[test]
fn table_without_addresses_is_refused() {
    let error = refused(" Destination Port, Flow Duration, Label\n54865,3,BENIGN\n");
    assert_eq!(
        error,
        "labels.csv: line 1: a flow table without addresses and times (no column `Source IP`) cannot be matched to packets; \
         CIC-IDS-2017's MachineLearningCVE files are such, its GeneratedLabelledFlows files have the columns"
    );
}

#[test]
fn table_without_a_usable_row_is_refused() {
    let error = refused(format!("{CORRECTED}\n,,,,,,,,,,\n1,x,a,1,b,2,6,c,d,e,f\n"));
    assert_eq!(error, "labels.csv: none of 2 rows can be used; the first: line 2: empty row");
}

#[test]
fn published_tables_are_read_whole() {
    let folder = match captures() {
        Ok(folder) => folder,
        Err(reason) => return trial::without(reason),
    };
    let open = |name: &str| Labels::open(folder.join("../flows").join(name).to_str().expect("UTF-8"));
    let excerpt = open("cicids2017_GeneratedLabelledFlows_Friday-DDos_excerpt.csv").expect("a table");
    assert_eq!((excerpt.report().rows, excerpt.classes().len()), (299, 1));
    let slowloris = open("cicids2017_GeneratedLabelledFlows_Wed_0948-1010_slowloris.csv.gz").expect("a table");
    assert_eq!(slowloris.classes(), ["benign", "dos-slowloris"]);
    let corrected = open("cicids2017_improved_CNS2022_sample_2500_per_class.csv.gz").expect("a table");
    assert_eq!(corrected.classes().len(), 16);
    for labels in [excerpt, slowloris, corrected] {
        let report = labels.report();
        let reasons: Vec<_> = report.unmatched.iter().map(|row| row.reason).collect();
        assert_eq!(reasons, ["its flow is not in the captures"], "{report:?}");
    }
    let error = open("cicids2017_MachineLearningCVE_header.csv").expect_err("no addresses").to_string();
    assert!(error.contains("cannot be matched to packets"), "{error}");
}

fn main() -> std::process::ExitCode {
    trial::main()
}
