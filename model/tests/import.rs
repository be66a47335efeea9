//! Imported models answer as their libraries did, on vectors of traffic and on the grid points around every threshold.
//!
//! `testdata/import/make.py` wrote the fixtures with the real libraries.

use std::fs;
use std::path::{Path, PathBuf};

use treeline_ebpf::feature::FEATURES;
use treeline_ebpf::{Features, tree};
use treeline_model::Model;
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

/// What the model decides: by the kernel's walk if it is one tree.
fn decide(model: Model) -> Box<Decide> {
    match model.to_array() {
        Err(_) => Box::new(move |vector| model.decide(*vector)),
        Ok(tree) => {
            Box::new(move |vector| tree::descend(&tree, &Features::from(vector.map(i64::cast_unsigned))).expect("a checked tree decides"))
        }
    }
}

/// Imports `file` and compares it with the library's answers; `classes` are ours for the library's.
#[track_caller]
fn check(file: &str, format: Format, trees: usize, unit: TimeUnit, classes: &[u16]) {
    check_with(file, format, trees, &Options { time_unit: Some(unit), ..Options::default() }, classes);
}

#[track_caller]
fn check_with(file: &str, format: Format, trees: usize, options: &Options, classes: &[u16]) -> Imported {
    let name = file.split('.').next().expect("a name");
    let imported = read(file, options);
    assert_eq!(imported.format, format);
    assert_eq!(imported.model.trees().count(), trees);
    assert!(imported.contract.is_exact() && imported.contract.splits > 10, "{:?}", imported.contract);
    let decide = decide(imported.model.clone());
    let wrong: Vec<_> = probes(name).into_iter().filter(|(vector, answer)| decide(vector) != classes[usize::from(*answer)]).collect();
    assert!(wrong.is_empty(), "{} answers differ, the first for {:?}", wrong.len(), wrong[0]);
    let text = imported.model.to_json();
    assert!(matches!(Model::read_bytes(text.as_bytes()), Ok(again) if again == imported.model && again.to_json() == text));
    imported
}

/// How many of the library's answers the import of `file` gets wrong.
fn wrong(file: &str, options: &Options) -> usize {
    let decide = decide(read(file, options).model);
    probes(file.split('.').next().expect("a name")).into_iter().filter(|(vector, answer)| decide(vector) != u16::from(*answer)).count()
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
    let Ok(tree) = imported.model.tree() else { panic!("one tree") };
    let mut nodes = tree.nodes().to_vec();
    for node in &mut nodes {
        if let treeline_model::Node::Inner { threshold, .. } = node {
            *threshold += 1;
        }
    }
    let moved = Model::from_nodes("", imported.model.classes().to_vec(), nodes).expect("the same tree");
    let decide = decide(moved);
    let wrong = probes("sklearn-tree").into_iter().filter(|(vector, answer)| decide(vector) != u16::from(*answer)).count();
    assert!(wrong > 50, "{wrong} of the probes lie on a threshold");
}

#[test]
fn extra_trees_on_the_integers_of_a_table_decide_as_they_do() {
    let imported = check_with("sklearn-fixed.json", Format::Sklearn, 5, &Options::default(), &[0, 1, 2]);
    assert_eq!((imported.contract.unreachable, imported.contract.short_times), (vec![], None));
}

/// The names of a table's columns of integers, for a model that has none.
fn fixed() -> Options {
    let names = treeline_ebpf::feature::NAMES.map(|(name, _)| format!("{name}_fixed"));
    Options { features: Some(names.to_vec()), ..Options::default() }
}

#[test]
fn xgboost_trees_on_the_integers_of_a_table_decide_as_they_do_once_their_columns_are_named() {
    let imported = check_with("xgboost-fixed.json", Format::Xgboost, 3, &fixed(), &[0, 1]);
    assert_eq!((imported.contract.unreachable, imported.contract.short_times), (vec![], None));
    let unnamed = read("xgboost-fixed.json", &Options::default()).contract;
    assert!(unnamed.unreachable.len() * 2 > unnamed.splits, "{} of {}", unnamed.unreachable.len(), unnamed.splits);
    assert!(wrong("xgboost-fixed.json", &Options::default()) > 100, "the names make a difference");
    let unit = Options { time_unit: Some(TimeUnit::Ms), ..fixed() };
    let source = Source::read(folder().join("xgboost-fixed.json"), None).expect("a fixture");
    let refused = import(&source, &unit).expect_err("integers are in ns").to_string();
    assert!(refused.starts_with("--time-unit: found ms, expected ns, or no unit"), "{refused}");
}

#[test]
fn an_early_stopped_classifier_of_xgboost_keeps_its_best_rounds_as_its_predict_does() {
    let imported = check_with("xgboost-early.json", Format::Xgboost, 24, &Options::default(), &[0, 1]);
    assert!(imported.notes.iter().any(|note| note.starts_with("12 of 15 rounds are imported")), "{:?}", imported.notes);
    let all = Options { rounds: Some(15), ..Options::default() };
    assert!(wrong("xgboost-early.json", &all) > 100, "the rounds make a difference");
}

#[test]
fn an_early_stopped_booster_of_xgboost_says_which_rounds_are_wanted() {
    let source = Source::read(folder().join("xgboost-early-native.json"), None).expect("a fixture");
    let refused = |rounds| import(&source, &Options { rounds, ..Options::default() }).expect_err("which?").to_string();
    assert_eq!(
        refused(None),
        "learner.attributes.best_iteration: found 11, expected --rounds 12 for the best ones, as XGBClassifier.predict takes them, or --rounds 15 for all, as Booster.predict does"
    );
    assert_eq!(refused(Some(0)), "--rounds: found 0, expected 1 to 15, the rounds of the model");
    assert_eq!(refused(Some(16)), "--rounds: found 16, expected 1 to 15, the rounds of the model");
    // The probes are Booster.predict's.
    check_with("xgboost-early-native.json", Format::Xgboost, 30, &Options { rounds: Some(15), ..Options::default() }, &[0, 1]);
    assert!(wrong("xgboost-early-native.json", &Options { rounds: Some(12), ..Options::default() }) > 100);
}

#[test]
fn an_early_stopped_booster_of_lightgbm_has_its_best_rounds_in_the_file() {
    check("lightgbm-early.txt", Format::Lightgbm, 6, TimeUnit::Ns, &[0, 1]);
    let three = Options { rounds: Some(3), ..Options::default() };
    assert!(read("lightgbm-early.txt", &three).model.trees().count() == 3);
}

#[test]
fn rounds_are_refused_of_a_model_that_has_none() {
    let source = Source::read(folder().join("sklearn-tree.json"), None).expect("a fixture");
    let refused = import(&source, &Options { rounds: Some(1), ..Options::default() }).expect_err("no rounds").to_string();
    assert_eq!(refused, "--rounds: found sklearn, expected a boosted model of XGBoost or LightGBM");
}

#[test]
fn models_that_decide_by_their_trees_in_other_ways_are_refused_by_name() {
    for (file, named) in [
        ("adaboost.json", "type: sklearn.ensemble._weight_boosting.AdaBoostClassifier"),
        ("bagging.json", "type: sklearn.ensemble._bagging.BaggingClassifier"),
        ("voting.json", "type: sklearn.ensemble._voting.VotingClassifier"),
        ("gblinear.json", "learner.gradient_booster.name: gblinear"),
        ("dart.json", "learner.gradient_booster.name: dart"),
        ("hinge.json", "learner.objective.name: binary:hinge"),
        ("vector.json", "trees[0].tree_param.size_leaf_vector: a vector leaf"),
        ("forest.txt", "average_output: boosting rf"),
        ("one-against-all.txt", "header: objective: multiclassova"),
        ("zero-missing.txt", "Tree=0 (line 12): decision_type[0]: zero as missing"),
        ("custom.txt", "header: objective: a custom objective"),
        ("base-of-class-1.onnx", "TreeEnsembleClassifier.base_values: a base beside weights of class 1"),
        ("leaf-without-class.onnx", "leaf weights: a leaf without one for class or target 0"),
        ("leaf-without-target.onnx", "leaf weights: a leaf without one for class or target 2"),
        ("logistic-target.onnx", "post_transform: LOGISTIC on 1 targets"),
    ] {
        let source = Source::read(folder().join("rejected").join(file), None).expect("a known format");
        let refused = import(&source, &Options::default()).expect_err(file).to_string();
        assert!(refused.starts_with(&format!("{named} is not supported; ")), "{file}: {refused}");
    }
}

/// One tree with one split, as the snippet writes it.
fn stump(kind: &str, feature: usize, threshold: f64) -> Source {
    let text = format!(
        r#"{{{kind}"classes": [0, 1], "n_features": 12, "trees": [{{"children_left": [1, -1, -1], "children_right": [2, -1, -1],
        "feature": [{feature}, -2, -2], "threshold": [{threshold:?}, -2.0, -2.0], "value": [[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]}}]}}"#
    );
    Source::of(text.into_bytes(), Some(Format::Sklearn)).expect("a file's format")
}

const TREE: &str = r#""type": "sklearn.tree._classes.DecisionTreeClassifier", "version": "1.9.1", "#;

#[test]
fn a_file_of_scikit_learn_that_does_not_say_its_type_and_version_is_refused() {
    let refused = |kind: &str| import(&stump(kind, 3, 100.5), &Options::default()).map(drop).map_err(|error| error.to_string());
    assert_eq!(refused(TREE), Ok(()));
    for (kind, expected) in [
        ("", "type: a file that does not say its model's type is not supported; "),
        (r#""type": "sklearn.tree._classes.DecisionTreeClassifier", "#, "version: found \"\", expected scikit-learn's version"),
        (
            r#""type": "sklearn.tree._classes.DecisionTreeClassifier", "version": "dev", "#,
            "version: found \"dev\", expected scikit-learn's",
        ),
        (r#""type": "__main__.RandomForestClassifier", "version": "1.9.1", "#, "type: __main__.RandomForestClassifier is not supported; "),
        (
            r#""type": "sklearn.tree._classes.DecisionTreeRegressor", "version": "1.9.1", "#,
            "type: sklearn.tree._classes.DecisionTreeRegressor is",
        ),
        (r#""type": "RandomForestClassifier", "version": "1.9.1", "#, "type: RandomForestClassifier is not supported; "),
    ] {
        let error = refused(kind).expect_err("no type");
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_threshold_that_nothing_reaches_is_told() {
    let told = |feature, threshold| {
        let contract = import(&stump(TREE, feature, threshold), &Options::default()).expect("a tree").contract;
        contract.unreachable.into_iter().map(|split| (split.feature, split.range)).collect::<Vec<_>>()
    };
    assert_eq!(told(1, 65_535.5), [("responder_port", (0.0, 65_535.0))]);
    assert_eq!(told(2, 255.0), [("protocol", (0.0, 255.0))]);
    assert_eq!(told(3, 19.5), [("length", (20.0, 65_575.0))]);
    assert_eq!(told(8, 1.5), [("direction_mean", (0.0, 1.0))]);
    assert_eq!(told(10, 7.3e12), [("gap_deviation", (0.0, 7.2e12))]);
    assert_eq!(told(9, -0.5), [("length_deviation", (0.0, 65_575.0))]);
    for (feature, threshold) in [(1, 65_534.5), (2, 254.5), (3, 20.0), (8, 0.99), (4, 7.1e12), (9, 0.0)] {
        assert_eq!(told(feature, threshold), [], "{threshold}");
    }
}

#[test]
fn times_that_only_another_unit_explains_are_told() {
    let told = |feature, threshold, time_unit| {
        let options = Options { time_unit, ..Options::default() };
        import(&stump(TREE, feature, threshold), &options).expect("a tree").contract.short_times
    };
    assert_eq!(told(4, 30.5, None), Some(30.5));
    assert_eq!(told(7, 30.5, Some(TimeUnit::S)), None);
    assert_eq!(told(7, 2e6, None), None);
    assert_eq!(told(3, 30.5, None), None, "no time");
}

#[test]
fn a_threshold_that_moved_between_two_values_of_its_feature_is_not_listed() {
    let moved = |feature, threshold| import(&stump(TREE, feature, threshold), &Options::default()).expect("a tree").contract.moved.len();
    // 32 bits move all of these on the grid. Ports are whole; a mean of lengths is not; gaps are, but 32 bits do not hold all of them.
    assert_eq!(moved(1, 40_000.4), 0);
    assert_eq!(moved(3, 1_000.3), 0);
    assert_eq!(moved(6, 1_000.3), 1);
    assert_eq!(moved(4, 16_777_217.5), 0);
    assert_eq!(moved(4, 33_554_433.5), 1);
    assert_eq!(moved(2, 300.3), 0, "no protocol is there");
}
