//! Bytes that no library wrote: an import gives a model or an error, and what it gives reads back. And what each format refuses, by name.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use treeline_model::Model;
use treeline_model::import::{Format, Options, Source, TimeUnit, import};

const FILES: [(&str, Format); 11] = [
    ("sklearn-tree.json", Format::Sklearn),
    ("sklearn-forest.json", Format::Sklearn),
    ("xgboost-one.json", Format::Xgboost),
    ("xgboost-early.json", Format::Xgboost),
    ("xgboost-multi.json", Format::Xgboost),
    ("lightgbm-one.txt", Format::Lightgbm),
    ("lightgbm-multi.txt", Format::Lightgbm),
    ("onnx-tree.onnx", Format::Onnx),
    ("onnx-text.onnx", Format::Onnx),
    ("onnx-regressor.onnx", Format::Onnx),
    ("onnx-v5-forest.onnx", Format::Onnx),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import")
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).expect("a fixture")
}

fn paper() -> [Vec<u8>; 5] {
    ["childrenLeft", "childrenRight", "feature", "threshold", "value"].map(|name| fixture(&format!("paper/{name}")))
}

/// Imports, and where that works reads the model back.
fn exercise(source: &Source) {
    let options = Options { time_unit: Some(TimeUnit::Ms), ..Options::default() };
    if let Ok(imported) = import(source, &options) {
        assert!(imported.contract.is_exact(), "{:?}", imported.contract.inexact);
        let again = Model::read_bytes(imported.model.to_json().as_bytes());
        assert!(matches!(&again, Ok(again) if *again == imported.model), "{again:?}");
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Byte(Index, u8),
    Cut(Index),
    /// A run of bytes again, somewhere else.
    Copy(Index, Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"0123456789-,[]{}\"eE.\n= ".to_vec())]).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), any::<Index>(), 1_usize..40).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        match damage {
            Damage::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Copy(from, to, length) => {
                let from = from.index(bytes.len());
                let run = bytes[from..bytes.len().min(from + length)].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, run);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_give_a_model_or_an_error(file in 0..FILES.len(), damages in prop::collection::vec(damage(), 1..4)) {
        let (name, format) = FILES[file];
        let bytes = damaged(fixture(name), &damages);
        exercise(&Source::of(bytes, Some(format)).expect("a file's format"));
    }

    #[test]
    fn damaged_arrays_give_a_model_or_an_error(array in 0_usize..5, damages in prop::collection::vec(damage(), 1..4)) {
        let mut arrays = paper();
        arrays[array] = damaged(std::mem::take(&mut arrays[array]), &damages);
        exercise(&Source::Paper(arrays));
    }

    #[test]
    fn any_bytes_give_a_model_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in [Format::Sklearn, Format::Xgboost, Format::Lightgbm, Format::Onnx] {
            exercise(&Source::of(bytes.clone(), Some(format)).expect("a file's format"));
        }
        if let Ok(source) = Source::of(bytes, None) {
            exercise(&source);
        }
    }
}

#[test]
fn a_model_is_guessed_by_its_content() {
    for (name, format) in FILES {
        assert_eq!(Source::of(fixture(name), None).expect(name).format(), format, "{name}");
    }
}

/// The reason for which `name` is refused after `from` became `to` in it.
#[track_caller]
fn refused(name: &str, from: &str, to: &str) -> String {
    let text = String::from_utf8(fixture(name)).expect("text");
    assert!(text.contains(from), "{from:?} is not in {name}");
    let format = FILES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
    let source = Source::of(text.replacen(from, to, 1).into_bytes(), format).expect("a file's format");
    import(&source, &Options::default()).expect_err("refused").to_string()
}

#[track_caller]
fn check(name: &str, from: &str, to: &str, expect: &str) {
    assert_eq!(refused(name, from, to), expect);
}

#[test]
fn scikit_learn_arrays_that_are_no_tree_are_refused() {
    check(
        "sklearn-tree.json",
        "\"children_left\":[1,",
        "\"children_left\":[0,",
        "trees[0]: left child of node 0: found 0, expected a node that nothing else leads to",
    );
    check(
        "sklearn-tree.json",
        "\"children_left\":[1,",
        "\"children_left\":[999,",
        "trees[0]: left child of node 0: found 999, expected below 119",
    );
    check(
        "sklearn-tree.json",
        "\"n_features\":12",
        "\"n_features\":13",
        "columns: 13 without names, expected 12; name the model's columns in its order with --features, from originator_port,responder_port,protocol,length,gap,direction,length_mean,gap_mean,direction_mean,length_deviation,gap_deviation,direction_deviation",
    );
    check(
        "sklearn-tree.json",
        "\"classes\":[0,1]",
        "\"classes\":[3,4]",
        "classes [\"3\", \"4\"]: which is benign? name them with --classes benign,..., or say which are not with --malicious",
    );
    assert!(refused("sklearn-tree.json", "\"threshold\":[", "\"threshold\":[NaN,").starts_with("line 1, column "));
}

#[test]
fn xgboost_models_of_other_kinds_are_refused_by_name() {
    check(
        "xgboost-one.json",
        "\"name\":\"binary:logistic\"",
        "\"name\":\"rank:pairwise\"",
        "learner.objective.name: rank:pairwise is not supported; train with binary:logistic or multi:softprob",
    );
    check(
        "xgboost-one.json",
        "\"name\":\"gbtree\"",
        "\"name\":\"dart\"",
        "learner.gradient_booster.name: dart is not supported; train with booster gbtree",
    );
    check(
        "xgboost-one.json",
        "\"split_type\":[0",
        "\"split_type\":[1",
        "trees[0].split_type[0]: a categorical split is not supported; train on numbers",
    );
    check(
        "xgboost-one.json",
        "\"num_deleted\":\"0\"",
        "\"num_deleted\":\"1\"",
        "trees[0]: found 0 nodes that nothing leads to, expected 1",
    );
}

#[test]
fn lightgbm_models_of_other_kinds_are_refused_by_name() {
    check(
        "lightgbm-one.txt",
        "objective=binary",
        "objective=lambdarank",
        "header: objective: lambdarank is not supported; train with binary or multiclass",
    );
    check(
        "lightgbm-one.txt",
        "decision_type=2",
        "decision_type=1",
        "Tree=0 (line 12): decision_type[0]: a categorical split is not supported; train on numbers",
    );
    check(
        "lightgbm-one.txt",
        "decision_type=2",
        "decision_type=4",
        "Tree=0 (line 12): decision_type[0]: zero as missing is not supported; train with zero_as_missing=false: a gap of 0 is a value",
    );
    check(
        "lightgbm-one.txt",
        "is_linear=0",
        "is_linear=1",
        "Tree=0 (line 12): is_linear: a linear leaf is not supported; train without linear_tree",
    );
    check("lightgbm-one.txt", "end of trees", "", "the last line: found no \"end of trees\", expected a whole file");
}

#[test]
fn the_papers_arrays_need_a_unit() {
    let refused = import(&Source::Paper(paper()), &Options::default()).expect_err("which unit?");
    assert_eq!(
        refused.to_string(),
        "the paper's arrays do not say their unit of time; give --time-unit ns, us, ms or s (the published tree is in ms)"
    );
}
