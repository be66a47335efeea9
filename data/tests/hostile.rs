//! Files that mean harm: any bytes give labels, a table or an error, with bounded memory and without a panic.

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::io::{self, Cursor, Read};
use std::path::Path;

use proptest::prelude::*;
use support::{TCP, flow, read, refused};
use treeline_data::Labels;
use treeline_data::label::{COLUMNS_MAX, LabelError, RECORD_BYTES_MAX};

/// One small file of each kind.
const SAMPLES: [&str; 4] = [
    "capture,class,protocol,address_a,address_b,port,start,end,originator,responder\nx,a,tcp,10.0.0.1,::1,22,1,2017-07-06T13:15:00Z,10.0.0.1:1,::2\n",
    "class,address_from,address_to,port_to,paper_start_utc,paper_end_utc,table_first_utc,table_last_utc\n\
     a,10.0.0.1,,80,2017-07-04T12:00:00Z,2017-07-04T12:10:00Z,2017-07-04T12:05:00Z,2017-07-04T13:00:00Z\n",
    "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Protocol, Timestamp, Flow Duration, Label\r\n\
     a,10.0.0.1,1,10.0.0.2,2,6,7/7/2017 3:30,3,\"Web Attack - XSS\"\r\n",
    "id,Src IP,Src Port,Dst IP,Dst Port,Protocol,Timestamp,Flow Duration,Label\n7,10.0.0.1,1,10.0.0.2,2,17,2017-07-07 12:59:21.088203,25,Portscan\n",
];

/// Reads the bytes and, if they are labels, asks them.
fn use_up(bytes: Vec<u8>) {
    if let Ok(mut labels) = read(bytes) {
        for first_ns in [0, 1_499_432_361_088_203_000, u64::MAX] {
            let class = labels.class(Path::new("x"), &flow(TCP, "10.0.0.1:1", "10.0.0.2:2"), first_ns);
            assert!(class.is_none_or(|class| usize::from(class) < labels.classes().len()));
        }
        let report = labels.report();
        let unmatched: u64 = report.unmatched.iter().map(|row| row.rows).sum();
        assert_eq!(report.matched + unmatched, report.rows);
    }
}

fn changed() -> impl Strategy<Value = Vec<u8>> {
    let change =
        (any::<prop::sample::Index>(), prop_oneof![Just(0), Just(b','), Just(b'"'), Just(b'\n'), Just(b'-'), Just(b'9'), any::<u8>()]);
    (0..SAMPLES.len(), prop::collection::vec(change, 0..12), any::<prop::sample::Index>()).prop_map(|(sample, changes, cut)| {
        let mut bytes = SAMPLES[sample].as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 4);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_labels_never_panic(bytes in changed()) {
        use_up(bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        use_up(bytes);
    }
}

#[test]
fn every_sample_is_labels() {
    for sample in SAMPLES {
        read(sample).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn null_bytes_are_part_of_a_field() {
    assert_eq!(refused("capture,class,port\nx,a,2\u{0}2\n"), "labels.csv: line 2: port `2\\02` is not a port number");
}

#[test]
fn a_quote_that_never_closes_is_an_error() {
    let error = refused(format!("capture,class\nx,\"{}", "a,\n".repeat(RECORD_BYTES_MAX)));
    assert_eq!(error, "labels.csv: line 2: longer than 1048576 bytes; is a quote not closed?");
}

#[test]
fn millions_of_columns_are_an_error() {
    let error = refused(format!("capture,class\n{}\n", ",".repeat(3_000_000)));
    assert_eq!(error, format!("labels.csv: line 2: more than {COLUMNS_MAX} fields"));
    let error = refused(",".repeat(3_000_000));
    assert_eq!(error, format!("labels.csv: line 1: more than {COLUMNS_MAX} fields"));
}

/// A gigabyte of one letter.
struct Letters(u64);

impl Read for Letters {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        buffer[..count].fill(b'a');
        self.0 -= count as u64;
        Ok(count)
    }
}

#[test]
fn an_endless_field_is_an_error_after_its_limit() {
    let endless = Cursor::new("capture,class\nx,").chain(Letters(1 << 30));
    let error = Labels::read(endless, Path::new("labels.csv")).expect_err("too long");
    assert!(matches!(error, LabelError::RecordTooLong { line: 2, .. }), "{error}");
}

#[test]
fn more_classes_than_a_model_has_are_an_error() {
    let rows: Vec<_> = (0..=treeline_model::CLASSES_MAX).map(|class| format!("x,c{class}\n")).collect();
    let error = refused(format!("capture,class\n{}", rows.concat()));
    assert_eq!(error, "labels.csv: line 65537: more than 65536 classes");
}

#[test]
fn damaged_compression_is_an_error_with_its_line() {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bytes.extend([0xff; 20]);
    assert!(matches!(read(bytes), Err(LabelError::Read { line: 1, .. })));
}
