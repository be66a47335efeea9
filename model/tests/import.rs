//! Imported models answer as their libraries did, on vectors of traffic and on the grid points around every threshold.
//!
//! `testdata/import/make.py` wrote the fixtures with the real libraries.

use std::fs;
use std::path::{Path, PathBuf};

use treeline_ebpf::feature::FEATURES;
use treeline_ebpf::{Features, tree};
use treeline_model::Document;
use treeline_model::import::{Format, Imported, Options, Source, TimeUnit, import};

/// A row's index, a feature or 255, its value, the library's answer.
const PROBE_BYTES: usize = 12;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/import")
}

fn unpacked(name: &str) -> Vec<u8> {
    let packed = fs::read(folder().join(name)).expect("a fixture");
    zstd::decode_all(packed.as_slice()).expect("zstd")
}

fn rows() -> Vec<[i64; FEATURES]> {
    let words: Vec<_> = unpacked("rows.zst").as_chunks().0.iter().map(|word| i64::from_le_bytes(*word)).collect();
    words.as_chunks().0.to_vec()
}

/// The vectors asked of the library, with its answers.
fn probes(name: &str) -> Vec<([i64; FEATURES], u8)> {
    let rows = rows();
    let bytes = unpacked(&format!("{name}.probes.zst"));
    let (probes, rest) = bytes.as_chunks::<PROBE_BYTES>();
    assert!(rest.is_empty() && probes.len() > 1_000, "{name}: {} probes", probes.len());
    let probe = |probe: &[u8; PROBE_BYTES]| {
        let mut vector = rows[usize::from(u16::from_le_bytes([probe[0], probe[1]]))];
        if probe[2] != 255 {
            vector[usize::from(probe[2])] = i64::from_le_bytes(probe[3..11].try_into().expect("eight bytes"));
        }
        (vector, probe[11])
    };
    probes.iter().map(probe).collect()
}

fn read(file: &str, options: &Options) -> Imported {
    let source = Source::read(folder().join(file), None).unwrap_or_else(|error| panic!("{error}"));
    import(&source, options).unwrap_or_else(|error| panic!("{file}: {error}"))
}

type Decide = dyn Fn(&[i64; FEATURES]) -> u16;

/// What the document decides: by the kernel's walk if it is one tree.
fn decide(document: Document) -> Box<Decide> {
    match document {
        Document::Ensemble(ensemble) => Box::new(move |vector| ensemble.decide(vector)),
        Document::Tree(model) => {
            let tree = model.to_tree();
            Box::new(move |vector| tree::descend(&tree, &Features::from(vector.map(i64::cast_unsigned))).expect("a checked tree decides"))
        }
    }
}

/// Imports `file` and compares it with the library's answers; `classes` are ours for the library's.
#[track_caller]
fn check(file: &str, format: Format, trees: usize, unit: TimeUnit, classes: &[u16]) {
    let name = file.split('.').next().expect("a name");
    let imported = read(file, &Options { time_unit: Some(unit), ..Options::default() });
    assert_eq!(imported.format, format);
    assert_eq!(if let Document::Ensemble(ensemble) = &imported.document { ensemble.trees().len() } else { 1 }, trees);
    assert!(imported.contract.is_exact() && imported.contract.splits > 10, "{:?}", imported.contract);
    let decide = decide(imported.document.clone());
    let wrong: Vec<_> = probes(name).into_iter().filter(|(vector, answer)| decide(vector) != classes[usize::from(*answer)]).collect();
    assert!(wrong.is_empty(), "{} answers differ, the first for {:?}", wrong.len(), wrong[0]);
    let text = imported.document.to_json();
    assert!(matches!(Document::read_bytes(text.as_bytes()), Ok(again) if again == imported.document && again.to_json() == text));
}

#[test]
fn scikit_learn_tree_decides_as_it_does() {
    check("sklearn-tree.json", Format::Sklearn, 1, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn scikit_learn_tree_with_named_classes_in_milliseconds_decides_as_it_does() {
    check("sklearn-text.json", Format::Sklearn, 1, TimeUnit::Ms, &[0, 1, 2]);
}

#[test]
fn scikit_learn_forest_decides_as_it_does() {
    check("sklearn-forest.json", Format::Sklearn, 12, TimeUnit::Ns, &[0, 1, 2]);
}

#[test]
fn the_papers_arrays_decide_as_their_integers_do() {
    check("paper", Format::Paper, 1, TimeUnit::Ms, &[0, 1]);
}

#[test]
fn xgboost_tree_decides_as_it_does() {
    check("xgboost-one.json", Format::Xgboost, 1, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn xgboost_trees_in_microseconds_decide_as_they_do() {
    check("xgboost-binary.json", Format::Xgboost, 20, TimeUnit::Us, &[0, 1]);
}

#[test]
fn xgboost_trees_with_pruned_nodes_decide_as_they_do() {
    check("xgboost-pruned.json", Format::Xgboost, 12, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn xgboost_trees_of_three_classes_decide_as_they_do() {
    check("xgboost-multi.json", Format::Xgboost, 18, TimeUnit::Ns, &[0, 1, 2]);
}

#[test]
fn lightgbm_tree_decides_as_it_does() {
    check("lightgbm-one.txt", Format::Lightgbm, 1, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn lightgbm_trees_in_seconds_decide_as_they_do() {
    check("lightgbm-binary.txt", Format::Lightgbm, 20, TimeUnit::S, &[0, 1]);
}

#[test]
fn lightgbm_trees_of_three_classes_decide_as_they_do() {
    check("lightgbm-multi.txt", Format::Lightgbm, 18, TimeUnit::Ns, &[0, 1, 2]);
}

#[test]
fn onnx_tree_decides_as_it_does() {
    check("onnx-tree.onnx", Format::Onnx, 1, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn onnx_tree_with_named_classes_decides_as_it_does() {
    check("onnx-text.onnx", Format::Onnx, 1, TimeUnit::Ns, &[0, 1, 2]);
}

#[test]
fn onnx_tree_on_64_bit_input_decides_as_it_does() {
    check("onnx-double.onnx", Format::Onnx, 1, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn onnx_forest_decides_as_it_does() {
    check("onnx-forest.onnx", Format::Onnx, 10, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn onnx_regressor_decides_as_it_does() {
    check("onnx-regressor.onnx", Format::Onnx, 7, TimeUnit::Ns, &[0, 1]);
}

#[test]
fn onnx_version_5_tree_decides_as_it_does() {
    check("onnx-v5-tree.onnx", Format::Onnx, 3, TimeUnit::Ns, &[0, 1, 2]);
}

#[test]
fn onnx_version_5_forest_decides_as_it_does() {
    check("onnx-v5-forest.onnx", Format::Onnx, 15, TimeUnit::Ns, &[0, 1, 2]);
}

/// The canary: the comparison sees a threshold that is off by one step.
#[test]
fn a_rounded_threshold_is_seen() {
    let imported = read("sklearn-tree.json", &Options::default());
    let Document::Tree(model) = &imported.document else { panic!("one tree") };
    let mut nodes = model.nodes().to_vec();
    for node in &mut nodes {
        if let treeline_model::Node::Inner { threshold, .. } = node {
            *threshold += 1;
        }
    }
    let moved = treeline_model::Model::from_nodes("", model.classes().to_vec(), nodes).expect("the same tree");
    let decide = decide(Document::Tree(moved));
    let wrong = probes("sklearn-tree").into_iter().filter(|(vector, answer)| decide(vector) != u16::from(*answer)).count();
    assert!(wrong > 50, "{wrong} of the probes lie on a threshold");
}
