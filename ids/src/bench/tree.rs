//! Trees of a given size for the benchmark, which a capture's packets reach in equal parts: the worst case for a branch predictor.

use std::collections::BinaryHeap;

use treeline_ebpf::FEATURES;
use treeline_lab::cause::explain;
use treeline_model::{BENIGN, Model, Node};

/// Features that do not change with the clock: a test run is not paced like the capture.
const TIMELESS: [u16; 9] = [0, 1, 2, 3, 5, 6, 8, 9, 11];
const DEPTH_MAX: usize = 20;

/// A leaf that may still be split, the one with the most packets first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    vectors: Vec<[i64; FEATURES]>,
    node: usize,
    depth: usize,
}

/// A tree of `leaves` leaves, or of fewer if the vectors cannot be told apart further. The classes of two leaves side by side differ, so that no
/// question is without consequence.
pub fn grow(vectors: Vec<[i64; FEATURES]>, leaves: usize) -> Result<Model, String> {
    let mut nodes = vec![Node::Leaf { class: 0 }];
    let mut open = BinaryHeap::from([(vectors.len(), Open { vectors, node: 0, depth: 0 })]);
    while let Some((_, leaf)) = open.pop() {
        if nodes.len() / 2 + 1 >= leaves {
            break;
        }
        let features = (0..TIMELESS.len()).map(|turn| TIMELESS[(leaf.depth + turn) % TIMELESS.len()]);
        let Some((feature, threshold)) = features.into_iter().find_map(|feature| Some((feature, median(&leaf.vectors, feature)?))) else {
            continue;
        };
        let (left, right): (Vec<_>, Vec<_>) = leaf.vectors.into_iter().partition(|vector| vector[usize::from(feature)] <= threshold);
        let children = [narrow(nodes.len())?, narrow(nodes.len() + 1)?];
        nodes[leaf.node] = Node::Inner { feature, threshold, left: children[0], right: children[1] };
        nodes.extend([Node::Leaf { class: 0 }, Node::Leaf { class: 1 }]);
        for (child, vectors) in children.into_iter().zip([left, right]) {
            if leaf.depth + 1 < DEPTH_MAX {
                open.push((vectors.len(), Open { vectors, node: child.into(), depth: leaf.depth + 1 }));
            }
        }
    }
    Model::from_nodes("benchmark", vec![BENIGN.to_owned(), "malicious".to_owned()], nodes).map_err(|error| explain(&error))
}

/// The threshold that parts the vectors most evenly by `feature`, if any does.
fn median(vectors: &[[i64; FEATURES]], feature: u16) -> Option<i64> {
    let mut values: Vec<_> = vectors.iter().map(|vector| vector[usize::from(feature)]).collect();
    values.sort_unstable();
    let (middle, largest) = (*values.get(values.len() / 2)?, *values.last()?);
    if middle < largest { Some(middle) } else { values.into_iter().rev().find(|value| *value < largest) }
}

fn narrow(index: usize) -> Result<u16, String> {
    u16::try_from(index).map_err(|_| format!("{index} nodes are too many"))
}
