//! scikit-learn: the arrays of a fitted `DecisionTreeClassifier` or `RandomForestClassifier`, as the snippet in `docs/import.md` writes them.
//!
//! `predict` casts features to f32 and compares `<=` with f64 thresholds. A tree answers the class of its leaf's largest value; a forest
//! sums the trees' shares in f64, divides by their number, and answers the largest. A leaf's values are shares of one since 1.3 and counts
//! (weights) before, which a forest divides by their sum.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::{ImportError, field};
use super::forest::{Branch, Forest, Precision, Tree};
use super::json::json;
use crate::ensemble::{Arithmetic, Rule, Vote};

/// Values of a leaf whose sum is nearer to one are shares.
const SHARE_ERROR_MAX: f64 = 1e-6;

#[derive(Deserialize)]
struct Document {
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
    let trees = document.trees.iter().enumerate();
    let trees = trees.map(|(index, arrays)| tree(format!("trees[{index}]"), arrays, labels.len())).collect::<Result<Vec<_>, _>>()?;
    if trees.is_empty() {
        return Err(field("trees", "none", "at least one"));
    }
    let base = vec![0.0; labels.len()];
    Ok(Forest {
        trees,
        precision: Precision::F32,
        vote: Vote { rule: Rule::LargestMean, arithmetic: Arithmetic::F64, base, classes: Vec::new() },
        labels,
        columns: document.feature_names,
        columns_count: document.n_features,
        notes: Vec::new(),
    })
}

fn tree(place: String, arrays: &Arrays, classes: usize) -> Result<Tree, ImportError> {
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
            return shares(&arrays.value[node], classes)
                .map(Branch::Leaf)
                .ok_or_else(|| field(format!("{place}.value[{node}]"), format!("{:?}", arrays.value[node]), shape(classes)));
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

/// A leaf's values as shares of one; `None` if they are none.
fn shares(values: &[f64], classes: usize) -> Option<Vec<f64>> {
    let sum: f64 = values.iter().sum();
    if values.len() != classes || !sum.is_finite() || sum <= 0.0 || values.iter().any(|value| *value < 0.0) {
        return None;
    }
    let divisor = if (sum - 1.0).abs() < SHARE_ERROR_MAX { 1.0 } else { sum };
    Some(values.iter().map(|value| value / divisor).collect())
}

fn shape(classes: usize) -> String {
    format!("{classes} numbers of 0 and above, one a class, not all 0")
}
