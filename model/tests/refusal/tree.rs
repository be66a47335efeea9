//! Nodes that are no tree the kernel walks.

use treeline_model::{Model, Node, Precondition};

use crate::{VALID, check, check_nodes};

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
fn a_question_in_front_of_the_deepest_tree_is_refused() {
    let mut nodes: Vec<_> = (0..32_u16)
        .flat_map(|edge| [Node::Inner { feature: 0, threshold: 0, left: 2 * edge + 1, right: 2 * edge + 2 }, Node::Leaf { class: 0 }])
        .collect();
    nodes.push(Node::Leaf { class: 0 });
    let model = Model::from_nodes("", vec!["benign".to_owned()], nodes).expect("32 edges are allowed");
    for refused in [
        model.clone().with_precondition(Precondition::new(2, false).expect("a wait")),
        model.clone().with_precondition(Precondition::new(1, true).expect("a precondition")),
    ] {
        let expect = "packets_min, midstream_passes: two nodes and a level each (1 of them) beside the tree's 65 nodes and depth 32, at most 8192 and 32; \
                      leave them out, or train a smaller tree";
        assert_eq!(refused.expect_err("33 are not").to_string(), expect);
    }
    model.with_precondition(Precondition::new(1, false).expect("a precondition")).expect("asks nothing");
}
