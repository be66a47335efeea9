//! Documents about other features, units, grids or classes.

use crate::{VALID, check, check_text};

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
