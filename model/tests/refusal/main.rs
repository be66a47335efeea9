//! What a model file must not be: one test a refusal, with the whole message that a user reads.

mod schema;

mod text;

mod tree;

use treeline_model::Model;

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
