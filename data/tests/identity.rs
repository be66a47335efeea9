//! Tables of several runs put together: whose rows of one capture and flow number are those of one flow, and whose are not.

use std::fs::File;
use std::path::Path;

use treeline_data::Row;
use treeline_data::table::{GROUP_ROWS, Identity, Names, ParquetWriter, Reader};

/// A row of (capture, flow, packet, index); the responder's port is the capture's number.
fn row((capture, flow, packet, index): (u32, u64, u64, u64)) -> Row {
    Row { capture, index, flow, packet, class: Some(0), features: [9 << 16; 12], ..Row::default() }
}

/// What the check says of `rows` in a table.
fn checked(rows: &[Row]) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let names = Names { captures: strings(&["/one/a.pcap", "/two/a.pcap"]), classes: strings(&["benign", "scan"]) };
    let mut writer =
        ParquetWriter::new(File::create(&path).expect("a file"), Path::new("rows.parquet"), &names, GROUP_ROWS).expect("memory");
    for row in rows {
        writer.write(row).expect("written");
    }
    writer.finish().expect("written");
    let reader = Reader::open(&path).expect("a table");
    let mut identity = Identity::default();
    let observed = rows.iter().try_for_each(|row| identity.observe(&reader, row));
    observed.and_then(|()| identity.finish(&reader)).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn of(rows: &[(u32, u64, u64, u64)]) -> Vec<Row> {
    rows.iter().copied().map(row).collect()
}

#[test]
fn two_runs_flows_of_one_number_are_two_flows() {
    assert_eq!(checked(&of(&[(0, 0, 1, 0), (0, 0, 2, 1), (0, 1, 1, 5), (1, 0, 1, 0), (1, 0, 2, 9)])), Ok(()));
}

#[test]
fn rows_in_any_order_are_those_of_their_flows() {
    assert_eq!(checked(&of(&[(1, 0, 2, 9), (0, 0, 3, 7), (0, 0, 1, 0), (1, 0, 1, 0), (0, 0, 2, 1)])), Ok(()));
    assert_eq!(checked(&of(&[(0, 0, 3, 7), (0, 0, 9, 13)])), Ok(()), "some of a flow's rows");
}

#[test]
fn two_captures_of_one_name_are_refused() {
    let refused = checked(&of(&[(0, 0, 1, 0), (0, 0, 2, 1), (0, 0, 1, 4), (0, 0, 2, 6)])).expect_err("two flows");
    let expected =
        r#"FILE: capture "/one/a.pcap", flow 0: packet 1 is frame 0, and packet 1 is frame 4: these are rows of two flows, or copies; "#;
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn packets_that_no_one_flow_can_have_are_refused() {
    for rows in [
        [(0, 0, 2, 5), (0, 0, 3, 4)],
        [(0, 0, 2, 5), (0, 0, 9, 11)],
        [(0, 0, 9, 11), (0, 0, 2, 5)],
        [(0, 0, 4, 2), (0, 0, 5, 9)],
        [(0, 0, 0, 2), (0, 0, 1, 9)],
        [(0, 0, 3, 8), (0, 0, 3, 8)],
    ] {
        assert!(checked(&of(&rows)).is_err(), "{rows:?}");
    }
}

#[test]
fn a_flow_that_changes_what_stays_is_refused() {
    type Change = fn(&mut Row);
    let changes: [(Change, &str); 5] = [
        (|row| row.features[0] = 1 << 16, "ports or protocol change"),
        (|row| row.features[1] = 1 << 16, "ports or protocol change"),
        (|row| row.features[2] = 1 << 16, "ports or protocol change"),
        (|row| row.class = Some(1), "the class changes"),
        (|row| row.midstream = true, "midstream changes"),
    ];
    for (change, expected) in changes {
        let mut rows = of(&[(0, 0, 1, 0), (0, 0, 2, 1)]);
        change(&mut rows[1]);
        let refused = checked(&rows).expect_err(expected);
        assert!(refused.contains(expected), "{refused}");
    }
}
