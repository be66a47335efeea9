//! Rules: which flows a line covers, and which lines are refused.

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use support::{TCP, UDP, at, class, flow, labels, refused, testdata};
use treeline_data::Labels;
use treeline_sim::conversation::Conversation;

/// Whether a file of the one line covers the flow, for each flow.
fn covers(header: &str, line: &str, flows: &[Conversation]) -> Vec<bool> {
    let mut labels = labels(format!("{header}\n{line}\n"));
    flows.iter().map(|flow| class(&mut labels, "x.pcap", flow, 5).is_some()).collect()
}

#[test]
fn first_rule_that_matches_wins() {
    let mut labels = labels("capture,class,protocol,address_a,address_b,port\nx.pcap,ssh,tcp,,,22\nx.pcap,Benign,,,,\nx.pcap,late,,,,\n");
    let [ssh, web] = ["10.0.0.2:22", "10.0.0.2:80"].map(|responder| flow(TCP, "10.0.0.1:40000", responder));
    assert_eq!(class(&mut labels, "x.pcap", &ssh, 0).as_deref(), Some("ssh"));
    assert_eq!(class(&mut labels, "x.pcap", &web, 0).as_deref(), Some("benign"));
    assert_eq!(class(&mut labels, "y.pcap", &web, 0), None);
    assert_eq!(labels.classes(), ["benign", "ssh", "late"]);
}

#[test]
fn addresses_match_either_way_round() {
    let flows = [("10.0.0.1:1", "10.0.0.2:2"), ("10.0.0.2:2", "10.0.0.1:1"), ("10.0.0.1:1", "10.0.0.3:2"), ("10.0.0.4:1", "10.0.0.3:2")]
        .map(|(originator, responder)| flow(TCP, originator, responder));
    let header = "capture,class,address_a,address_b";
    assert_eq!(covers(header, ",a,10.0.0.1,10.0.0.2", &flows), [true, true, false, false]);
    assert_eq!(covers(header, ",a,10.0.0.1,", &flows), [true, true, true, false]);
    assert_eq!(covers(header, ",a,,10.0.0.1", &flows), [true, true, true, false]);
    assert_eq!(covers(header, ",a,,", &flows), [true; 4]);
}

#[test]
fn port_matches_either_side() {
    let flows = ["10.0.0.1:53", "10.0.0.1:54"].map(|originator| flow(UDP, originator, "10.0.0.2:9"));
    assert_eq!(covers("capture,class,port", ",a,53", &flows), [true, false]);
    assert_eq!(covers("capture,class,port", ",a,9", &flows), [true, true]);
}

#[test]
fn originator_and_responder_say_who_opened_the_flow() {
    let flows =
        [("10.0.0.1:1", "10.0.0.2:2"), ("10.0.0.2:2", "10.0.0.1:1"), ("10.0.0.1:3", "10.0.0.2:2"), ("[2001:db8::1]:1", "[2001:db8::2]:2")]
            .map(|(originator, responder)| flow(TCP, originator, responder));
    let header = "capture,class,originator,responder";
    assert_eq!(covers(header, ",a,10.0.0.1,", &flows), [true, false, true, false]);
    assert_eq!(covers(header, ",a,10.0.0.1:1,10.0.0.2", &flows), [true, false, false, false]);
    assert_eq!(covers(header, ",a,,10.0.0.1", &flows), [false, true, false, false]);
    assert_eq!(covers(header, ",a,2001:db8::1,[2001:db8::2]:2", &flows), [false, false, false, true]);
}

#[test]
fn protocol_is_a_name_or_a_number() {
    let flows = [1, 58, TCP, UDP, 47].map(|protocol| flow(protocol, "10.0.0.1:0", "10.0.0.2:0"));
    let header = "capture,class,protocol";
    assert_eq!(covers(header, ",a,icmp", &flows), [true, true, false, false, false]);
    assert_eq!(covers(header, ",a,ICMPv6", &flows), [false, true, false, false, false]);
    assert_eq!(covers(header, ",a,TCP", &flows), [false, false, true, false, false]);
    assert_eq!(covers(header, ",a,47", &flows), [false, false, false, false, true]);
}

#[test]
fn start_and_end_belong_to_the_time() {
    let attack = flow(TCP, "10.0.0.1:1", "10.0.0.2:2");
    for (start, end) in [("2017-07-06T13:15:00Z", "2017-07-06T10:16:00-03:00"), ("1499346900", "1499346960.000")] {
        let mut labels = labels(format!("capture,class,start,end\n,a,{start},{end}\n"));
        let mut inside = |first_ns| class(&mut labels, "x", &attack, first_ns).is_some();
        let (start_ns, end_ns) = (at("2017-07-06T13:15:00Z"), at("2017-07-06T13:16:00Z"));
        assert_eq!([start_ns - 1, start_ns, end_ns, end_ns + 1].map(&mut inside), [false, true, true, false]);
    }
}

#[test]
fn capture_is_the_end_of_the_path() {
    let any = flow(TCP, "10.0.0.1:1", "10.0.0.2:2");
    for (rule, path, expected) in [
        ("test/x.pcap", "/any/where/test/x.pcap", true),
        ("test/x.pcap", "test/x.pcap", true),
        ("./test/x.pcap", "/where/test/x.pcap", true),
        ("test/x.pcap", "/any/where/train/x.pcap", false),
        ("test/x.pcap", "/any/latest/x.pcap", false),
        ("x.pcap", "/any/where/x.pcap", true),
        ("x.pcap", "/any/where/xx.pcap", false),
        ("/any/x.pcap", "/any/x.pcap", true),
        ("", "/any/where/x.pcap", true),
    ] {
        let mut labels = labels(format!("capture,class\n{rule},a\n"));
        assert_eq!(class(&mut labels, path, &any, 0).is_some(), expected, "{rule} {path}");
    }
    // A test runs in its crate's folder, so a bare name lies in `data`.
    assert!(class(&mut labels("capture,class\ndata/x.pcap,a\n"), "x.pcap", &any, 0).is_some());
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let mut labels = labels("\u{feff} Port , CLASS,capture\r\n 22 ,\"ssh, guessed\", x.pcap \r\n\r\n,benign,\r\n");
    let [ssh, web] = ["10.0.0.2:22", "10.0.0.2:80"].map(|responder| flow(TCP, "10.0.0.1:40000", responder));
    assert_eq!(class(&mut labels, "x.pcap", &ssh, 0).as_deref(), Some("ssh, guessed"));
    assert_eq!(class(&mut labels, "x.pcap", &web, 0).as_deref(), Some("benign"));
}

#[test]
fn unclear_rules_are_refused_with_line_and_column() {
    let header = "capture,class,protocol,address_a,address_b,port,start,end,originator,responder";
    for (line, expected) in [
        ("x,,,,,,,,,", "class `` is not a name"),
        ("x,a,tpc,,,,,,,", "protocol `tpc` is not tcp,"),
        ("x,a,256,,,,,,,", "protocol `256` is not"),
        ("x,a,,10.0.0.300,,,,,,", "address_a `10.0.0.300` is not an IP address"),
        ("x,a,,,example.org,,,,,", "address_b `example.org` is not an IP address"),
        ("x,a,,,,65536,,,,", "port `65536` is not a port number"),
        ("x,a,,,,,06/07/2017 10:15,,,", "start `06/07/2017 10:15` is not a time like"),
        ("x,a,,,,,,2017-07-06T13:15:00,,", "end `2017-07-06T13:15:00` is not a time like"),
        ("x,a,,,,,,,10.0.0.1:,", "originator `10.0.0.1:` is not an IP address, with or without a port"),
        ("x,a,,,,,2,1,,", "the end lies before the start"),
        ("x,a,,,,,,,,,", "11 fields, but the header has 10"),
        ("x,a,,,10.0.", "5 fields, but the header has 10; write a comma for each field that is left empty"),
        ("x,a\u{0},\u{1b}[31m,,,,,,,", "protocol `\\u{1b}[31m` is not"),
    ] {
        let error = refused(format!("{header}\nx,b,,,,,,,,\n{line}\n"));
        assert!(error.starts_with(&format!("labels.csv: line 3: {expected}")), "{error}");
    }
}

#[test]
fn headers_that_would_widen_rules_are_refused() {
    assert_eq!(
        refused("capture,class,adress_a\n"),
        "labels.csv: line 1: unknown column `adress_a`; known are capture, class, protocol, address_a, address_b, port, start, end, originator, responder"
    );
    assert_eq!(refused("capture,class,port,Port \n"), "labels.csv: line 1: the column `port` is there twice");
    assert_eq!(refused(""), "labels.csv: the file has no header line");
    assert!(refused("\u{0}\u{1}binary").contains("not a labels file: the header is `\\0\\u{1}binary`"));
}

#[test]
fn report_says_which_rules_matched_nothing() {
    let mut labels = labels("capture,class,port\nx.pcap,a,1\nx.pcap,b,2\nx.pcap,c,1\ny.pcap,d,\n");
    class(&mut labels, "x.pcap", &flow(TCP, "10.0.0.1:1", "10.0.0.2:9"), 0);
    let report = labels.report();
    assert_eq!((report.kind, report.rows, report.matched), ("rules", 4, 1));
    let unmatched: Vec<_> = report.unmatched.iter().map(|row| (row.rows, row.reason, row.lines.clone())).collect();
    assert_eq!(
        unmatched,
        [(2, "no flow that an earlier row had not taken", vec![3, 4]), (1, "its capture had no flows or was not read", vec![5]),]
    );
}

#[test]
fn compressed_files_are_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"capture,class\nx.pcap,a\n").expect("memory");
    assert_eq!(labels(encoder.finish().expect("memory")).classes(), ["benign", "a"]);
}

#[test]
fn the_labs_rules_are_read() {
    let path = testdata("labels/lab.csv");
    let labels = Labels::open(path.to_str().expect("UTF-8")).expect("rules");
    assert_eq!(labels.classes()[..3], ["benign", "portscan", "dos-synflood"]);
    assert_eq!(labels.report().rows, 41);
}

#[test]
fn missing_file_is_an_error_that_names_the_built_in_labels() {
    let error = Labels::open("no/such.csv").expect_err("no such file");
    assert_eq!(error.to_string(), "no/such.csv: cannot open the labels (a CSV file, `cic-ids-2017` or `cic-ids-2017-paper`)");
}

/// A rule over small numbers, so that flows hit it; `None` is any.
#[derive(Debug, Clone)]
struct Simple {
    protocol: Option<u8>,
    addresses: [Option<u8>; 2],
    port: Option<u16>,
    times: [Option<u64>; 2],
    originator: Option<(u8, Option<u16>)>,
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

impl Simple {
    fn line(&self, class: usize) -> String {
        let text = |value: Option<String>| value.unwrap_or_default();
        let [a, b] = self.addresses.map(|last| text(last.map(|last| address(last).to_string())));
        let [start, end] = self.times.map(|seconds| text(seconds.map(|seconds| seconds.to_string())));
        let originator = self.originator.map(|(last, port)| format!("{}{}", address(last), text(port.map(|port| format!(":{port}")))));
        let (protocol, port) = (text(self.protocol.map(|number| number.to_string())), text(self.port.map(|port| port.to_string())));
        format!(",c{class},{protocol},{a},{b},{port},{start},{end},{}", text(originator))
    }

    /// The documented meaning, word for word and slow.
    fn covers(&self, flow: &Conversation, seconds: u64) -> bool {
        let ends = [flow.originator, flow.responder];
        let named: Vec<_> = self.addresses.iter().flatten().map(|last| address(*last)).collect();
        let addresses = match named[..] {
            [] => true,
            [one] => ends.iter().any(|end| end.0 == one),
            [a, b, ..] => [(ends[0].0, ends[1].0), (ends[1].0, ends[0].0)].contains(&(a, b)),
        };
        let originator = match self.originator {
            None => true,
            Some((last, None)) => ends[0].0 == address(last),
            Some((last, Some(port))) => ends[0] == (address(last), port),
        };
        let late_enough = self.times[0].is_none() || self.times[0] <= Some(seconds);
        let early_enough = self.times[1].is_none() || Some(seconds) <= self.times[1];
        let port = self.port.is_none() || ends.iter().any(|end| Some(end.1) == self.port);
        let protocol = self.protocol.is_none() || self.protocol == Some(flow.protocol);
        addresses && originator && late_enough && early_enough && port && protocol
    }
}

fn maybe<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.4, value)
}

fn simple() -> impl Strategy<Value = Simple> {
    let originator = maybe((1..4_u8, maybe(1..3_u16)));
    let times = (maybe(0..5_u64), maybe(5..9_u64));
    (maybe(6..8_u8), [maybe(1..4_u8), maybe(1..4_u8)], maybe(1..3_u16), times, originator).prop_map(
        |(protocol, addresses, port, (start, end), originator)| Simple { protocol, addresses, port, times: [start, end], originator },
    )
}

proptest! {
    #[test]
    fn rules_mean_what_the_document_says(
        rules in prop::collection::vec(simple(), 0..6),
        flows in prop::collection::vec(((1..4_u8, 1..3_u16), (1..4_u8, 1..3_u16), 6..8_u8, 0..9_u64), 1..20),
    ) {
        let mut text = "capture,class,protocol,address_a,address_b,port,start,end,originator\n".to_owned();
        for (class, rule) in rules.iter().enumerate() {
            let _ = writeln!(text, "{}", rule.line(class));
        }
        let mut labels = labels(text);
        for (originator, responder, protocol, seconds) in flows {
            let flow = Conversation {
                originator: (address(originator.0), originator.1),
                responder: (address(responder.0), responder.1),
                protocol,
            };
            let expected = rules.iter().position(|rule| rule.covers(&flow, seconds)).map(|class| format!("c{class}"));
            prop_assert_eq!(class(&mut labels, "x.pcap", &flow, seconds * 1_000_000_000), expected);
        }
    }
}
