//! Which nodes of the trees the packets pass, and what each feature is worth by that.
//!
//! # Importance
//!
//! Of the labelled packets, n pass a node, a share p of them malicious; its impurity is 2 p (1 - p) (Gini, benign against malicious). A split
//! lowers it by n · impurity less the same of its two children, which is never negative. A feature's *importance* is what its splits take
//! together, divided by what all splits take: scikit-learn's definition, on the evaluated packets instead of those of the training. Its
//! *share of questions* is how many of all answers to splits were to one of its own. Of an ensemble, the splits of all trees are taken together.

use treeline_ebpf::{FEATURES, Features};
use treeline_model::{Model, Node, path};

use super::matrix::ratio;

/// Packets through each node of a model: of each tree, one entry a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visits {
    trees: Vec<Vec<Visit>>,
}

/// Labelled packets through a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visit {
    /// All of them.
    pub packets: u64,
    /// Those of malicious flows.
    pub malicious: u64,
}

/// What a feature is worth; both add up to 1 over the features, or are 0 where nothing was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Importance {
    /// Share of the impurity that splits take.
    pub gini: f64,
    /// Share of the questions.
    pub questions: f64,
}

impl Visit {
    /// The share that is malicious.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        ratio(self.malicious, self.packets)
    }

    /// Packets times impurity.
    #[expect(clippy::cast_precision_loss, reason = "a measure for people")]
    fn impurity(&self) -> f64 {
        self.share().map_or(0.0, |share| 2.0 * share * (1.0 - share) * self.packets as f64)
    }
}

impl Visits {
    /// No packet so far.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        Self { trees: model.trees().map(|nodes| vec![Visit::default(); nodes.len()]).collect() }
    }

    /// Counts a packet along its path through each tree.
    pub fn pass(&mut self, model: &Model, features: &Features, is_malicious: bool) {
        let values = features.values();
        for (nodes, visits) in model.trees().zip(&mut self.trees) {
            for node in path(nodes, values) {
                visits[node].packets += 1;
                visits[node].malicious += u64::from(is_malicious);
            }
        }
    }

    /// The packets through node `node` of tree `tree`; none through one that does not exist.
    #[must_use]
    pub fn at(&self, tree: usize, node: usize) -> Visit {
        self.trees.get(tree).and_then(|visits| visits.get(node)).copied().unwrap_or_default()
    }

    /// What each feature is worth, in the order of `treeline_ebpf::feature::NAMES`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a measure for people")]
    pub fn importances(&self, model: &Model) -> [Importance; FEATURES] {
        let mut worth = [Importance::default(); FEATURES];
        for (tree, nodes) in model.trees().enumerate() {
            for (index, node) in nodes.iter().enumerate() {
                let Node::Inner { feature, left, right, .. } = *node else { continue };
                let below = self.at(tree, left.into()).impurity() + self.at(tree, right.into()).impurity();
                let feature = &mut worth[usize::from(feature)];
                feature.gini += (self.at(tree, index).impurity() - below).max(0.0); // Below 0 by rounding only.
                feature.questions += self.at(tree, index).packets as f64;
            }
        }
        let gini = worth.iter().map(|one| one.gini).sum::<f64>();
        let questions = worth.iter().map(|one| one.questions).sum::<f64>();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        worth.map(|one| Importance { gini: share(one.gini, gini), questions: share(one.questions, questions) })
    }
}
