//! A model file: refused, or a model that keeps what an accepted model promises.
//!
//! The promises: its text reads back to an equal model and the same text; every path ends in a leaf within `DEPTH_MAX` edges; the classifier's
//! walk gives the class that a walk over the model's own nodes gives, at, below and above every threshold; the reference takes it.

use treeline_ebpf::Features;
use treeline_ebpf::feature::{FEATURES, FRACTION_BITS};
use treeline_ebpf::tree::DEPTH_MAX;
use treeline_model::{BYTES_MAX, Model, Node, Tree};

use super::Finding;
use crate::engine::Decider;
use crate::reference::FloatModel;

/// Thresholds tried of one model.
const THRESHOLDS_MAX: usize = 256;

/// Reads the model in `bytes`; whether it was accepted.
pub fn model(bytes: &[u8]) -> Result<bool, Finding> {
    let Ok(model) = Model::read_bytes(bytes) else { return Ok(false) };
    let broken = |promise, found: String| Err(Finding::Model { promise, found });
    let text = model.to_json();
    // Layout may take a text over the limit.
    if text.len() <= BYTES_MAX {
        match Model::read_bytes(text.as_bytes()) {
            Ok(again) if again == model && again.to_json() == text => {}
            Ok(again) => return broken("reads back equal", format!("{again:?} from {text}")),
            Err(error) => return broken("reads back", format!("{error} in {text}")),
        }
    }
    let _ = FloatModel::of(&model);
    let decider = Decider::of(&model);
    for features in vectors(&model) {
        let found = decider.decide(&features);
        if found.is_err() || found.is_ok_and(|class| usize::from(class) >= model.classes().len()) {
            return broken("decides for one of its classes", format!("{found:?} for {:?}", features.values()));
        }
        // Whether it is classified at all is not the nodes' matter: the vectors are those of a flow's packets without end.
        if let Ok(tree) = model.tree() {
            let expected = if model.precondition().holds_for(&features) { descend(tree, &features) } else { 0 };
            if found != Ok(expected) {
                return broken("decides like its nodes", format!("{found:?} instead of class {expected} for {:?}", features.values()));
            }
        }
    }
    for nodes in model.trees() {
        match depth(nodes) {
            Some(depth) if depth == treeline_model::depth(nodes) => {}
            found => return broken("has the depth it says, at most 32", format!("{found:?} instead of {}", treeline_model::depth(nodes))),
        }
    }
    Ok(true)
}

/// All features at one threshold, one step below and one above; nothing, and the most there can be.
fn vectors(model: &Model) -> impl Iterator<Item = Features> {
    let thresholds = model.trees().flatten().filter_map(|node| match node {
        Node::Inner { threshold, .. } => Some(*threshold),
        Node::Leaf { .. } => None,
    });
    let near = thresholds.take(THRESHOLDS_MAX).flat_map(|threshold| [-1, 0, 1].map(|step| threshold.saturating_add(step).max(0)));
    let ends = [0, 1 << FRACTION_BITS, i64::MAX];
    near.chain(ends).map(|value| Features::from([value.cast_unsigned(); FEATURES]))
}

/// The class that the tree's nodes say.
fn descend(tree: &Tree, features: &Features) -> u16 {
    let mut index = 0;
    loop {
        match tree.nodes()[index] {
            Node::Leaf { class } => return class,
            Node::Inner { feature, threshold, left, right } => {
                index = if features.values()[usize::from(feature)] <= threshold { left } else { right }.into();
            }
        }
    }
}

/// Edges to the deepest leaf; `None` if a path is longer than [`DEPTH_MAX`].
fn depth(nodes: &[Node]) -> Option<usize> {
    let (mut open, mut deepest) = (vec![(0, 0)], 0);
    while let Some((index, depth)) = open.pop() {
        deepest = deepest.max(depth);
        if let Node::Inner { left, right, .. } = nodes[index] {
            if depth == DEPTH_MAX {
                return None;
            }
            open.extend([left, right].map(|child| (usize::from(child), depth + 1)));
        }
    }
    Some(deepest)
}
