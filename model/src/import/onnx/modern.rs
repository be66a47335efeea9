//! `TreeEnsemble` of ai.onnx.ml 5: lists of inner nodes and of leaves, with the roots of the trees.

use super::{Attributes, Input, Mode, regression};
use crate::import::error::{ImportError, field, unsupported};
use crate::import::forest::{Branch, Forest, Tree, check_values};

/// Outputs that an operator may have here.
const OUTPUTS_MAX: i64 = 256;

/// The operator's lists: inner nodes, then leaves.
struct Lists {
    roots: Vec<usize>,
    inner: Vec<Branch>,
    leaves: Vec<Branch>,
}

pub(super) fn parse(attributes: &Attributes, input: &Input) -> Result<Forest, ImportError> {
    let number = |name: &str, absent: i64| attributes.get(name).map_or(absent, |attribute| attribute.i);
    let outputs = number("n_targets", 1);
    let Some(outputs) = usize::try_from(outputs).ok().filter(|_| (1..=OUTPUTS_MAX).contains(&outputs)) else {
        return Err(field(attributes.place("n_targets"), outputs, format!("1 to {OUTPUTS_MAX}")));
    };
    let is_mean = match number("aggregate_function", 1) {
        0 => true,
        1 => false,
        other => return Err(unsupported(attributes.place("aggregate_function"), other, "export with 1 (SUM) or 0 (AVERAGE)")),
    };
    let transform = match number("post_transform", 0) {
        0 => "NONE",
        1 => "SOFTMAX",
        2 => "LOGISTIC",
        other => return Err(unsupported(attributes.place("post_transform"), other, "export with 0 (NONE)")),
    };
    let (vote, classes) = regression(outputs, is_mean, transform, input.arithmetic)?;
    let lists = Lists::of(attributes, outputs)?;
    // Each node belongs to one tree, so all trees together are no larger than the lists.
    let mut left = lists.inner.len() + lists.leaves.len();
    let trees = lists.roots.iter().enumerate().map(|(tree, &root)| {
        let tree = lists.tree(format!("{}[{tree}]", attributes.place("tree_roots")), root, left)?;
        left -= tree.nodes.len();
        Ok(tree)
    });
    let trees = trees.collect::<Result<Vec<_>, ImportError>>()?;
    Ok(input.forest(trees, vote, (0..classes).map(|class| class.to_string()).collect()))
}

impl Lists {
    fn of(attributes: &Attributes, outputs: usize) -> Result<Self, ImportError> {
        let modes = modes(attributes)?;
        let count = modes.len();
        let list = |name: &str| attributes.indices(name, count);
        let (features, yes, no) = (list("nodes_featureids")?, list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
        let (true_leaves, false_leaves) = (list("nodes_trueleafs")?, list("nodes_falseleafs")?);
        let thresholds = attributes.numbers("nodes_splits")?;
        attributes.counted("nodes_splits", thresholds.len(), count)?;
        let weights = attributes.numbers("leaf_weights")?;
        check_values(weights.len(), outputs)?;
        let targets = attributes.indices("leaf_targetids", weights.len())?;
        // Leaves are numbered behind the inner nodes.
        let child = |leaf: usize, index: usize| if leaf == 0 { index } else { index.saturating_add(count) };
        let inner = modes.into_iter().enumerate().map(|(node, mode)| {
            mode.split(features[node], thresholds[node], child(true_leaves[node], yes[node]), child(false_leaves[node], no[node]))
        });
        let leaves = weights.iter().zip(&targets).enumerate().map(|(leaf, (&weight, &target))| {
            let mut values = vec![0.0; outputs];
            let slot = values.get_mut(target);
            *slot.ok_or_else(|| field(format!("{}[{leaf}]", attributes.place("leaf_targetids")), target, format!("below {outputs}")))? =
                weight;
            Ok(Branch::Leaf(values))
        });
        let roots = attributes.ints("tree_roots").len();
        Ok(Self {
            roots: attributes.indices("tree_roots", roots)?,
            inner: inner.collect(),
            leaves: leaves.collect::<Result<_, ImportError>>()?,
        })
    }

    /// The nodes under `root`, numbered from it, at most `nodes_max`: a walk that reaches more has reached one twice.
    fn tree(&self, place: String, root: usize, nodes_max: usize) -> Result<Tree, ImportError> {
        let mut nodes = Vec::new();
        let mut open = vec![root];
        let mut known = 1;
        // Breadth first: the children of the n-th node visited get the next two numbers.
        let mut next = 0;
        while let Some(&index) = open.get(next) {
            let count = self.inner.len();
            let node = self.inner.get(index).or_else(|| self.leaves.get(index - count.min(index)).filter(|_| index >= count));
            let node = node.ok_or_else(|| field(place.clone(), format!("node {index}"), format!("below {}", count + self.leaves.len())))?;
            nodes.push(match *node {
                Branch::Split { feature, threshold, strict, left, right } => {
                    open.extend([left, right]);
                    known += 2;
                    Branch::Split { feature, threshold, strict, left: known - 2, right: known - 1 }
                }
                ref leaf @ Branch::Leaf(_) => leaf.clone(),
            });
            if known > nodes_max {
                return Err(field(place, "a node that is reached twice", "a tree"));
            }
            next += 1;
        }
        Ok(Tree { place, output: 0, nodes, unused: 0 })
    }
}

fn modes(attributes: &Attributes) -> Result<Vec<Mode>, ImportError> {
    let tensor = attributes.get("nodes_modes").and_then(|attribute| attribute.t.as_ref());
    let bytes = match tensor {
        None => Vec::new(),
        Some(tensor) if tensor.raw_data.is_empty() => tensor.int32_data.clone(),
        Some(tensor) => tensor.raw_data.iter().map(|&mode| mode.into()).collect(),
    };
    attributes.counted("nodes_modes", bytes.len(), bytes.len())?;
    let mode = |(node, mode)| match mode {
        0 => Ok(Mode { strict: false, swapped: false }),
        1 => Ok(Mode { strict: true, swapped: false }),
        2 => Ok(Mode { strict: true, swapped: true }),
        3 => Ok(Mode { strict: false, swapped: true }),
        other => Err(unsupported(format!("{}[{node}]", attributes.place("nodes_modes")), other, "split by order: modes 0 to 3")),
    };
    bytes.into_iter().enumerate().map(mode).collect()
}
