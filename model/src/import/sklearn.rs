//! scikit-learn: the arrays of a fitted tree or forest of classes, as the snippet in `docs/import.md` writes them.
//!
//! `predict` casts features to f32 and compares `<=` with f64 thresholds. A tree answers the class of its leaf's largest value; a forest
//! sums the trees' shares in f64, divides by their number, and answers the largest. A leaf's values are shares of one since 1.3 and counts
//! (weights) before, which a forest divides by their sum. Other ensembles have trees as well and decide by them in other ways, so a file says of
//! which type its model is.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::{ImportError, field, unsupported};
use super::forest::{Branch, Forest, Precision, Tree};
use super::json::json;
use crate::vote::{Arithmetic, Choice, Combination};

/// Values of a leaf whose sum is nearer to one are shares.
const SHARE_ERROR_MAX: f64 = 1e-6;
/// The first version whose leaves hold shares.
const SHARES_SINCE: (u32, u32) = (1, 3);
/// From here on numpy adds the counts of a leaf in another order than one after the other.
const COUNTS_IN_ORDER_MAX: usize = 7;
/// Sums of whole numbers up to here are exact.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The types that decide as this module does.
const TREES: [&str; 2] = ["DecisionTreeClassifier", "ExtraTreeClassifier"];
const FORESTS: [&str; 2] = ["RandomForestClassifier", "ExtraTreesClassifier"];

#[derive(Deserialize)]
struct Document {
    /// Module and name, as Python has them.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// The version of scikit-learn.
    #[serde(default)]
    version: Option<String>,
    classes: Vec<Value>,
    n_features: usize,
    #[serde(default)]
    feature_names: Option<Vec<String>>,
    trees: Vec<Arrays>,
}

#[derive(Deserialize)]
struct Arrays {
    children_left: Vec<i64>,
    children_right: Vec<i64>,
    feature: Vec<i64>,
    threshold: Vec<f64>,
    value: Vec<Vec<f64>>,
}

/// Whether the JSON has the snippet's fields.
pub(crate) fn looks_like(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Fields {
        trees: Option<IgnoredAny>,
        classes: Option<IgnoredAny>,
        format: Option<IgnoredAny>,
    }
    json::<Fields>(text).is_ok_and(|fields| fields.trees.is_some() && fields.classes.is_some() && fields.format.is_none())
}

pub(crate) fn parse(text: &[u8]) -> Result<Forest, ImportError> {
    let document: Document = json(text)?;
    let labels = document.classes.iter().enumerate().map(|(place, label)| match label {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(label.to_string()),
        _ => Err(field(format!("classes[{place}]"), label, "a text or a number")),
    });
    let labels = labels.collect::<Result<Vec<_>, _>>()?;
    let leaves = leaves(&document)?;
    let trees = document.trees.iter().enumerate();
    let trees =
        trees.map(|(index, arrays)| tree(format!("trees[{index}]"), arrays, leaves, labels.len())).collect::<Result<Vec<_>, _>>()?;
    let base = vec![0.0; labels.len()];
    Ok(Forest {
        trees,
        precision: Precision::F32,
        vote: Combination { choice: Choice::LargestMean, arithmetic: Arithmetic::F64, base, classes: Vec::new() },
        labels,
        names: document.feature_names,
        columns_count: document.n_features,
        columns: Vec::new(),
        notes: Vec::new(),
    })
}

/// What the values of a leaf are, and so what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Those of a single tree: the largest wins, whatever they are.
    Alone,
    /// A forest's shares of one.
    Shares,
    /// A forest's counts or weights.
    Counts,
}

/// What the leaves of the document's model hold; refuses types that decide in other ways, and files that do not say their type.
fn leaves(document: &Document) -> Result<Leaves, ImportError> {
    let Some(kind) = &document.kind else {
        let advice =
            "other ensembles of trees decide in other ways: write the file again with the snippet of docs/import.md, which names the type";
        return Err(unsupported("type", "a file that does not say its model's type", advice));
    };
    // sklearn.tree._classes.DecisionTreeClassifier; sklearn.tree.tree.DecisionTreeClassifier before 0.22.
    let name = kind.strip_prefix("sklearn.").and_then(|path| path.rsplit_once('.')).map(|(_, name)| name);
    let (is_tree, is_forest) = (name.is_some_and(|name| TREES.contains(&name)), name.is_some_and(|name| FORESTS.contains(&name)));
    if !is_tree && !is_forest {
        let advice = "only scikit-learn's own DecisionTreeClassifier, ExtraTreeClassifier, RandomForestClassifier and ExtraTreesClassifier decide as is known here";
        return Err(unsupported("type", kind, advice));
    }
    let version = document.version.as_deref().unwrap_or_default();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(field("version", format!("{version:?}"), "scikit-learn's version, as the snippet of docs/import.md writes it"));
    };
    match document.trees.len() {
        0 => Err(field("trees", "none", "at least one")),
        1 if is_tree => Ok(Leaves::Alone),
        count if is_tree => Err(field("trees", count, format!("one, the {kind}"))),
        _ if (major, minor) >= SHARES_SINCE => Ok(Leaves::Shares),
        _ => Ok(Leaves::Counts),
    }
}

fn tree(place: String, arrays: &Arrays, leaves: Leaves, classes: usize) -> Result<Tree, ImportError> {
    let nodes = arrays.children_left.len();
    let lengths = [
        ("children_right", arrays.children_right.len()),
        ("feature", arrays.feature.len()),
        ("threshold", arrays.threshold.len()),
        ("value", arrays.value.len()),
    ];
    if let Some((name, found)) = lengths.into_iter().find(|(_, length)| *length != nodes) {
        return Err(field(format!("{place}.{name}"), format!("{found} numbers"), format!("{nodes} as in children_left")));
    }
    let node = |node: usize| {
        let index = |name: &str, found: i64| {
            usize::try_from(found).map_err(|_| field(format!("{place}.{name}[{node}]"), found, "0 or more in an inner node"))
        };
        if arrays.children_left[node] == -1 && arrays.children_right[node] == -1 {
            return shares(&arrays.value[node], leaves, classes)
                .map(Branch::Leaf)
                .ok_or_else(|| field(format!("{place}.value[{node}]"), format!("{:?}", arrays.value[node]), shape(leaves, classes)));
        }
        Ok(Branch::Split {
            feature: index("feature", arrays.feature[node])?,
            threshold: arrays.threshold[node],
            strict: false,
            left: index("children_left", arrays.children_left[node])?,
            right: index("children_right", arrays.children_right[node])?,
        })
    };
    let nodes = (0..nodes).map(node).collect::<Result<_, _>>()?;
    Ok(Tree { place, output: 0, nodes, unused: 0 })
}

/// What a leaf's values add to the vote; `None` if they cannot be what they should.
fn shares(values: &[f64], leaves: Leaves, classes: usize) -> Option<Vec<f64>> {
    let sum: f64 = values.iter().sum();
    if values.len() != classes || !sum.is_finite() || sum <= 0.0 || values.iter().any(|value| *value < 0.0) {
        return None;
    }
    let is_whole = || sum <= WHOLE_MAX && values.iter().all(|value| value.fract() == 0.0);
    match leaves {
        Leaves::Alone => Some(values.to_vec()),
        Leaves::Shares => ((sum - 1.0).abs() < SHARE_ERROR_MAX).then(|| values.to_vec()),
        Leaves::Counts => (classes <= COUNTS_IN_ORDER_MAX || is_whole()).then(|| values.iter().map(|value| value / sum).collect()),
    }
}

fn shape(leaves: Leaves, classes: usize) -> String {
    let what = match leaves {
        Leaves::Alone => "not all 0",
        Leaves::Shares => "one together",
        Leaves::Counts if classes <= COUNTS_IN_ORDER_MAX => "not all 0",
        Leaves::Counts => "whole numbers, as other sums depend on numpy",
    };
    format!("{classes} numbers of 0 and above, one a class, {what}")
}
