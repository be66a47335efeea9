//! The intermediate form: what every format says, with its own numbers.

use treeline_ebpf::feature::{GAP, NAMES, TO_DEVIATION, TO_MEAN};

use crate::import::error::{ImportError, field};
use crate::vote::{Combination, VOTE_NODES_MAX, VoteError};

/// What the name of a column of fixed-point integers ends in.
const FIXED: &str = "_fixed";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// The classifier's feature.
    pub feature: usize,
    /// Its fixed-point integer, 65,536 to a unit, instead of a number in its unit.
    pub is_fixed: bool,
}

impl Column {
    /// Whether it is a time, gap or what is made of gaps.
    pub(crate) fn is_time(self) -> bool {
        [GAP, GAP + TO_MEAN, GAP + TO_DEVIATION].contains(&self.feature)
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        let known = |name: &str| NAMES.iter().position(|(known, _)| *known == name);
        match known(name) {
            Some(feature) => Some(Self { feature, is_fixed: false }),
            None => Some(Self { feature: known(name.strip_suffix(FIXED)?)?, is_fixed: true }),
        }
    }
}

/// Leaf values of a whole forest: bounds memory where many classes meet many leaves.
const VALUES_MAX: usize = 1 << 22;

/// Refuses more leaf values than [`VALUES_MAX`], before they take memory.
pub(crate) fn check_values(leaves: usize, outputs: usize) -> Result<(), ImportError> {
    match leaves.saturating_mul(outputs) {
        0..=VALUES_MAX => Ok(()),
        found => Err(field("leaf values", found, format!("at most {VALUES_MAX}"))),
    }
}

/// Trees as their library has them.
#[derive(Debug)]
pub(crate) struct Forest {
    /// In the order in which the library sums them.
    pub trees: Vec<Tree>,
    /// How the library takes features before it compares.
    pub precision: Precision,
    /// How the library votes; its classes are filled in when the outputs' classes are known.
    pub vote: Combination,
    /// The library's names of the classes, in the order of its outputs.
    pub labels: Vec<String>,
    /// The library's names of the columns, if the file has any.
    pub names: Option<Vec<String>>,
    /// How many columns there are.
    pub columns_count: usize,
    /// What each column is; filled in when the names are known.
    pub columns: Vec<Column>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One tree.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The file's name of the tree, for errors: `trees[3]`.
    pub place: String,
    /// The output to which the first value of a leaf is added.
    pub output: usize,
    /// The nodes, root first.
    pub nodes: Vec<Branch>,
    /// Nodes that the library keeps in the file and never reaches.
    pub unused: usize,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Branch {
    /// A question.
    Split {
        /// The column.
        feature: usize,
        /// As written.
        threshold: f64,
        /// `<` instead of `<=` goes left.
        strict: bool,
        /// Index of the left child.
        left: usize,
        /// Index of the right child.
        right: usize,
    },
    /// What the leaf adds.
    Leaf(Vec<f64>),
}

/// The number that a library compares with a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// The nearest f32 of the f64.
    F32,
    /// The f64.
    F64,
    /// The number itself.
    Exact,
}

impl Forest {
    /// Refuses what is not trees: children that do not exist, cycles, shared or unreachable nodes, columns out of range, numbers that are none.
    /// Unused nodes are taken out.
    pub(crate) fn check(&mut self) -> Result<(), ImportError> {
        let count: usize = self.trees.iter().map(|tree| tree.nodes.len()).sum();
        if count > VOTE_NODES_MAX {
            return Err(ImportError::Model(VoteError::TooManyNodes { found: count }.into()));
        }
        let values: usize = self.trees.iter().map(Tree::values).sum();
        check_values(values, 1)?;
        self.trees.iter_mut().try_for_each(|tree| tree.check(self.columns_count))
    }
}

impl Tree {
    fn values(&self) -> usize {
        self.nodes.iter().map(|node| if let Branch::Leaf(values) = node { values.len() } else { 0 }).sum()
    }

    fn check(&mut self, columns: usize) -> Result<(), ImportError> {
        let refused = |node: usize, what: &str, found: String, expected: String| {
            Err(field(format!("{}: {what} of node {node}", self.place), found, expected))
        };
        let nodes = self.nodes.len();
        if nodes == 0 {
            return Err(field(self.place.clone(), "no nodes", "at least a root"));
        }
        let mut parents = vec![None; nodes];
        let mut open = vec![0];
        let mut order = Vec::with_capacity(nodes);
        while let Some(node) = open.pop() {
            order.push(node);
            let (left, right) = match &self.nodes[node] {
                Branch::Leaf(values) => match values.iter().find(|value| !value.is_finite()) {
                    Some(value) => return refused(node, "value", value.to_string(), "a finite number".into()),
                    None => continue,
                },
                Branch::Split { feature, .. } if *feature >= columns => {
                    return refused(node, "feature", feature.to_string(), format!("below {columns}"));
                }
                Branch::Split { threshold, .. } if threshold.is_nan() => {
                    return refused(node, "threshold", "NaN".into(), "a number".into());
                }
                Branch::Split { left, right, .. } => (*left, *right),
            };
            for (side, child) in [("right child", right), ("left child", left)] {
                if child >= nodes {
                    return refused(node, side, child.to_string(), format!("below {nodes}"));
                }
                if child == 0 || parents[child].is_some() {
                    return refused(node, side, child.to_string(), "a node that nothing else leads to".into());
                }
                parents[child] = Some(node);
                open.push(child);
            }
        }
        let unreachable = nodes - order.len();
        if unreachable != self.unused {
            return Err(field(self.place.clone(), format!("{unreachable} nodes that nothing leads to"), self.unused.to_string()));
        }
        self.renumber(&order);
        Ok(())
    }

    /// Puts the nodes in the order of a walk that goes left first; what is not in `order` goes.
    fn renumber(&mut self, order: &[usize]) {
        let mut places = vec![0; self.nodes.len()];
        for (place, &node) in order.iter().enumerate() {
            places[node] = place;
        }
        let nodes = order.iter().map(|&node| match std::mem::replace(&mut self.nodes[node], Branch::Leaf(Vec::new())) {
            Branch::Split { feature, threshold, strict, left, right } => {
                Branch::Split { feature, threshold, strict, left: places[left], right: places[right] }
            }
            leaf @ Branch::Leaf(_) => leaf,
        });
        self.nodes = nodes.collect();
        self.unused = 0;
    }
}
