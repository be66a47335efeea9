//! Documents as files: what is written is read back, up to the largest size and no further; and what a document says of its model.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use treeline_model::ensemble::{Arithmetic, ENSEMBLE_BYTES_MAX, Member, Rule, Vote};
use treeline_model::{BYTES_MAX, Document, Ensemble, Error, Model, Node};

const STUMP: [Node; 3] =
    [Node::Inner { feature: 3, threshold: 65536, left: 1, right: 2 }, Node::Leaf { class: 0 }, Node::Leaf { class: 1 }];
const LARGER: &str = "more than 4194304 bytes";
const LARGER_ENSEMBLE: &str = "more than 33554432 bytes";

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

fn ensemble(letters: usize) -> Ensemble {
    let vote = Vote { rule: Rule::Above(0.5), arithmetic: Arithmetic::F64, base: vec![0.0], classes: vec![0, 1] };
    let trees = vec![
        Member { output: 0, nodes: STUMP.to_vec(), values: vec![vec![0.25], vec![0.75]] },
        Member { output: 0, nodes: vec![Node::Leaf { class: 0 }], values: vec![vec![0.0]] },
    ];
    Ensemble::new("two stumps", classes(), vote, trees).expect("an ensemble").with_training(record(letters))
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
fn a_model_is_written_and_read_up_to_its_largest_size() {
    sizes(tree, Model::to_json, |model, path| model.write(path), |path| Model::read(path), (BYTES_MAX, LARGER));
}

#[test]
fn a_document_of_a_tree_is_written_and_read_up_to_its_largest_size() {
    let document = |letters| Document::from(tree(letters));
    sizes(document, Document::to_json, |document, path| document.write(path), |path| Document::read(path), (BYTES_MAX, LARGER));
}

#[test]
fn a_document_of_an_ensemble_is_written_and_read_up_to_its_largest_size() {
    let limit = (ENSEMBLE_BYTES_MAX, LARGER_ENSEMBLE);
    let document = |letters| Document::from(ensemble(letters));
    sizes(document, Document::to_json, |document, path| document.write(path), |path| Document::read(path), limit);
}

#[test]
fn a_document_says_what_its_model_is() {
    for passes in [false, true] {
        let tree = tree(1).with_midstream_passed(passes).expect("room");
        let ensemble = ensemble(1).with_midstream_passed(passes);
        assert_eq!((ensemble.training(), ensemble.midstream_passes()), (Some(&record(1)), passes));
        for (document, description, trees) in
            [(Document::from(tree), "one stump", vec![3]), (Document::from(ensemble), "two stumps", vec![3, 1])]
        {
            assert_eq!(document.description(), description);
            assert_eq!(document.classes(), classes());
            assert_eq!(document.midstream_passes(), passes);
            assert_eq!(document.trees().map(<[Node]>::len).collect::<Vec<_>>(), trees);
        }
    }
}

#[test]
fn what_is_no_document_is_refused_as_that() {
    let said = |text: &str| Document::read_bytes(text.as_bytes()).expect_err("refused").to_string();
    let other = tree(0).to_json().replace("\"treeline-model\"", "\"something else\"");
    assert!(said(&other).starts_with("format: found \"something else\", expected \"treeline-model\""), "{}", said(&other));
    assert!(said("[]").contains("expected an object"), "{}", said("[]"));
}
