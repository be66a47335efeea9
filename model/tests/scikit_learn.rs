//! The trainer against the real scikit-learn: the same rows and settings give the same tree, up to ties.
//!
//! Both trees are walked side by side. Where they split alike, the rows' number, the impurity and the threshold must be equal, and both children are compared.
//! Where they split otherwise, both splits must gain the same, which is a tie; below it the trees may differ. Ties must be few, the total impurity and the
//! importances the same up to what ties change, and rows held out predicted alike: no more of them otherwise than twice what scikit-learn itself changes with
//! another seed, or one in a thousand.
//!
//! scikit-learn rounds features to single precision. So the rows are made of numbers that it holds; one case has numbers as traffic has them, and
//! compares totals and predictions only.
//!
//! `TREELINE_PYTHON` names a Python with numpy and scikit-learn 1.9. Without it every trial is reported as ignored, by name; where the environment
//! has `CI` that is a failure.

#[path = "support/scikit_learn.rs"]
mod scikit_learn;
#[path = "support/traffic.rs"]
mod traffic;

use std::ops::ControlFlow;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use scikit_learn::{Fitted, ScikitLearn};
use traffic::Random;
use treeline_ebpf::feature::FEATURES;
use treeline_model::Node;
use treeline_model::train::{Grown, Settings, Table, grow};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = scikit_learn::python().is_none();
    if missing && std::env::var_os("CI").is_some() {
        eprintln!("TREELINE_PYTHON is not set, and CI is: name a Python with numpy and scikit-learn");
        return ExitCode::FAILURE;
    }
    let trials: Vec<_> = trials().into_iter().map(|trial| trial.with_ignored_flag(missing)).collect();
    if missing {
        println!("{} trials are ignored: TREELINE_PYTHON names no Python with scikit-learn", trials.len());
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What is compared, and how closely.
struct Case {
    classes: u16,
    weighted: bool,
    /// Features as single precision holds them; else as traffic has them, and scikit-learn rounds them.
    exact: bool,
    settings: Settings,
    /// Whether scikit-learn is told how many leaves there may be; else it grows depth first.
    limited: bool,
}

const SETTINGS: Settings = Settings { depth_max: 10, leaves_max: 1000, leaf_rows_min: 1, seed: None };
const CASE: Case = Case { classes: 2, weighted: false, exact: true, settings: SETTINGS, limited: true };

fn trials() -> Vec<Trial> {
    let case = |name: &str, case: Case| Trial::test(name, move || check(&case));
    let few = Settings { depth_max: 20, leaves_max: 50, ..SETTINGS };
    let deep = Settings { depth_max: 8, leaves_max: 4096, ..SETTINGS };
    let large = Settings { leaf_rows_min: 60, ..SETTINGS };
    vec![
        case("two_classes_give_the_same_tree", CASE),
        case("eight_classes_give_the_same_tree", Case { classes: 8, ..CASE }),
        case("weighted_rows_give_the_same_tree", Case { classes: 3, weighted: true, ..CASE }),
        case("few_leaves_are_the_same_ones", Case { settings: few, ..CASE }),
        case("large_leaves_are_the_same_ones", Case { classes: 3, weighted: true, settings: large, ..CASE }),
        case("depth_first_growth_gives_the_same_tree", Case { settings: deep, limited: false, ..CASE }),
        case("features_of_traffic_give_the_same_tree", Case { exact: false, ..CASE }),
        Trial::test("a_changed_label_is_noticed", canary),
    ]
}

/// Made-up rows; if `exact`, coarser, so that single precision holds them.
fn rows(case: &Case, rows: usize, seed: u64) -> Table {
    let mut table = traffic::table(rows, case.classes, seed);
    if case.exact {
        table.columns.iter_mut().flatten().for_each(|value| *value = (*value >> 12).min((1 << 24) - 1));
    }
    if case.weighted {
        let mut random = Random(seed);
        table.weights.iter_mut().for_each(|weight| *weight = 1.0 / f32::from(1 + u8::try_from(random.below(200)).expect("below 200")));
    }
    table
}

fn check(case: &Case) -> Result<(), Failed> {
    let (table, held_out) = (rows(case, 60_000, 11), rows(case, 60_000, 12));
    let grown = grow(&table, &case.settings, |_| ControlFlow::Continue(()))?;
    let python = scikit_learn::python().ok_or("ignored without it")?;
    let mut other = ScikitLearn::new(&python, &table, &held_out, if case.exact { 1 } else { 1 << 16 })?;
    let limit = case.limited.then_some(case.settings.leaves_max);
    let mut predictions = vec![];
    for seed in [1, 2] {
        let fitted = other.fit(&Settings { seed: Some(seed), ..case.settings }, limit)?;
        predictions.push(other.predictions()?);
        compare(case, &grown, &fitted)?;
    }
    let ours: Vec<u16> = (0..held_out.len()).map(|row| decide(&grown.nodes, &held_out.features(row))).collect();
    let different = |a: &[u16], b: &[u16]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let (found, own) = (different(&ours, &predictions[0]), different(&predictions[0], &predictions[1]));
    println!("of {} rows held out {found} are predicted otherwise, {own} by scikit-learn with another seed", ours.len());
    // What single precision rounds moves more rows than ties do.
    let found_max = if case.exact { (2 * own).max(ours.len() / 1000) } else { ours.len() / 100 };
    if found > found_max {
        return Err(format!("of {} rows held out {found} are predicted otherwise", ours.len()).into());
    }
    Ok(())
}

/// The trees' totals, and, where scikit-learn saw the same numbers, the walk over both.
fn compare(case: &Case, grown: &Grown, fitted: &Fitted) -> Result<(), Failed> {
    let Walk { same, tied, short } = if case.exact { walk(grown, fitted)? } else { Walk::default() };
    let impurities = (grown.impurity(), fitted.leaf_impurity());
    let importances = grown.importances().into_iter().zip(&fitted.importances).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let text =
        format!("{same} nodes are the same, {tied} tied, {short} cut short; impurities {impurities:?}, importances {importances:.4} apart");
    println!("{text}");
    let close = (impurities.0 - impurities.1).abs() < 1e-3 * impurities.1 && importances < 0.02;
    // Where leaves are limited, a tie elsewhere changes which of the last splits are made.
    let short_max = if case.limited && tied > 0 { same / 100 } else { 0 };
    if tied > same / 10 || short > short_max || !close { Err(text.into()) } else { Ok(()) }
}

/// How many nodes of a tree compare how with scikit-learn's.
#[derive(Default)]
struct Walk {
    same: usize,
    /// Split otherwise for the same gain; what lies below is not compared.
    tied: usize,
    /// Split in one tree only.
    short: usize,
}

fn walk(grown: &Grown, fitted: &Fitted) -> Result<Walk, Failed> {
    let mut walk = Walk::default();
    let mut open = vec![(0, 0)];
    while let Some((node, at)) = open.pop() {
        let detail = &grown.details[node];
        let (found, expected) = ((detail.rows_count, detail.impurity), (fitted.rows[at], fitted.impurity[at]));
        if found.0 != expected.0 || (found.1 - expected.1).abs() > 1e-12 {
            return Err(format!("node {node}: rows and impurity {found:?}, scikit-learn's node {at}: {expected:?}").into());
        }
        let children = usize::try_from(fitted.left[at]).ok().zip(usize::try_from(fitted.right[at]).ok());
        match (grown.nodes[node], children) {
            (Node::Leaf { .. }, None) => walk.same += 1,
            (Node::Inner { feature, threshold, left, right }, Some((left_at, right_at))) => {
                let split = (i64::from(feature), threshold, detail.decrease);
                let other = (fitted.feature[at], fitted.threshold[at], decrease(fitted, at, left_at, right_at));
                if split.0 == other.0 && (whole(split.1) - other.1.floor()).abs() < 0.5 {
                    walk.same += 1;
                    open.extend([(usize::from(left), left_at), (usize::from(right), right_at)]);
                } else if (split.2 - other.2).abs() <= 1e-12 {
                    walk.tied += 1;
                } else {
                    return Err(
                        format!("node {node} splits (feature, threshold, gain) {split:?}, scikit-learn's node {at} {other:?}").into()
                    );
                }
            }
            _ => walk.short += 1,
        }
    }
    Ok(walk)
}

/// What a split of scikit-learn's gains.
fn decrease(fitted: &Fitted, node: usize, left: usize, right: usize) -> f64 {
    let part = |node: usize| fitted.weight[node] * fitted.impurity[node];
    (part(node) - part(left) - part(right)) / fitted.weight[0]
}

#[expect(clippy::cast_precision_loss, reason = "rows of single precision have small thresholds")]
fn whole(threshold: i64) -> f64 {
    threshold as f64
}

fn decide(nodes: &[Node], features: &[i64; FEATURES]) -> u16 {
    let mut index = 0;
    loop {
        match nodes[index] {
            Node::Leaf { class } => return class,
            Node::Inner { feature, threshold, left, right } => {
                index = if features[usize::from(feature)] <= threshold { left } else { right }.into();
            }
        }
    }
}

/// The comparison must fail when one row of many has another class.
fn canary() -> Result<(), Failed> {
    let mut table = rows(&CASE, 5000, 11);
    let python = scikit_learn::python().ok_or("ignored without it")?;
    let fitted = ScikitLearn::new(&python, &table, &table, 1)?.fit(&CASE.settings, Some(CASE.settings.leaves_max))?;
    table.classes[1234] ^= 1;
    let grown = grow(&table, &CASE.settings, |_| ControlFlow::Continue(()))?;
    if compare(&CASE, &grown, &fitted).is_ok() {
        return Err("the comparison did not notice".into());
    }
    Ok(())
}
