//! features -> class: many trees and what their leaves add up to (rule 11).

use treeline_model::vote::{Arithmetic, Choice};
use treeline_model::{Model, Node, RealNode, Rule};

use super::feature::{FEATURES, Feature};
use super::tree::{FloatNode, FloatTree};

/// What a model decides by, in real numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum FloatModel {
    /// One tree.
    Tree(FloatTree),
    /// Trees that vote.
    Vote(FloatVote),
}

/// Trees whose leaves add to sums.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatVote {
    /// A tree, whose leaves number rows; the rows; and the output to which a row's first number goes.
    trees: Vec<(FloatTree, Vec<Vec<f64>>, usize)>,
    /// Where the sum of each output starts.
    base: Vec<f64>,
    /// Whether each sum is kept in 32 bits.
    is_single: bool,
    choice: Choice,
    classes: Vec<u16>,
}

impl From<FloatTree> for FloatModel {
    fn from(tree: FloatTree) -> Self {
        Self::Tree(tree)
    }
}

impl FloatModel {
    /// The model's rule in real numbers.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let vote = match model.rule() {
            Rule::Tree(tree) => return Self::Tree(float(tree.nodes())),
            Rule::Vote(vote) => vote,
        };
        let combination = vote.combination();
        Self::Vote(FloatVote {
            trees: vote.estimators().iter().map(|tree| (float(&tree.nodes), tree.values.clone(), tree.output)).collect(),
            base: combination.base.clone(),
            is_single: combination.arithmetic == Arithmetic::F32,
            choice: combination.choice,
            classes: combination.classes.clone(),
        })
    }

    /// The class, and whether fixed point may have left a path somewhere.
    pub(super) fn decide(&self, features: &[Feature; FEATURES]) -> (u16, bool) {
        match self {
            Self::Tree(tree) => tree.descend(features),
            Self::Vote(vote) => vote.decide(features),
        }
    }
}

fn float(nodes: &[Node]) -> FloatTree {
    let nodes = nodes.iter().map(|node| match RealNode::from(*node) {
        RealNode::Inner { feature, threshold, left, right } => {
            FloatNode::Split { feature: feature.into(), threshold, left: left.into(), right: right.into() }
        }
        RealNode::Leaf { class } => FloatNode::Leaf { class },
    });
    FloatTree::new(nodes.collect()).expect("a model is a tree")
}

impl FloatVote {
    fn decide(&self, features: &[Feature; FEATURES]) -> (u16, bool) {
        let mut outputs = self.base.clone();
        let mut ambiguous = false;
        for (tree, rows, first) in &self.trees {
            let (row, doubtful) = tree.descend(features);
            ambiguous |= doubtful;
            for (step, number) in rows[usize::from(row)].iter().enumerate() {
                outputs[first + step] = self.kept(outputs[first + step] + number);
            }
        }
        (self.class(&outputs), ambiguous)
    }

    fn class(&self, outputs: &[f64]) -> u16 {
        let scores: Vec<f64> = match self.choice {
            Choice::Above(bound) => return if outputs[0] > bound { self.classes[1] } else { self.classes[0] },
            Choice::Largest => outputs.to_vec(),
            #[expect(clippy::cast_precision_loss, reason = "thousands of trees at most")]
            Choice::LargestMean => outputs.iter().map(|sum| self.kept(sum / self.trees.len() as f64)).collect(),
            Choice::LargestSoftmax => {
                let most = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = outputs.iter().map(|sum| self.power(self.kept(sum - most))).collect();
                let whole = self.kept(powers.iter().sum());
                powers.iter().map(|power| self.kept(power / whole)).collect()
            }
        };
        let mut winner = 0;
        for output in 1..scores.len() {
            if scores[output] > scores[winner] {
                winner = output;
            }
        }
        self.classes[winner]
    }

    /// A number as it is kept between two steps.
    #[expect(clippy::cast_possible_truncation, reason = "what 32 bits lose is the rule")]
    fn kept(&self, number: f64) -> f64 {
        if self.is_single { f64::from(number as f32) } else { number }
    }

    #[expect(clippy::cast_possible_truncation, reason = "what 32 bits lose is the rule")]
    fn power(&self, number: f64) -> f64 {
        if self.is_single { f64::from((number as f32).exp()) } else { number.exp() }
    }
}
