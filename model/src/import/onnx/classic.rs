//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: lists with one entry a node, and lists with one entry a leaf's weight.
//!
//! A classifier of two classes gives one weight a leaf, the second class's, whatever class id it is filed under: read literally it would
//! turn every answer round. onnxruntime answers the second class above one half where all weights are positive, else above 0.

use std::collections::{HashMap, HashSet};

use super::{Attributes, Input, Mode, regression};
use crate::import::error::{ImportError, field, unsupported};
use crate::import::forest::{Branch, Forest, Tree, check_values};
use crate::vote::{Choice, Combination};

/// Outputs that an operator may have here.
const OUTPUTS_MAX: usize = 256;

/// Leaf weights as the operator lists them: which node of which tree adds what to which output.
struct Weights {
    trees: Vec<usize>,
    nodes: Vec<usize>,
    outputs: Vec<usize>,
    numbers: Vec<f64>,
}

impl Weights {
    fn of(attributes: &Attributes, prefix: &str) -> Result<Self, ImportError> {
        let numbers = attributes.numbers(&format!("{prefix}_weights"))?;
        let indices = |name: &str| attributes.indices(&format!("{prefix}_{name}"), numbers.len());
        Ok(Self { trees: indices("treeids")?, nodes: indices("nodeids")?, outputs: indices("ids")?, numbers })
    }
}

pub(super) fn parse(attributes: &Attributes, input: &Input) -> Result<Forest, ImportError> {
    let is_classifier = attributes.operator == "TreeEnsembleClassifier";
    let transform = attributes.text("post_transform").unwrap_or_else(|| "NONE".to_owned());
    let base = attributes.numbers("base_values")?;
    let mut weights = Weights::of(attributes, if is_classifier { "class" } else { "target" })?;
    let (vote, labels) = if is_classifier {
        let labels = labels(attributes)?;
        (classes(attributes, &mut weights, input, labels.len(), base.len())?, labels)
    } else {
        let outputs = attributes.get("n_targets").map_or(1, |attribute| attribute.i);
        let outputs = usize::try_from(outputs).ok().filter(|outputs| (1..=OUTPUTS_MAX).contains(outputs));
        let outputs = outputs.ok_or_else(|| field(attributes.place("n_targets"), "out of range", format!("1 to {OUTPUTS_MAX}")))?;
        let aggregate = attributes.text("aggregate_function").unwrap_or_else(|| "SUM".to_owned());
        if !["SUM", "AVERAGE"].contains(&aggregate.as_str()) {
            return Err(unsupported(attributes.place("aggregate_function"), aggregate, "export with SUM or AVERAGE"));
        }
        let is_mean = aggregate == "AVERAGE";
        if is_mean && !base.is_empty() {
            return Err(unsupported(attributes.place("base_values"), "a base of an average", "export with SUM"));
        }
        let (vote, classes) = regression(outputs, is_mean, &transform, input.arithmetic)?;
        (vote, (0..classes).map(|class| class.to_string()).collect())
    };
    let outputs = vote.base.len();
    if let Some(place) = weights.outputs.iter().position(|output| *output >= outputs) {
        return Err(field(format!("leaf weight {place}"), format!("output {}", weights.outputs[place]), format!("below {outputs}")));
    }
    let (mut trees, scored) = nodes(attributes, &weights, outputs)?;
    if outputs > 1 && is_classifier == base.is_empty() {
        check_scored(&scored)?;
    }
    if !base.is_empty() {
        if base.len() != outputs {
            return Err(field(attributes.place("base_values"), format!("{} numbers", base.len()), outputs.to_string()));
        }
        // Added after the trees: a tree of one leaf.
        trees.push(Tree { place: attributes.place("base_values"), output: 0, nodes: vec![Branch::Leaf(base)], unused: 0 });
    }
    Ok(input.forest(trees, vote, labels))
}

fn labels(attributes: &Attributes) -> Result<Vec<String>, ImportError> {
    let numbers = attributes.ints("classlabels_int64s").iter().map(i64::to_string);
    let texts = attributes.get("classlabels_strings").map_or(&[] as &[_], |attribute| attribute.strings.as_slice());
    let labels: Vec<_> = numbers.chain(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned())).collect();
    if (2..=OUTPUTS_MAX).contains(&labels.len()) {
        return Ok(labels);
    }
    Err(field(attributes.place("classlabels"), format!("{} labels", labels.len()), format!("2 to {OUTPUTS_MAX}")))
}

/// The vote of a classifier; of two classes, the weights are filed under output 0.
fn classes(attributes: &Attributes, weights: &mut Weights, input: &Input, classes: usize, base: usize) -> Result<Combination, ImportError> {
    let mut scored = vec![false; classes.max(2)];
    for &class in &weights.outputs {
        match scored.get_mut(class) {
            Some(scored) => *scored = true,
            None => return Err(field(attributes.place("class_ids"), class, format!("below {classes}"))),
        }
    }
    if classes == 2 {
        if scored == [true, true] || base > 1 {
            let advice = "runtimes differ here; give one weight a leaf, the second class's, as skl2onnx does";
            return Err(unsupported(attributes.place("class_ids"), "weights for both of two classes", advice));
        }
        if scored[1] && base > 0 {
            let advice = "onnxruntime does not add it to these weights; file the weights under class 0, as skl2onnx does";
            return Err(unsupported(attributes.place("base_values"), "a base beside weights of class 1", advice));
        }
        weights.outputs.fill(0);
        let bound = if weights.numbers.iter().all(|weight| *weight >= 0.0) { 0.5 } else { 0.0 };
        return Ok(Combination { choice: Choice::Above(bound), arithmetic: input.arithmetic, base: vec![0.0], classes: Vec::new() });
    }
    if let Some(class) = scored.iter().position(|scored| !scored) {
        return Err(unsupported(attributes.place("class_ids"), format!("class {class} without any weight"), "leave the class out"));
    }
    Ok(Combination { choice: Choice::Largest, arithmetic: input.arithmetic, base: vec![0.0; classes], classes: Vec::new() })
}

/// The trees in the order of their first nodes, and which outputs some tree weighs in each of its leaves.
fn nodes(attributes: &Attributes, weights: &Weights, outputs: usize) -> Result<(Vec<Tree>, Vec<bool>), ImportError> {
    let modes = attributes.get("nodes_modes").map_or(&[] as &[_], |attribute| attribute.strings.as_slice());
    let count = modes.len();
    let list = |name: &str| attributes.indices(name, count);
    let (tree_ids, node_ids, features) = (list("nodes_treeids")?, list("nodes_nodeids")?, list("nodes_featureids")?);
    let (yes, no) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
    check_values(count, outputs)?;
    let thresholds = attributes.numbers("nodes_values")?;
    attributes.counted("nodes_values", thresholds.len(), count)?;

    // Where each (tree, node) is: its place among the trees, and in its tree.
    let (mut places, mut numbers, mut sizes) = (HashMap::new(), HashMap::new(), Vec::new());
    for (entry, (&tree, &node)) in tree_ids.iter().zip(&node_ids).enumerate() {
        let number = *numbers.entry(tree).or_insert_with(|| {
            sizes.push(0);
            sizes.len() - 1
        });
        if places.insert((tree, node), (number, sizes[number])).is_some() {
            return Err(field(format!("{}[{entry}]", attributes.place("nodes_nodeids")), node, "each node of a tree once"));
        }
        sizes[number] += 1;
    }
    let mut trees: Vec<_> =
        (0..sizes.len()).map(|tree| Tree { place: format!("trees[{tree}]"), output: 0, nodes: vec![], unused: 0 }).collect();
    for (entry, mode) in modes.iter().enumerate() {
        let tree = tree_ids[entry];
        let child = |name: &str, node: usize| {
            let place = places.get(&(tree, node)).map(|(_, place)| *place);
            place.ok_or_else(|| field(format!("{}[{entry}]", attributes.place(name)), node, "a node of the same tree"))
        };
        let mode = match mode.as_slice() {
            b"LEAF" => {
                trees[numbers[&tree]].nodes.push(Branch::Leaf(Vec::new()));
                continue;
            }
            b"BRANCH_LEQ" => Mode { strict: false, swapped: false },
            b"BRANCH_LT" => Mode { strict: true, swapped: false },
            b"BRANCH_GTE" => Mode { strict: true, swapped: true },
            b"BRANCH_GT" => Mode { strict: false, swapped: true },
            other => {
                let (place, found) = (format!("{}[{entry}]", attributes.place("nodes_modes")), String::from_utf8_lossy(other).into_owned());
                return Err(unsupported(place, found, "split by order: BRANCH_LEQ, LT, GTE or GT"));
            }
        };
        let (is_true, is_false) = (child("nodes_truenodeids", yes[entry])?, child("nodes_falsenodeids", no[entry])?);
        trees[numbers[&tree]].nodes.push(mode.split(features[entry], thresholds[entry], is_true, is_false));
    }
    let scored = weigh(&mut trees, &places, weights, outputs)?;
    Ok((trees, scored))
}

/// Refuses leaves that leave outputs without a weight where that is not the same as a weight of 0: onnxruntime compares only classes that a leaf
/// weighed, and adds a target's base only to what a leaf weighed. `scored` are the outputs that some tree weighs in each of its leaves.
fn check_scored(scored: &[bool]) -> Result<(), ImportError> {
    match scored.iter().position(|scored| !scored) {
        None => Ok(()),
        Some(output) => {
            let advice = "runtimes do not take it for 0; give each leaf a weight for every class or target";
            Err(unsupported("leaf weights", format!("a leaf without one for class or target {output}"), advice))
        }
    }
}

/// Gives each leaf its weights, 0 where there are none. Which outputs some tree weighs in each of its leaves.
fn weigh(
    trees: &mut [Tree],
    places: &HashMap<(usize, usize), (usize, usize)>,
    weights: &Weights,
    outputs: usize,
) -> Result<Vec<bool>, ImportError> {
    let (mut given, mut counts) = (HashSet::new(), HashMap::<_, usize>::new());
    for (entry, &number) in weights.numbers.iter().enumerate() {
        let at = (weights.trees[entry], weights.nodes[entry]);
        let refused = |found: &str| {
            Err(field(format!("leaf weight {entry} (tree {}, node {})", at.0, at.1), found, "a leaf, each of its outputs once"))
        };
        let Some(&(tree, node)) = places.get(&at) else { return refused("no such node") };
        let Branch::Leaf(values) = &mut trees[tree].nodes[node] else { return refused("an inner node") };
        if !given.insert((at, weights.outputs[entry])) {
            return refused("the same output again");
        }
        values.resize(outputs, 0.0);
        values[weights.outputs[entry]] = number;
        *counts.entry((tree, weights.outputs[entry])).or_default() += 1;
    }
    let leaves = |tree: &Tree| tree.nodes.iter().filter(|node| matches!(node, Branch::Leaf(_))).count();
    let leaves: Vec<_> = trees.iter().map(leaves).collect();
    let mut scored = vec![false; outputs];
    for ((tree, output), count) in counts {
        scored[output] |= count == leaves[tree];
    }
    for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        if let Branch::Leaf(values) = node {
            values.resize(outputs, 0.0);
        }
    }
    Ok(scored)
}
