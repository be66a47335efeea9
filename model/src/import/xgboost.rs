//! XGBoost: the JSON of `Booster.save_model("model.json")`, booster gbtree, objectives binary:logistic and multi:softprob.
//!
//! `predict` casts features to f32 and compares `<` with f32 thresholds; margins start at the base score and add leaves in f32, in the
//! file's order; a sigmoid or softmax in f32 follows, and the class is above one half, or the first of the largest.

mod round;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::bound::bound_f32;
use super::error::{ImportError, field, unsupported};
use super::forest::{Branch, Forest, Precision, Tree};
use super::json::json;
use crate::vote::{Arithmetic, Choice, Combination};

/// Classes that a booster may have here.
const CLASSES_MAX: usize = 256;

#[derive(Deserialize)]
struct Document {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    parameters: Parameters,
    objective: Objective,
}

#[derive(Deserialize, Default)]
struct Attributes {
    best_iteration: Option<String>,
    /// There if the booster is that of a scikit-learn interface.
    scikit_learn: Option<String>,
}

#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    /// Absent in some boosters of other kinds.
    model: Option<Model>,
}

/// Boosters of other kinds have other fields: all may be missing until the kind is known.
#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    tree_info: Vec<usize>,
    #[serde(default)]
    trees: Vec<Arrays>,
    #[serde(default)]
    iteration_indptr: Vec<usize>,
    #[serde(default)]
    gbtree_model_param: ModelParameters,
}

#[derive(Deserialize, Default)]
struct ModelParameters {
    #[serde(default)]
    num_parallel_tree: Option<String>,
}

#[derive(Deserialize)]
struct Arrays {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f32>,
    #[serde(default)]
    split_type: Vec<u8>,
    tree_param: TreeParameters,
}

#[derive(Deserialize)]
struct TreeParameters {
    #[serde(default)]
    num_deleted: Option<String>,
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// Whether the JSON has XGBoost's field.
pub(crate) fn looks_like(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Fields {
        learner: Option<IgnoredAny>,
    }
    json::<Fields>(text).is_ok_and(|fields| fields.learner.is_some())
}

pub(crate) fn parse(text: &[u8], rounds: Option<usize>) -> Result<Forest, ImportError> {
    let Document { learner } = json(text)?;
    let booster = learner.gradient_booster;
    let Some(model) = booster.model.filter(|_| booster.name == "gbtree") else {
        return Err(unsupported("learner.gradient_booster.name", booster.name, "train with booster gbtree"));
    };
    if let Some(column) = learner.feature_types.iter().position(|kind| kind == "c") {
        return Err(unsupported(format!("learner.feature_types[{column}]"), "a column of categories", "train on numbers"));
    }
    let parameters = learner.parameters;
    if parameters.num_target.as_deref().is_some_and(|targets| targets != "1") {
        return Err(unsupported("learner.learner_model_param.num_target", "more than one target", "train one model a target"));
    }
    let classes: usize = number("num_class", &parameters.num_class)?;
    let (vote, outputs) = vote(&learner.objective.name, classes, &parameters.base_score)?;
    if model.tree_info.len() != model.trees.len() || model.trees.is_empty() {
        let found = format!("{} numbers for {} trees", model.tree_info.len(), model.trees.len());
        return Err(field("learner.gradient_booster.model.tree_info", found, "one number a tree, and a tree"));
    }
    let (wanted, note) = round::trees(&model, &learner.attributes, vote.base.len(), rounds)?;
    let trees = model.trees.iter().zip(model.tree_info).take(wanted).enumerate();
    let trees = trees.map(|(index, (arrays, output))| {
        if output >= vote.base.len() {
            return Err(field(format!("tree_info[{index}]"), output, format!("below {}", vote.base.len())));
        }
        tree(format!("trees[{index}]"), arrays, output)
    });
    let trees = trees.collect::<Result<_, _>>()?;
    let mut notes = vec!["directions of missing values are dropped: no feature is ever missing".to_owned()];
    notes.extend(note);
    Ok(Forest {
        trees,
        precision: Precision::F32,
        vote,
        labels: (0..outputs).map(|class| class.to_string()).collect(),
        names: Some(learner.feature_names).filter(|names| !names.is_empty()),
        columns_count: number("num_feature", &parameters.num_feature)?,
        columns: Vec::new(),
        notes,
    })
}

/// The vote of an objective, and how many classes it tells apart.
fn vote(objective: &str, classes: usize, base_score: &str) -> Result<(Combination, usize), ImportError> {
    let base = base(base_score)?;
    let arithmetic = Arithmetic::F32;
    match objective {
        "binary:logistic" => match *base.as_slice() {
            [share] if share > 0.0 && share < 1.0 => {
                let bound = bound_f32(|margin| 1.0 / ((-margin).exp() + 1.0));
                let margin = -(1.0 / share - 1.0).ln();
                Ok((Combination { choice: Choice::Above(bound), arithmetic, base: vec![margin.into()], classes: Vec::new() }, 2))
            }
            _ => Err(field("learner.learner_model_param.base_score", base_score, "one number between 0 and 1")),
        },
        "multi:softprob" => {
            if !(2..=CLASSES_MAX).contains(&classes) {
                return Err(field("learner.learner_model_param.num_class", classes, format!("2 to {CLASSES_MAX}")));
            }
            let base = match base.as_slice() {
                [all] => vec![f64::from(*all); classes],
                each if each.len() == classes => each.iter().map(|&one| one.into()).collect(),
                _ => return Err(field("learner.learner_model_param.base_score", base_score, "one number, or one a class")),
            };
            Ok((Combination { choice: Choice::LargestSoftmax, arithmetic, base, classes: Vec::new() }, classes))
        }
        other => Err(unsupported("learner.objective.name", other, "train with binary:logistic or multi:softprob")),
    }
}

/// `5E-1` as older versions write it, or `[5E-1]`, `[1E-1,2E-1]` as 3.1 does.
fn base(text: &str) -> Result<Vec<f32>, ImportError> {
    let numbers = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    let numbers: Result<Vec<f32>, _> = numbers.map(|number| number.trim().parse()).collect();
    numbers.map_err(|_| field("learner.learner_model_param.base_score", format!("{text:?}"), "a number, or a list of them"))
}

fn number(name: &str, text: &str) -> Result<usize, ImportError> {
    text.parse().map_err(|_| field(format!("learner.learner_model_param.{name}"), format!("{text:?}"), "a whole number"))
}

fn tree(place: String, arrays: &Arrays, output: usize) -> Result<Tree, ImportError> {
    let nodes = arrays.left_children.len();
    let lengths = [
        ("right_children", arrays.right_children.len()),
        ("split_indices", arrays.split_indices.len()),
        ("split_conditions", arrays.split_conditions.len()),
    ];
    if let Some((name, found)) = lengths.into_iter().find(|(_, length)| *length != nodes) {
        return Err(field(format!("{place}.{name}"), format!("{found} numbers"), format!("{nodes} as in left_children")));
    }
    if let Some(node) = arrays.split_type.iter().position(|kind| *kind != 0) {
        return Err(unsupported(format!("{place}.split_type[{node}]"), "a categorical split", "train on numbers"));
    }
    if arrays.tree_param.size_leaf_vector.as_deref().is_some_and(|size| !matches!(size, "0" | "1")) {
        return Err(unsupported(format!("{place}.tree_param.size_leaf_vector"), "a vector leaf", "train with one_output_per_tree"));
    }
    let unused = arrays.tree_param.num_deleted.as_deref().unwrap_or("0");
    let unused = unused.parse().map_err(|_| field(format!("{place}.tree_param.num_deleted"), unused, "a whole number"))?;
    let node = |node: usize| {
        let child = |name: &str, found: i64| {
            usize::try_from(found)
                .map_err(|_| field(format!("{place}.{name}[{node}]"), found, "0 or more, or -1 for both children of a leaf"))
        };
        let (left, right) = (arrays.left_children[node], arrays.right_children[node]);
        // A leaf's value stands where a split's threshold would.
        let number = f64::from(arrays.split_conditions[node]);
        if (left, right) == (-1, -1) {
            return Ok(Branch::Leaf(vec![number]));
        }
        Ok(Branch::Split {
            feature: arrays.split_indices[node],
            threshold: number,
            strict: true,
            left: child("left_children", left)?,
            right: child("right_children", right)?,
        })
    };
    let nodes = (0..nodes).map(node).collect::<Result<_, ImportError>>()?;
    Ok(Tree { place, output, nodes, unused })
}
