//! Why an ensemble decides as it does: what each tree said, and what came of it.

use treeline_ebpf::feature::FEATURES;

use super::Ensemble;
use crate::path::path;

/// A decision, tree by tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot<'a> {
    /// What each tree said, in the order of the sums.
    pub reached: Vec<Reached<'a>>,
    /// The sum of each output, the base included.
    pub sums: Vec<f64>,
    /// What the rule compares: of each output its sum, mean or share.
    pub scores: Vec<f64>,
    /// The class: an index into the ensemble's classes.
    pub class: u16,
}

/// The leaf that a tree reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached<'a> {
    /// Its index in the tree's nodes.
    pub leaf: usize,
    /// Questions on the way to it.
    pub questions: usize,
    /// The output to which the first of its values is added; the others follow.
    pub output: usize,
    /// What it adds.
    pub values: &'a [f64],
}

impl Ensemble {
    /// How [`decide`](Self::decide) comes to its class.
    #[must_use]
    pub fn ballot(&self, features: &[i64; FEATURES]) -> Ballot<'_> {
        let reached = self.trees.iter().map(|tree| {
            let (questions, leaf) = path(&tree.nodes, *features).enumerate().last().unwrap_or_default();
            Reached { leaf, questions, output: tree.output, values: tree.descend(features) }
        });
        let reached: Vec<_> = reached.collect();
        let sums = self.vote.sums(reached.iter().map(|tree| (tree.output, tree.values)));
        let scores = self.vote.scores(sums.clone(), reached.len());
        let class = self.vote.winner(&scores);
        Ballot { reached, sums, scores, class }
    }
}
