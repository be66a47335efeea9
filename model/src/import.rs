//! Models of other libraries -> a [`Model`] that decides, on the classifier's grid, as the library decides.
//!
//! Each format's file reads into one intermediate form (`forest`): trees with thresholds as written, how the library compares, how it votes.
//! `grid` then puts each threshold where the library's own comparison turns, and `contract` checks that and lists what it moved.
//!
//! Not here: training, and running anything that is not a tree (a graph that scales its input first is refused).

mod bound;
mod class;
mod column;
mod contract;
mod error;
mod forest;
mod grid;
mod json;
mod lightgbm;
mod onnx;
mod paper;
mod reach;
mod sklearn;
mod source;
mod unit;
mod xgboost;

pub use contract::{Contract, Unreachable, Witness};
pub use error::ImportError;
pub use source::{BYTES_MAX, Format, Source};
pub use unit::TimeUnit;

use serde_json::{Map, json};

use crate::vote::Estimator;
use crate::{Model, Node, Rule, Vote};
use forest::Forest;

/// What the caller says about a model; the default leaves all to the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The unit of the times that the model was trained on. Required where the format is the paper's; else ns.
    pub time_unit: Option<TimeUnit>,
    /// The rounds of a boosted model to import, from the first on. Default: those that the library's own predict takes.
    pub rounds: Option<usize>,
    /// The classifier's names of the model's columns, in the model's order, with `_fixed` where they hold the fixed-point integers.
    pub features: Option<Vec<String>>,
    /// Names for the model's classes, in its order, benign first.
    pub classes: Option<Vec<String>>,
    /// The model's own classes that are malicious; all others become benign.
    pub malicious: Vec<String>,
}

/// An imported model, and what the import did to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Where the model came from.
    pub format: Format,
    /// The model.
    pub model: Model,
    /// Whether it decides as the library, and what was moved for that.
    pub contract: Contract,
    /// What a reader should know: what was dropped, what was assumed.
    pub notes: Vec<String>,
}

/// Imports `source`. Any bytes give a model or an error.
pub fn import(source: &Source, options: &Options) -> Result<Imported, ImportError> {
    let mut forest = match source {
        Source::Xgboost(text) => xgboost::parse(text, options.rounds)?,
        Source::Lightgbm(text) => lightgbm::parse(text, options.rounds)?,
        _ if options.rounds.is_some() => {
            return Err(error::field("--rounds", source.format().name(), "a boosted model of XGBoost or LightGBM"));
        }
        Source::Sklearn(text) => sklearn::parse(text)?,
        Source::Paper(arrays) => paper::parse(arrays, options.time_unit)?,
        Source::Onnx(bytes) => onnx::parse(bytes)?,
    };
    forest.check()?;
    column::resolve(&mut forest, options)?;
    let unit = options.time_unit.unwrap_or_default();
    let (classes, outputs) = class::resolve(&forest, options)?;
    forest.vote.classes = outputs;
    let members = grid::place(&forest, unit)?;
    let contract = contract::check(&forest, &members, unit);
    forest.notes.extend(contract::depends_on_width(&forest, unit));
    let description = format!("imported from {}: {} trees", source.format().name(), forest.trees.len());
    let mut training = Map::new();
    training.insert("imported".into(), json!({"format": source.format().name(), "time_unit": unit.name(), "classes": forest.labels}));
    let model = if let [estimator] = members.as_slice() {
        Model::from_nodes(description, classes, single(&forest, estimator))?
    } else {
        Model::new(description, classes, Rule::Vote(Vote::new(forest.vote.clone(), members)?))?
    };
    Ok(Imported { format: source.format(), model: model.with_training(training), contract, notes: forest.notes })
}

/// One tree needs no vote: each leaf's values are already a class.
fn single(forest: &Forest, estimator: &Estimator) -> Vec<Node> {
    let nodes = estimator.nodes.iter().map(|&node| match node {
        Node::Leaf { class: row } => {
            let leaf = (estimator.output, estimator.values[usize::from(row)].as_slice());
            Node::Leaf { class: forest.vote.class([leaf].into_iter()) }
        }
        inner @ Node::Inner { .. } => inner,
    });
    nodes.collect()
}
