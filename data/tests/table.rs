//! Tables: what is written is read back, and what is another table is refused by column name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use tempfile::TempDir;
use treeline_data::Row;
use treeline_data::table::{Chunk, Column, CsvWriter, FORMAT, GROUP_ROWS, Names, Output, ParquetWriter, Reader};

fn names() -> Names {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Names { captures: strings(&["a.pcap", "b, \"quoted\".pcap"]), classes: strings(&["benign", "web-xss", "portscan"]) }
}

fn row(number: u64) -> Row {
    let features = std::array::from_fn(|feature| i64::try_from(number * 13 + feature as u64).expect("small") << 9);
    let class = [None, Some(0), Some(2)][usize::try_from(number % 3).expect("small")];
    Row {
        capture: u32::from(number > 4),
        index: number,
        time_ns: 1_500_000_000_000_000_000 + number,
        flow: number / 2,
        packet: number % 2 + 1,
        midstream: number.is_multiple_of(5),
        features,
        class,
    }
}

/// A file in a folder of its own, with groups of `group_rows`.
fn written(rows: &[Row], group_rows: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let mut writer = ParquetWriter::new(File::create(&path).expect("a file"), &path, &names(), group_rows).expect("a schema");
    for row in rows {
        writer.write(row).expect("written");
    }
    writer.finish().expect("written");
    (folder, path)
}

fn rows_of(chunks: &[Chunk]) -> Vec<Row> {
    let each = |chunk: &Chunk| -> Vec<Row> {
        let row = |at: usize| Row {
            capture: chunk.capture[at],
            index: chunk.index[at],
            time_ns: chunk.time_ns[at],
            flow: chunk.flow[at],
            packet: chunk.packet[at],
            midstream: chunk.midstream[at],
            features: std::array::from_fn(|feature| chunk.features[feature][at]),
            class: chunk.class[at],
        };
        (0..chunk.rows).map(row).collect()
    };
    chunks.iter().flat_map(each).collect()
}

fn read(path: &Path) -> Vec<Chunk> {
    let reader = Reader::open(path).expect("a table");
    reader.chunks(&Column::all()).collect::<Result<_, _>>().expect("sound")
}

fn refused(path: &Path) -> String {
    let error = Reader::open(path).err().expect("no table of ours").to_string();
    error.replace(&path.display().to_string(), "FILE")
}

fn any_row() -> impl Strategy<Value = Row> {
    let class = prop_oneof![Just(None), (0..3_u16).prop_map(Some)];
    let counters = [0..i64::MAX.cast_unsigned(), 0..i64::MAX.cast_unsigned(), 0..i64::MAX.cast_unsigned(), 1..1 << 31];
    (0..2_u32, counters, any::<bool>(), prop::array::uniform12(0..1_i64 << 59), class).prop_map(
        |(capture, [index, time_ns, flow, packet], midstream, features, class)| Row {
            capture,
            index,
            time_ns,
            flow,
            packet,
            midstream,
            features,
            class,
        },
    )
}

/// A table of before the column, written by pyarrow as the others.
#[test]
fn a_table_without_the_midstream_column_is_read_until_that_is_asked_for() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tables/without-midstream.parquet");
    let reader = Reader::open(&path).expect("a table");
    let rows = reader.chunks(&[Column::Packet]).map(|chunk| chunk.expect("rows").packet.len()).sum::<usize>();
    assert_eq!(rows, 40);
    let error = reader.chunks(&[Column::Midstream]).next().expect("an answer").expect_err("no such column").to_string();
    assert!(error.contains("midstream"), "{error}");
}

/// What other programs write where they are not told how: pyarrow and pandas compress with Snappy.
#[test]
fn tables_of_other_programs_are_read_whatever_their_codec() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tables");
    let read = |codec: &str| {
        let reader = Reader::open(&folder.join(format!("pyarrow-{codec}.parquet"))).expect("a table");
        rows_of(&reader.chunks(&Column::all()).collect::<Result<Vec<_>, _>>().expect("rows"))
    };
    let expected = read("none");
    assert_eq!(expected.len(), 40);
    for codec in ["snappy", "gzip", "lz4", "zstd"] {
        assert_eq!(read(codec), expected, "{codec}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_are_read_back_exactly(rows in prop::collection::vec(any_row(), 0..40), group_rows in 1..20_usize) {
        let (_folder, path) = written(&rows, group_rows);
        prop_assert_eq!(rows_of(&read(&path)), rows);
    }
}

#[test]
fn groups_are_read_one_at_a_time() {
    let rows: Vec<_> = (0..10).map(row).collect();
    let (_folder, path) = written(&rows, 4);
    let chunks = read(&path);
    assert_eq!(chunks.iter().map(|chunk| chunk.rows).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(Reader::open(&path).expect("a table").rows_count(), 10);
}

#[test]
fn only_the_columns_asked_for_are_read() {
    let rows: Vec<_> = (0..5).map(row).collect();
    let (_folder, path) = written(&rows, GROUP_ROWS);
    let reader = Reader::open(&path).expect("a table");
    let chunks: Vec<_> = reader.chunks(&[Column::Feature(4), Column::Class]).map(|chunk| chunk.expect("sound")).collect();
    let mut features: [Vec<i64>; 12] = Default::default();
    features[4] = rows.iter().map(|row| row.features[4]).collect();
    let class = rows.iter().map(|row| row.class).collect();
    assert_eq!(chunks, [Chunk { rows: 5, features, class, ..Chunk::default() }]);
}

#[test]
fn names_of_captures_and_classes_come_back() {
    let (_folder, path) = written(&[row(0)], GROUP_ROWS);
    let reader = Reader::open(&path).expect("a table");
    assert_eq!(Names { captures: reader.captures().to_vec(), classes: reader.classes().to_vec() }, names());
}

#[test]
fn csv_has_the_same_columns_under_a_header() {
    let mut writer = CsvWriter::new(Vec::new(), Path::new("rows.csv"), &names()).expect("memory");
    for row in [row(1), row(6)] {
        writer.write(&row).expect("memory");
    }
    let text = String::from_utf8(writer.finish().expect("memory")).expect("UTF-8");
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("capture,index,time_ns,flow,packet,midstream,originator_port,responder_port,protocol,length,gap,"),
        "{text}"
    );
    assert!(lines[0].ends_with(",direction_deviation_fixed,class"), "{text}");
    assert!(lines[1].starts_with("a.pcap,1,1500000000000000001,0,2,0,0.1015625,0.109375,"), "{text}");
    assert!(lines[1].ends_with(",12288,benign"), "{text}");
    assert!(lines[2].starts_with("\"b, \"\"quoted\"\".pcap\",6,1500000000000000006,3,1,0,"), "{text}");
    assert!(lines[2].ends_with(','), "no class: {text}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn output_appears_only_when_it_is_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["rows.parquet", "rows.csv"] {
        let path = folder.path().join(name);
        let mut output = Output::create(&path, &names()).expect("a file");
        output.write(&row(1)).expect("written");
        assert!(!path.exists(), "{name}");
        output.finish().expect("written");
        assert!(path.exists(), "{name}");
    }
    drop(Output::create(&folder.path().join("dropped.csv"), &names()).expect("a file"));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "temporary files go");
}

#[test]
fn name_without_a_known_extension_is_refused() {
    for name in ["rows", "rows.pcap", "rows.parquet.gz"] {
        let error = Output::create(Path::new(name), &names()).err().expect("no format").to_string();
        assert!(error.starts_with(&format!("{name}: rows are written to names that end in .parquet or .csv")), "{error}");
    }
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    assert_eq!(refused(&path), "FILE: cannot open the table");
    fs::write(&path, "capture,index").expect("a file");
    assert_eq!(refused(&path), "FILE: not a Parquet file, or damaged at its end");
}

/// A Parquet file of one row with the columns of `schema` and the metadata given.
fn foreign(schema: &str, metadata: Option<String>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("foreign.parquet");
    let properties = WriterProperties::builder().set_key_value_metadata(metadata.map(|text| vec![KeyValue::new(FORMAT.to_owned(), text)]));
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let file = File::create(&path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).expect("a file");
    let mut group = writer.next_row_group().expect("a group");
    while let Some(mut column) = group.next_column().expect("a column") {
        match column.untyped() {
            parquet::column::writer::ColumnWriter::Int64ColumnWriter(_) => column.typed::<Int64Type>().write_batch(&[-1], None, None),
            _ => column.typed::<DoubleType>().write_batch(&[0.0], None, None),
        }
        .expect("written");
        column.close().expect("written");
    }
    group.close().expect("written");
    writer.close().expect("written");
    (folder, path)
}

/// The metadata of a sound file, as this version writes them.
fn metadata() -> serde_json::Value {
    let (_folder, path) = written(&[row(0)], GROUP_ROWS);
    let file = parquet::file::reader::SerializedFileReader::new(File::open(path).expect("a file")).expect("a table");
    let pairs = parquet::file::reader::FileReader::metadata(&file).file_metadata().key_value_metadata().expect("metadata").clone();
    serde_json::from_str(pairs[0].value.as_ref().expect("a value")).expect("JSON")
}

#[test]
fn metadata_of_another_schema_are_refused_by_column_name() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 10] = [
        (|value| value["features"][4]["unit"] = "ms".into(), r#"column "gap": the unit is "ms", expected "ns""#),
        (|value| value["features"][4]["name"] = "lag".into(), r#"there is no column "gap""#),
        (
            |value| value["features"].as_array_mut().expect("a list").push(serde_json::json!({"name": "lag", "unit": "ns"})),
            r#"column "lag": no feature"#,
        ),
        (|value| value["fraction_bits"] = 8.into(), "8 fraction bits, expected 16"),
        (|value| value["version"] = 2.into(), "version 2 of the format, expected 1"),
        (|value| value["format"] = "other".into(), r#"the format is "other""#),
        (|value| value["classes"][0] = "normal".into(), r#"the first class must be "benign""#),
        (|value| value["captures"][1] = "a.pcap".into(), r#"captures has "a.pcap" twice"#),
        (|value| value["features"] = 1.into(), "metadata `treeline-features`: invalid type"),
        (|value| *value = "{".into(), "metadata `treeline-features`:"),
    ];
    for (change, expected) in changes {
        let mut value = metadata();
        change(&mut value);
        let (_folder, path) = foreign("message row { required int64 index; }", Some(value.to_string()));
        let error = refused(&path);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn columns_that_are_missing_or_of_another_type_are_refused_by_name() {
    let (_folder, path) = foreign("message row { required int64 index; }", None);
    assert!(refused(&path).starts_with("FILE: no metadata `treeline-features`: the units of its columns are unknown"));
    let text = metadata().to_string();
    let (_folder, path) = foreign("message row { required int64 index; }", Some(text.clone()));
    assert!(refused(&path).starts_with(r#"FILE: there is no column "capture": a flow's number is its own within its capture only"#));
    let (_folder, path) = foreign("message row { required double capture; }", Some(text));
    assert!(refused(&path).starts_with(r#"FILE: column "capture": the type is DOUBLE"#), "{}", refused(&path));
}

#[test]
fn damaged_tables_never_panic() {
    let rows: Vec<_> = (0..20).map(row).collect();
    let (_folder, path) = written(&rows, GROUP_ROWS);
    let sound = fs::read(&path).expect("a table");
    let mut refused_count = 0;
    for at in (0..sound.len()).step_by(3) {
        let mut bytes = sound.clone();
        bytes[at] ^= [0x01, 0x80, 0xff][at / 3 % 3];
        fs::write(&path, bytes).expect("a file");
        let read = Reader::open(&path).and_then(|reader| reader.chunks(&Column::all()).collect::<Result<Vec<_>, _>>());
        refused_count += usize::from(read.is_err());
    }
    assert!(refused_count > sound.len() / 30, "{refused_count} of {} changes were noticed", sound.len() / 3);
}
