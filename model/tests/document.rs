//! Documents as files: what is written is read back, up to the largest size and no further; and what a document says of its model.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use treeline_model::vote::{Arithmetic, Choice, Combination, Estimator};
use treeline_model::{BYTES_MAX, Error, Model, Node, Precondition, Rule, Vote};

const STUMP: [Node; 3] =
    [Node::Inner { feature: 3, threshold: 65536, left: 1, right: 2 }, Node::Leaf { class: 0 }, Node::Leaf { class: 1 }];
const LARGER: &str = "more than 33554432 bytes";

fn classes() -> Vec<String> {
    vec!["benign".to_owned(), "scan".to_owned()]
}

/// A record of training with `length` letters in it.
fn record(length: usize) -> Map<String, Value> {
    Map::from_iter([("letters".to_owned(), Value::from("x".repeat(length)))])
}

fn tree(letters: usize) -> Model {
    Model::from_nodes("one stump", classes(), STUMP.to_vec()).expect("a tree").with_training(record(letters))
}

fn vote(letters: usize) -> Model {
    let vote = Combination { choice: Choice::Above(0.5), arithmetic: Arithmetic::F64, base: vec![0.0], classes: vec![0, 1] };
    let trees = vec![
        Estimator { output: 0, nodes: STUMP.to_vec(), values: vec![vec![0.25], vec![0.75]] },
        Estimator { output: 0, nodes: vec![Node::Leaf { class: 0 }], values: vec![vec![0.0]] },
    ];
    Vote::new(vote, trees)
        .and_then(|vote| Model::new("two stumps", classes(), Rule::Vote(vote)))
        .expect("an ensemble")
        .with_training(record(letters))
}

/// The answer's message, which names the file.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, path: &Path, reason: &str) {
    let message = answer.expect_err("refused").to_string();
    assert!(message.starts_with(&format!("{}: {reason}", path.display())), "{message}");
}

/// Writes the largest and one that is larger by a byte, which leaves the file as it is; then reads files that blanks make as large.
#[track_caller]
fn sizes<T: PartialEq + std::fmt::Debug>(
    document: impl Fn(usize) -> T,
    to_json: impl Fn(&T) -> String,
    write: impl Fn(&T, &Path) -> Result<(), Error>,
    read: impl Fn(&Path) -> Result<T, Error>,
    (bytes_max, larger): (usize, &str),
) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.json");
    let small = document(0);
    let text = to_json(&small);
    let largest = document(bytes_max - text.len());
    write(&largest, &path).expect("the largest is written");
    assert_eq!(fs::metadata(&path).expect("written").len(), bytes_max as u64);
    assert!(read(&path).expect("the largest is read") == largest);
    refused(write(&document(bytes_max - text.len() + 1), &path), &path, larger);
    assert_eq!(fs::metadata(&path).expect("the one before").len(), bytes_max as u64);
    write(&small, &path).expect("a small one is written");
    assert_eq!(read(&path).expect("a small one is read"), small);
    let padded = |length: usize| fs::write(&path, text.clone() + &" ".repeat(length - text.len())).expect("written");
    padded(bytes_max);
    assert_eq!(read(&path).expect("blanks are nothing"), small);
    padded(bytes_max + 1);
    refused(read(&path), &path, larger);
}

#[test]
fn a_tree_is_written_and_read_up_to_its_largest_size() {
    sizes(tree, Model::to_json, |model, path| model.write(path), |path| Model::read(path), (BYTES_MAX, LARGER));
}

#[test]
fn a_vote_is_written_and_read_up_to_its_largest_size() {
    sizes(vote, Model::to_json, |model, path| model.write(path), |path| Model::read(path), (BYTES_MAX, LARGER));
}

#[test]
fn what_is_no_tree_is_refused_with_its_file_where_one_is_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.json");
    vote(0).write(&path).expect("written");
    refused(Model::read_tree(&path), &path, "trees: an ensemble, expected one tree (nodes)");
    tree(0).write(&path).expect("written");
    assert_eq!(Model::read_tree(&path).expect("a tree"), tree(0));
}

#[test]
fn a_list_of_nodes_too_long_is_counted_and_refused() {
    let text = tree(0).to_json();
    let (start, end) = (text.find("\"nodes\": [").expect("nodes") + 10, text.find("\n  ]").expect("their end"));
    let many = vec!["{\"class\": 0}"; 100_000].join(",");
    let said = Model::read_bytes(format!("{}{many}{}", &text[..start], &text[end..]).as_bytes()).expect_err("refused").to_string();
    assert!(said.starts_with("nodes: found 100000, expected at most 8192"), "{said}");
}

#[test]
fn a_document_has_one_rule() {
    let said =
        |from: &str, to: &str| Model::read_bytes(tree(0).to_json().replacen(from, to, 1).as_bytes()).expect_err("refused").to_string();
    for (from, to, found) in [
        ("\"nodes\": [", "\"trees\": [], \"nodes\": [", "nodes, trees"),
        (
            "\"classes\"",
            "\"vote\": {\"rule\": \"largest\", \"arithmetic\": \"f64\", \"base\": [], \"classes\": []}, \"classes\"",
            "nodes, vote",
        ),
    ] {
        let expect = format!("found {found}, expected nodes (one tree), or vote and trees; write the fields and types of version 1");
        assert_eq!(said(from, to), expect);
    }
}

#[test]
fn a_document_says_what_its_model_is() {
    for passes in [false, true] {
        for (model, description, trees) in [(tree(1), "one stump", vec![3]), (vote(1), "two stumps", vec![3, 1])] {
            let model = model.with_precondition(Precondition::new(1, passes).expect("a precondition")).expect("room");
            assert_eq!((model.training(), model.precondition().midstream_passes()), (Some(&record(1)), passes));
            assert_eq!((model.description(), model.classes()), (description, &classes()[..]));
            assert_eq!(model.trees().map(<[Node]>::len).collect::<Vec<_>>(), trees);
        }
    }
}

#[test]
fn what_is_no_document_is_refused_as_that() {
    let said = |text: &str| Model::read_bytes(text.as_bytes()).expect_err("refused").to_string();
    let other = tree(0).to_json().replace("\"treeline-model\"", "\"something else\"");
    assert!(said(&other).starts_with("format: found \"something else\", expected \"treeline-model\""), "{}", said(&other));
    assert!(said("[]").contains("expected an object"), "{}", said("[]"));
}
