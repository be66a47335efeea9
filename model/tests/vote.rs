//! Ensemble documents: what is refused, with the field's name.

use treeline_ebpf::Features;
use treeline_ebpf::feature::{MIDSTREAM, PACKETS};
use treeline_model::{Model, Rule};

const VALID: &str = r#"{"format": "treeline-model", "version": 1, "description": "two stumps", "schema": SCHEMA, "classes": ["benign", "scan"],
"vote": {"rule": {"above": 0.5}, "arithmetic": "f64", "base": [0.0], "classes": [0, 1]}, "trees": [
{"output": 0, "nodes": [{"feature": 3, "threshold": 65536, "left": 1, "right": 2}, {"values": [0.25]}, {"values": [0.5]}]},
{"output": 0, "nodes": [{"values": [0.125]}]}]}"#;

fn valid() -> String {
    let leaf = Model::from_nodes("", vec!["benign".to_owned()], vec![treeline_model::Node::Leaf { class: 0 }]).expect("a leaf is a tree");
    let text = leaf.to_json();
    let (start, end) = (text.find("\"schema\": ").expect("a schema") + 10, text.find(",\n  \"classes\"").expect("classes"));
    VALID.replace("SCHEMA", &text[start..end])
}

#[track_caller]
fn check(from: &str, to: &str, expect: &str) {
    let text = valid();
    assert!(text.contains(from), "{from:?} is not in the document");
    let refused = Model::read_bytes(text.replacen(from, to, 1).as_bytes()).expect_err("refused").to_string();
    assert!(refused == expect || refused.ends_with(&format!("{expect}; write the fields and types of version 1")), "{refused}");
}

#[test]
fn an_ensemble_reads_back_equal_and_votes() {
    let model = Model::read_bytes(valid().as_bytes()).expect("valid");
    assert_eq!(Model::read_bytes(model.to_json().as_bytes()).expect("read back"), model);
    let mut features = [0; 12];
    assert_eq!(model.decide(features), 0);
    features[3] = 65537;
    assert_eq!(model.decide(features), 1);
}

#[test]
fn an_ensemble_waits_for_a_flows_first_packets() {
    let text = valid().replacen("\"vote\"", "\"packets_min\": 3, \"vote\"", 1);
    let model = Model::read_bytes(text.as_bytes()).expect("valid");
    assert_eq!(model.precondition().packets_min(), 3);
    assert_eq!(Model::read_bytes(model.to_json().as_bytes()).expect("read back"), model);
    let judged = [1, 2, 3, 4].map(|packet| {
        let mut features = Features::default();
        features.set(3, 65537);
        features.set(PACKETS, packet << 16);
        model.classify(&features)
    });
    assert_eq!(judged, [0, 0, 1, 1]);
}

#[test]
fn an_ensemble_passes_what_is_midstream_if_it_says_so() {
    for (field, expect) in [("", [1, 1]), ("\"midstream_passes\": false, ", [1, 1]), ("\"midstream_passes\": true, ", [0, 1])] {
        let text = valid().replacen("\"vote\"", &format!("{field}\"vote\""), 1);
        let model = Model::read_bytes(text.as_bytes()).expect("valid");
        assert_eq!(Model::read_bytes(model.to_json().as_bytes()).expect("read back"), model);
        let judged = [1, 0].map(|midstream| {
            let mut features = Features::default();
            features.set(3, 65537);
            features.set(PACKETS, 1 << 16);
            features.set(MIDSTREAM, midstream);
            model.classify(&features)
        });
        assert_eq!(judged, expect, "{field}");
    }
}

#[test]
fn a_wait_out_of_range_is_refused_as_a_trees_is() {
    for found in ["0", "1000001", "4294967297"] {
        let expect = format!("packets_min: found {found}, expected 1 to 1000000; 1 judges a flow from its first packet");
        check("\"vote\"", &format!("\"packets_min\": {found}, \"vote\""), &expect);
    }
    let text = valid().replacen("\"vote\"", "\"packets_min\": null, \"vote\"", 1);
    let refused = Model::read_bytes(text.as_bytes()).expect_err("refused").to_string();
    assert!(refused.contains("packets_min: invalid type: null"), "{refused}");
}

#[test]
fn votes_add_up_to_what_is_decided() {
    let model = Model::read_bytes(valid().as_bytes()).expect("valid");
    let Rule::Vote(vote) = model.rule() else { panic!("a vote") };
    let mut features = [0; 12];
    features[3] = 65537;
    let votes = vote.votes(&features);
    assert_eq!((votes.sums.as_slice(), votes.class), ([0.625].as_slice(), model.decide(features)));
    let reached: Vec<_> = votes.reached.iter().map(|tree| (tree.leaf, tree.splits, tree.values[0])).collect();
    assert_eq!(reached, [(2, 1, 0.5), (0, 0, 0.125)]);
}

#[test]
fn an_ensemble_is_not_one_tree() {
    let refused = Model::read_bytes(valid().as_bytes()).expect("a model").tree().expect_err("a vote").to_string();
    assert!(refused.starts_with("trees: an ensemble, expected one tree (nodes); train or import one tree"), "{refused}");
}

#[test]
fn another_version_is_refused() {
    check("\"version\": 1", "\"version\": 2", "version: found 2, expected 1; train or write the model again for this version");
}

#[test]
fn unknown_features_and_units_are_refused() {
    check("\"gap_mean\"", "\"iat\"", "schema.features[7].name: unknown feature \"iat\"; train with the 12 features of the classifier only");
    check(
        "\"gap\", \"unit\": \"ns\"",
        "\"gap\", \"unit\": \"ms\"",
        "schema.features[4].unit: found \"ms\", expected \"ns\" for \"gap\"; convert the thresholds of this feature",
    );
}

#[test]
fn trees_that_are_none_are_refused_with_their_place() {
    check(
        "\"left\": 1",
        "\"left\": 0",
        "trees[0].nodes[0].left: leads back to node 0; point to a node below, so that every path ends in a leaf",
    );
    check("\"left\": 1", "\"left\": 3", "trees[0].nodes[0].left: found 3, expected below 3; point to a node of the list, from 0");
    check("\"left\": 1", "\"left\": 2", "trees[0].nodes[0].right: node 2 is already the left child of node 0; write the subtree twice");
    check(
        "\"feature\": 3",
        "\"feature\": 12",
        "trees[0].nodes[0].feature: found 12, expected below 12; number the features as schema.features does, from 0",
    );
    check(
        "[{\"values\": [0.125]}]",
        "[{\"values\": [0.125]}, {\"values\": [1]}]",
        "trees[1].nodes[1]: not reachable from the root, node 0; remove it, or point to it",
    );
    check("[{\"values\": [0.125]}]", "[]", "trees[1].nodes: none, expected at least a root; a tree that decides nothing is one leaf");
    check(
        "{\"values\": [0.125]}",
        "{\"class\": 1}",
        "trees[1].nodes[0]: found class, expected feature, threshold, left and right, or values alone; complete the node",
    );
}

#[test]
fn leaves_and_votes_that_do_not_fit_are_refused() {
    check("[0.5]", "[0.5, 1]", "trees[0].nodes[2].values: found 2, expected 1 as in the tree's first leaf");
    check(
        "\"output\": 0",
        "\"output\": 1",
        "trees[0].output: found 1 with 1 values a leaf, expected within 1 outputs; vote.base lists one number an output",
    );
    for (leaves, width) in [("[]", 0), ("[0.25, 1]", 2)] {
        let expect =
            format!("trees[0].output: found 0 with {width} values a leaf, expected within 1 outputs; vote.base lists one number an output");
        check("[0.25]", leaves, &expect);
    }
    check(
        "{\"values\": [0.25]}",
        "{\"feature\": 3, \"values\": [0.25]}",
        "trees[0].nodes[1]: found feature, values, expected feature, threshold, left and right, or values alone; complete the node",
    );
    check("\"base\": [0.0]", "\"base\": []", "vote.base: found 0 numbers, expected 1 for above");
    check("\"classes\": [0, 1]", "\"classes\": [0, 2]", "vote.classes: found 2, expected below 2, the number of classes");
    check(
        "\"benign\"",
        "\"good\"",
        "classes[0]: found \"good\", expected \"benign\"; list \"benign\" first, every other class counts as malicious",
    );
}

#[test]
fn not_a_number_is_refused() {
    let refused = |from: &str, to: &str| Model::read_bytes(valid().replacen(from, to, 1).as_bytes()).expect_err("refused").to_string();
    assert!(refused("[0.25]", "[NaN]").contains("not JSON"), "{}", refused("[0.25]", "[NaN]"));
    assert!(refused("[0.25]", "[1e999]").contains("number out of range"), "{}", refused("[0.25]", "[1e999]"));
}

#[test]
fn sizes_over_the_limits_are_refused() {
    let tree = r#"{"output": 0, "nodes": [{"values": [0.125]}]}"#;
    check(tree, &vec![tree; 4096].join(","), "trees: found 4097, expected at most 4096; train with fewer trees");
    let text = " ".repeat((32 << 20) + 1);
    let refused = Model::read_bytes(text.as_bytes()).expect_err("too large").to_string();
    assert_eq!(
        refused,
        "more than 33554432 bytes; the largest tree takes less than 1 MiB: train with fewer or smaller trees, or shorten the texts"
    );
}
