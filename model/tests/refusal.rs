//! What a model file must not be: one test a refusal, with the whole message that a user reads.

use treeline_model::{BYTES_MAX, Error, Model, Node};

const VALID: &str = r#"{
  "format": "treeline-model",
  "version": 1,
  "description": "long packets are malicious",
  "schema": {
    "fraction_bits": 16,
    "features": [
      {"name": "originator_port", "unit": "port"},
      {"name": "responder_port", "unit": "port"},
      {"name": "protocol", "unit": "number"},
      {"name": "length", "unit": "byte"},
      {"name": "gap", "unit": "ns"},
      {"name": "direction", "unit": "1 = from originator"},
      {"name": "length_mean", "unit": "byte"},
      {"name": "gap_mean", "unit": "ns"},
      {"name": "direction_mean", "unit": "1 = from originator"},
      {"name": "length_deviation", "unit": "byte"},
      {"name": "gap_deviation", "unit": "ns"},
      {"name": "direction_deviation", "unit": "1 = from originator"}
    ]
  },
  "classes": ["benign", "malicious"],
  "nodes": [
    {"feature": 3, "threshold": 65536000, "left": 1, "right": 2},
    {"class": 0},
    {"feature": 6, "threshold": 1, "left": 3, "right": 4},
    {"class": 0},
    {"class": 1}
  ]
}
"#;

#[track_caller]
fn check_text(text: &str, expect: &str) {
    match Model::read_bytes(text.as_bytes()) {
        Ok(model) => panic!("read: {model:?}"),
        Err(error) => assert_eq!(error.to_string(), expect),
    }
}

/// The valid file with one piece replaced.
#[track_caller]
fn check(piece: &str, replacement: &str, expect: &str) {
    assert_eq!(VALID.matches(piece).count(), 1, "{piece:?} is not one place");
    check_text(&VALID.replace(piece, replacement), expect);
}

/// The valid file with other nodes.
#[track_caller]
fn check_nodes(nodes: &str, expect: &str) {
    let start = VALID.find(r#""nodes""#).expect("nodes");
    check_text(&format!("{}\"nodes\": [{nodes}]}}", &VALID[..start]), expect);
}

#[test]
fn the_valid_file_is_read_and_written_as_it_was() {
    let model = Model::read_bytes(VALID.as_bytes()).expect("valid");
    assert_eq!((model.nodes().len(), model.leaves(), model.depth()), (5, 3, 2));
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
        "more than 4194304 bytes; the largest tree takes less than 1 MiB: give the model's JSON document, and shorten its texts",
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
        "line 22, column 10: author: unknown field `author`, expected one of `format`, `version`, `description`, `schema`, `classes`, `nodes`, `packets_min`, `training`; write the fields and types of version 1",
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
        assert!(matches!(model.nodes()[0], Node::Inner { threshold, .. } if threshold == end), "{model:?}");
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
fn other_fraction_bits_are_refused() {
    check(
        "\"fraction_bits\": 16",
        "\"fraction_bits\": 8",
        "schema.fraction_bits: found 8, expected 16; scale the thresholds by 2^16, rounding down",
    );
}

#[test]
fn an_unknown_feature_is_refused() {
    check(
        "\"gap_mean\"",
        "\"iat_mean\"",
        "schema.features[7].name: unknown feature \"iat_mean\"; train with the 12 features of the classifier only",
    );
}

#[test]
fn a_missing_feature_is_refused() {
    check(
        "      {\"name\": \"gap\", \"unit\": \"ns\"},\n",
        "",
        "schema.features: \"gap\" is missing, expected at position 4; list all 12 features, used or not",
    );
}

#[test]
fn a_feature_listed_twice_is_refused() {
    check("\"gap_mean\"", "\"length\"", "schema.features[7].name: \"length\" is listed already at position 3; list each feature once");
}

#[test]
fn features_in_another_order_are_refused() {
    let swapped = VALID.replace("\"originator_port\"", "\"x\"").replace("\"responder_port\"", "\"originator_port\"");
    check_text(
        &swapped.replace("\"x\"", "\"responder_port\""),
        "schema.features[0].name: found \"responder_port\", expected \"originator_port\"; list the features, and number them in the nodes, in the classifier's order",
    );
}

#[test]
fn another_unit_is_refused() {
    check(
        "\"gap_mean\", \"unit\": \"ns\"",
        "\"gap_mean\", \"unit\": \"us\"",
        "schema.features[7].unit: found \"us\", expected \"ns\" for \"gap_mean\"; convert the thresholds of this feature",
    );
}

// The classes.

#[test]
fn no_class_is_refused() {
    check(r#"["benign", "malicious"]"#, "[]", "classes: none, expected at least \"benign\"; list the classes, \"benign\" first");
}

#[test]
fn a_class_0_that_is_not_benign_is_refused() {
    check(
        r#"["benign", "malicious"]"#,
        r#"["malicious", "benign"]"#,
        "classes[0]: found \"malicious\", expected \"benign\"; list \"benign\" first, every other class counts as malicious",
    );
}

#[test]
fn a_class_listed_twice_is_refused() {
    check(
        r#"["benign", "malicious"]"#,
        r#"["benign", "scan", "flood", "scan"]"#,
        "classes[3]: \"scan\" is listed already at position 1; give each class its own name",
    );
}

#[test]
fn more_classes_than_16_bits_are_refused() {
    let names: Vec<_> = (1..=65_536).map(|class| format!("\"{class}\"")).collect();
    check("\"malicious\"", &names.join(","), "classes: found 65537, expected at most 65536; merge classes");
}

#[test]
fn a_class_that_is_not_listed_is_refused() {
    check("{\"class\": 1}", "{\"class\": 2}", "nodes[4].class: found 2, expected below 2; number the classes as they are listed, from 0");
    check(
        "{\"class\": 1}",
        "{\"class\": 65536}",
        "nodes[4].class: found 65536, expected below 2; number the classes as they are listed, from 0",
    );
}

// The nodes.

#[test]
fn no_nodes_are_refused() {
    check_nodes("", "nodes: none, expected at least a root; a tree that decides nothing is one leaf");
}

#[test]
fn too_many_nodes_are_refused() {
    check_nodes(&vec![r#"{"class": 0}"#; 8193].join(","), "nodes: found 8193, expected at most 8192; train with fewer leaves");
}

#[test]
fn a_node_that_is_neither_inner_nor_leaf_is_refused() {
    check_nodes("{}", "nodes[0]: found no field, expected feature, threshold, left and right, or class alone; complete the node");
    check_nodes(
        r#"{"feature": 3, "threshold": 1, "left": 1}"#,
        "nodes[0]: found feature, threshold, left, expected feature, threshold, left and right, or class alone; complete the node",
    );
    check(
        "{\"class\": 1}",
        r#"{"feature": 3, "threshold": 1, "left": 1, "right": 2, "class": 1}"#,
        "nodes[4]: found feature, threshold, left, right, class, expected feature, threshold, left and right, or class alone; complete the node",
    );
}

#[test]
fn a_feature_out_of_range_is_refused() {
    check(
        "\"feature\": 6",
        "\"feature\": 12",
        "nodes[2].feature: found 12, expected below 12; number the features as schema.features does, from 0",
    );
    check(
        "\"feature\": 6",
        "\"feature\": 65536",
        "nodes[2].feature: found 65536, expected below 12; number the features as schema.features does, from 0",
    );
}

#[test]
fn a_dangling_child_is_refused() {
    check("\"right\": 4", "\"right\": 5", "nodes[2].right: found 5, expected below 5; point to a node of the list, from 0");
    check("\"left\": 3", "\"left\": 65539", "nodes[2].left: found 65539, expected below 5; point to a node of the list, from 0");
}

#[test]
fn a_cycle_is_refused() {
    check("\"left\": 3", "\"left\": 0", "nodes[2].left: leads back to node 0; point to a node below, so that every path ends in a leaf");
}

#[test]
fn a_node_that_is_its_own_child_is_refused() {
    check("\"left\": 3", "\"left\": 2", "nodes[2].left: leads back to node 2; point to a node below, so that every path ends in a leaf");
}

#[test]
fn a_node_with_two_parents_is_refused() {
    check("\"left\": 3", "\"left\": 1", "nodes[2].left: node 1 is already the left child of node 0; write the subtree twice");
}

#[test]
fn a_child_on_both_sides_is_refused() {
    check("\"left\": 3", "\"left\": 4", "nodes[2].right: node 4 is already the left child of node 2; write the subtree twice");
}

#[test]
fn an_unreachable_node_is_refused() {
    check(
        "{\"class\": 1}",
        "{\"class\": 1},\n    {\"class\": 0}",
        "nodes[5]: not reachable from the root, node 0; remove it, or point to it",
    );
}

#[test]
fn a_cycle_apart_from_the_root_is_refused() {
    let island = r#"{"class": 1}, {"feature": 3, "threshold": 1, "left": 5, "right": 5}"#;
    check("{\"class\": 1}", island, "nodes[5]: not reachable from the root, node 0; remove it, or point to it");
}

/// A chain of `depth` inner nodes on the left, each with a leaf on its right.
fn chain(depth: usize) -> String {
    let inner = |i: usize| format!(r#"{{"feature": 3, "threshold": {i}, "left": {}, "right": {}}}"#, i + 1, depth + 1 + i);
    let leaves = std::iter::repeat_n(r#"{"class": 0}"#.to_owned(), depth + 1);
    (0..depth).map(inner).chain(leaves).collect::<Vec<_>>().join(",")
}

#[test]
fn a_tree_too_deep_is_refused() {
    check_nodes(&chain(33), "nodes[66]: more than 32 edges below the root; train with a smaller depth");
    check_nodes(&chain(4095), "nodes[4128]: more than 32 edges below the root; train with a smaller depth");
}

#[test]
fn a_tree_of_the_greatest_depth_is_read() {
    let start = VALID.find(r#""nodes""#).expect("nodes");
    let text = format!("{}\"nodes\": [{}]}}", &VALID[..start], chain(32));
    assert_eq!(Model::read_bytes(text.as_bytes()).expect("32 edges").depth(), 32);
}

// What is free.

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

#[test]
fn a_wait_out_of_range_is_refused() {
    for found in [0, 1_000_001, 1_u64 << 40] {
        check(
            r#""nodes": ["#,
            &format!(r#""packets_min": {found}, "nodes": ["#),
            &format!("packets_min: found {found}, expected 1 to 1000000; 1 judges a flow from its first packet"),
        );
    }
}

#[test]
fn a_wait_in_front_of_the_deepest_tree_is_refused() {
    let mut nodes: Vec<_> = (0..32_u16)
        .flat_map(|edge| [Node::Inner { feature: 0, threshold: 0, left: 2 * edge + 1, right: 2 * edge + 2 }, Node::Leaf { class: 0 }])
        .collect();
    nodes.push(Node::Leaf { class: 0 });
    let model = Model::from_nodes("", vec!["benign".to_owned()], nodes).expect("32 edges are allowed");
    let refused = model.with_packets_min(2).expect_err("33 are not");
    let expect = "packets_min: a wait needs two nodes and a level more than the tree's 65 nodes and depth 32, at most 8192 and 32; \
                  leave it out, or train a smaller tree";
    assert_eq!(refused.to_string(), expect);
}
