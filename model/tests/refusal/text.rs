//! Texts that are no document of this format and version, or whose fields are not what they must be.

use treeline_model::{BYTES_MAX, Error, Model, Node};

use crate::{VALID, check, check_nodes, check_text};

#[test]
fn the_valid_file_is_read_and_written_as_it_was() {
    let model = Model::read_bytes(VALID.as_bytes()).expect("valid");
    assert_eq!((model.tree().expect("a tree").nodes().len(), model.leaves(), model.depth()), (5, 3, 2));
    assert_eq!(model.to_json(), VALID);
}

// The text.

#[test]
fn an_empty_file_is_refused() {
    check_text("", "line 1, column 0: not JSON: EOF while parsing a value; a model is one JSON document");
}

#[test]
fn text_that_is_not_json_is_refused() {
    check("[\"benign\"", "[benign", "line 22, column 15: not JSON: expected value; a model is one JSON document");
}

#[test]
fn text_behind_the_document_is_refused() {
    check_text(&format!("{VALID}{{}}"), "line 31, column 1: not JSON: trailing characters; a model is one JSON document");
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let error = Model::read_bytes(b"{\"format\": \"\xff\"}").expect_err("not UTF-8");
    assert_eq!(error.to_string(), "line 1, column 13: not JSON: invalid unicode code point; a model is one JSON document");
}

#[test]
fn deep_nesting_is_refused() {
    check_text(
        &format!("{{\"x\": {}", "[".repeat(100_000)),
        "line 1, column 100006: not JSON: EOF while parsing a list; a model is one JSON document",
    );
}

#[test]
fn a_file_over_the_size_is_refused() {
    let text = format!("{VALID}{}", " ".repeat(BYTES_MAX));
    check_text(
        &text,
        "more than 33554432 bytes; the largest tree takes less than 1 MiB: train with fewer or smaller trees, or shorten the texts",
    );
    let error = Model::read_from(text.as_bytes()).expect_err("too large");
    assert!(matches!(error, Error::TooLarge), "{error}");
}

#[test]
fn an_endless_reader_is_refused() {
    let error = Model::read_from(std::io::repeat(b' ')).expect_err("endless");
    assert!(matches!(error, Error::TooLarge), "{error}");
}

#[test]
fn a_missing_file_is_refused_with_its_path() {
    let error = Model::read("no/such/model.json").expect_err("no such file").to_string();
    assert!(error.starts_with("no/such/model.json: cannot read or write the model: "), "{error}");
}

#[test]
fn a_refused_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.json");
    std::fs::write(&path, VALID.replace("\"version\": 1", "\"version\": 0")).expect("written");
    let error = Model::read(&path).expect_err("version 0").to_string();
    let expect = format!("{}: version: found 0, expected 1; train or write the model again for this version", path.display());
    assert_eq!(error, expect);
}

#[test]
fn deep_nesting_of_what_is_free_is_refused() {
    let training = format!("  ],\n  \"training\": {{\"x\": {}{}}}\n}}\n", "[".repeat(200), "]".repeat(200));
    check("  ]\n}\n", &training, "line 30, column 146: not JSON: recursion limit exceeded; a model is one JSON document");
}

// Fields and types.

#[test]
fn a_list_in_place_of_the_document_is_refused() {
    check_text(
        r#"["treeline-model", 1]"#,
        "line 1, column 0: the document: invalid type: sequence, expected an object; write the fields and types of version 1",
    );
}

#[test]
fn a_list_in_place_of_a_node_is_refused() {
    check_nodes(
        "[null, null, null, null, 0]",
        "line 23, column 12: nodes[0]: invalid type: sequence, expected an object; write the fields and types of version 1",
    );
}

#[test]
fn another_format_is_refused() {
    check("treeline-model", "onnx", "format: found \"onnx\", expected \"treeline-model\"; give a model, or convert the file to one");
}

#[test]
fn a_document_without_format_is_refused() {
    check_text("{}", "format: found none, expected \"treeline-model\"; give a model, or convert the file to one");
}

#[test]
fn a_format_that_is_no_text_is_refused() {
    check(
        "\"treeline-model\"",
        "7",
        "line 2, column 13: format: invalid type: integer `7`, expected a string; write the fields and types of version 1",
    );
}

#[test]
fn another_version_is_refused_before_its_fields() {
    check_text(
        r#"{"format": "treeline-model", "version": 2, "trees": []}"#,
        "version: found 2, expected 1; train or write the model again for this version",
    );
}

#[test]
fn a_missing_version_is_refused() {
    check("  \"version\": 1,\n", "", "line 29, column 1: the document: missing field `version`; write the fields and types of version 1");
}

#[test]
fn an_unknown_field_is_refused() {
    check(
        "\"classes\"",
        "\"author\": 1, \"classes\"",
        "line 22, column 10: author: unknown field `author`, expected one of `format`, `version`, `description`, `schema`, `classes`, `nodes`, `vote`, `trees`, `packets_min`, `midstream_passes`, `training`; write the fields and types of version 1",
    );
}

#[test]
fn an_unknown_field_of_a_node_is_refused() {
    check_nodes(
        r#"{"class": 0, "weight": 3}"#,
        "line 23, column 33: nodes[0].weight: unknown field `weight`, expected one of `feature`, `threshold`, `left`, `right`, `class`, `values`; write the fields and types of version 1",
    );
}

#[test]
fn a_missing_field_is_refused() {
    check(
        "  \"description\": \"long packets are malicious\",\n",
        "",
        "line 29, column 1: the document: missing field `description`; write the fields and types of version 1",
    );
}

#[test]
fn a_field_given_twice_is_refused() {
    check_nodes(
        r#"{"class": 0, "class": 0}"#,
        "line 23, column 32: nodes[0]: duplicate field `class`; write the fields and types of version 1",
    );
}

#[test]
fn a_null_is_refused() {
    check_nodes(
        r#"{"class": 0, "left": null}"#,
        "line 23, column 37: nodes[0].left: invalid type: null, expected u64; write the fields and types of version 1",
    );
}

// Numbers.

#[test]
fn a_fraction_as_threshold_is_refused() {
    check(
        "65536000",
        "1000.5",
        "line 24, column 38: nodes[0].threshold: invalid type: floating point `1000.5`, expected i64; write the fields and types of version 1",
    );
}

#[test]
fn a_whole_number_written_as_fraction_is_refused() {
    check(
        "65536000",
        "65536000.0",
        "line 24, column 42: nodes[0].threshold: invalid type: floating point `65536000.0`, expected i64; write the fields and types of version 1",
    );
}

#[test]
fn not_a_number_as_threshold_is_refused() {
    check("65536000", "NaN", "line 24, column 33: not JSON: expected value; a model is one JSON document");
}

#[test]
fn a_text_as_threshold_is_refused() {
    check(
        "65536000",
        "\"65536000\"",
        "line 24, column 42: nodes[0].threshold: invalid type: string \"65536000\", expected i64; write the fields and types of version 1",
    );
}

#[test]
fn a_threshold_over_64_bits_is_refused() {
    check(
        "65536000",
        "9223372036854775808",
        "line 24, column 51: nodes[0].threshold: invalid value: integer `9223372036854775808`, expected i64; write the fields and types of version 1",
    );
    check(
        "65536000",
        "-9223372036854775809",
        "line 24, column 52: nodes[0].threshold: invalid type: floating point `-9.223372036854776e+18`, expected i64; write the fields and types of version 1",
    );
    check("65536000", "1e999", "line 24, column 37: not JSON: number out of range; a model is one JSON document");
}

#[test]
fn the_ends_of_64_bits_are_read() {
    for end in [i64::MIN, i64::MAX] {
        let model = Model::read_bytes(VALID.replace("65536000", &end.to_string()).as_bytes()).expect("64 bits");
        assert!(matches!(model.tree().expect("a tree").nodes()[0], Node::Inner { threshold, .. } if threshold == end), "{model:?}");
    }
}

#[test]
fn a_negative_child_is_refused() {
    check(
        "\"left\": 3",
        "\"left\": -3",
        "line 26, column 45: nodes[2].left: invalid value: integer `-3`, expected u64; write the fields and types of version 1",
    );
}

// The schema.

#[test]
fn training_is_kept_as_it_is() {
    let training = r#"  ],
  "training": {
    "a": [
      1,
      -0.1
    ],
    "z\n": null
  }
}
"#;
    let text = VALID.replace("  ]\n}\n", training);
    let model = Model::read_bytes(text.as_bytes()).expect("training is free");
    assert_eq!(model.training().map(serde_json::Map::len), Some(2));
    assert_eq!(model.to_json(), text);
}

#[test]
fn training_that_is_no_object_is_refused() {
    check(
        "  ]\n}\n",
        "  ], \"training\": 3}",
        "line 29, column 18: training: invalid type: integer `3`, expected a map; write the fields and types of version 1",
    );
}
