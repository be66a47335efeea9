//! Why a vote decides as it does: what each tree said, and what came of it.

use treeline_ebpf::feature::FEATURES;

use super::Vote;
use crate::path::path;

/// A decision, tree by tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Votes<'a> {
    /// What each tree said, in the order of the sums.
    pub reached: Vec<Reached<'a>>,
    /// The sum of each output, the base included.
    pub sums: Vec<f64>,
    /// What the choice compares: of each output its sum, mean or share.
    pub scores: Vec<f64>,
    /// The class: an index into the model's classes.
    pub class: u16,
}

/// The leaf that a tree reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached<'a> {
    /// Its index in the tree's nodes.
    pub leaf: usize,
    /// Splits on the way to it.
    pub splits: usize,
    /// The output to which the first of its values is added; the others follow.
    pub output: usize,
    /// What it adds.
    pub values: &'a [f64],
}

impl Vote {
    /// How [`class`](Self::class) comes to its answer.
    #[must_use]
    pub fn votes(&self, features: &[i64; FEATURES]) -> Votes<'_> {
        let reached = self.estimators.iter().map(|tree| {
            let (splits, leaf) = path(&tree.nodes, *features).enumerate().last().unwrap_or_default();
            Reached { leaf, splits, output: tree.output, values: tree.descend(features) }
        });
        let reached: Vec<_> = reached.collect();
        let sums = self.combination.sums(reached.iter().map(|tree| (tree.output, tree.values)));
        let scores = self.combination.scores(sums.clone(), reached.len());
        let class = self.combination.winner(&scores);
        Votes { reached, sums, scores, class }
    }
}
