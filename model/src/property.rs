//! What holds for every model and every input, tried on random ones: a file gives a tree or an error, a tree survives its text, and the
//! kernel's walk decides what the simplest walk decides.

use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use treeline_ebpf::feature::{FEATURES, FRACTION_BITS, MIDSTREAM, PACKETS};
use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX, descend};

use crate::strategy::{features, features_near, model, model_within, passing};
use crate::{BENIGN, Error, Model, Node};

/// The walk in its simplest form.
fn decide(nodes: &[Node], index: u16, values: &[i64]) -> u16 {
    match nodes[usize::from(index)] {
        Node::Leaf { class } => class,
        Node::Inner { feature, threshold, left, right } => {
            decide(nodes, if values[usize::from(feature)] <= threshold { left } else { right }, values)
        }
    }
}

/// Visits below `index`, and the depth found; no use of the model's own check.
fn survey(model: &Model, index: u16, depth: usize, visits: &mut [u32]) -> usize {
    assert!(depth <= DEPTH_MAX, "node {index} is at depth {depth}");
    visits[usize::from(index)] += 1;
    match model.tree().expect("a tree").nodes()[usize::from(index)] {
        Node::Leaf { class } => {
            assert!(usize::from(class) < model.classes().len(), "class {class}");
            depth
        }
        Node::Inner { feature, left, right, .. } => {
            assert!(usize::from(feature) < FEATURES, "feature {feature}");
            survey(model, left, depth + 1, visits).max(survey(model, right, depth + 1, visits))
        }
    }
}

fn assert_tree(model: &Model) {
    assert_eq!(model.classes()[0], BENIGN);
    assert!(model.tree().expect("a tree").nodes().len() <= NODES_MAX);
    let mut visits = vec![0; model.tree().expect("a tree").nodes().len()];
    assert_eq!(survey(model, 0, 0, &mut visits), model.depth());
    assert!(visits.iter().all(|&visits| visits == 1), "visits: {visits:?}");
}

fn assert_model_or_error(text: &[u8]) -> Result<(), TestCaseError> {
    match Model::read_bytes(text) {
        Ok(model) => {
            assert_tree(&model);
            prop_assert_eq!(Model::read_bytes(model.to_json().as_bytes()).expect("own text"), model);
        }
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Cut(Index, usize),
    Copy(Index, Index, usize),
    /// Replaces a run of digits, to reach indices and thresholds.
    Number(Index, i64),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0_usize..40).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), any::<Index>(), 0_usize..40).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
        (any::<Index>(), prop_oneof![0_i64..70, any::<i64>()]).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

fn apply(text: &mut Vec<u8>, edit: &Edit) {
    if text.is_empty() {
        return;
    }
    match edit {
        Edit::Set(at, byte) => *at.get_mut(text) = *byte,
        Edit::Cut(at, length) => {
            let at = at.index(text.len());
            text.drain(at..text.len().min(at + length));
        }
        Edit::Copy(from, to, length) => {
            let from = from.index(text.len());
            let piece = text[from..text.len().min(from + length)].to_vec();
            let to = to.index(text.len());
            text.splice(to..to, piece);
        }
        Edit::Number(at, number) => {
            let starts: Vec<_> = (1..text.len()).filter(|&i| text[i].is_ascii_digit() && !text[i - 1].is_ascii_digit()).collect();
            if !starts.is_empty() {
                let start = *at.get(&starts);
                let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                text.splice(start..start + digits, number.to_string().into_bytes());
            }
        }
    }
}

proptest! {
    #[test]
    fn random_models_are_trees(model in model()) {
        assert_tree(&model);
        prop_assert_eq!(model.leaves() * 2 - 1, model.tree().expect("a tree").nodes().len());
    }

    #[test]
    fn bounds_hold(model in model_within(9, 3)) {
        prop_assert!(model.leaves() <= 9 && model.depth() <= 3);
    }

    #[test]
    fn a_written_model_reads_back_equal(model in model()) {
        let text = model.to_json();
        let read = Model::read_bytes(text.as_bytes()).expect("own text");
        prop_assert_eq!(&read, &model);
        prop_assert_eq!(read.to_json(), text);
    }

    #[test]
    fn random_bytes_are_refused_quietly(text in vec(any::<u8>(), 0..200)) {
        assert_model_or_error(&text)?;
    }

    #[test]
    fn mutated_files_give_a_tree_or_an_error(model in model_within(8, 4), edits in vec(edit(), 1..4)) {
        let mut text = model.to_json().into_bytes();
        for edit in &edits {
            apply(&mut text, edit);
        }
        assert_model_or_error(&text)?;
    }

    /// Reaches the shape's checks every time, which mutated text seldom does: few nodes, and children seldom out of range.
    #[test]
    fn random_links_give_a_tree_or_an_error(links in vec((0_u16..3, any::<(Index, Index)>()), 1..7), beyond in proptest::bool::weighted(0.1)) {
        let child = |index: Index| u16::try_from(index.index(links.len() + usize::from(beyond))).expect("few nodes");
        let nodes = links.iter().map(|&(kind, (left, right))| match kind {
            0 => Node::Inner { feature: 3, threshold: 0, left: child(left), right: child(right) },
            class => Node::Leaf { class },
        });
        let names = [BENIGN, "a", "b"].map(str::to_owned).to_vec();
        if let Ok(model) = Model::from_nodes("", names, nodes.collect()) {
            assert_tree(&model);
        }
    }

    #[test]
    fn the_kernel_walk_equals_the_naive_walk(
        (model, features) in model().prop_flat_map(|model| (features_near(&model), Just(model)).prop_map(|(near, model)| (model, near))),
        unrelated in features(),
    ) {
        let tree = model.to_array().expect("a tree");
        for features in [features, unrelated] {
            prop_assert_eq!(descend(&tree, &features), Ok(decide(model.tree().expect("a tree").nodes(), 0, &features.values())));
        }
    }
}

proptest! {
    #[test]
    fn a_model_is_benign_where_it_is_not_asked(
        (model, features) in passing(model()).prop_flat_map(|model| (features_near(&model), Just(model)).prop_map(|(near, model)| (model, near))),
        packet in 1_u64..7,
        midstream in any::<bool>(),
    ) {
        let mut features = features;
        features.set(PACKETS, packet << FRACTION_BITS);
        features.set(MIDSTREAM, midstream.into());
        let precondition = model.precondition();
        let asked = precondition.holds(packet, midstream);
        prop_assert_eq!(precondition.holds_for(&features), asked);
        prop_assert_eq!(asked, packet >= u64::from(precondition.packets_min()) && !(midstream && precondition.midstream_passes()));
        let expect = if asked { decide(model.tree().expect("a tree").nodes(), 0, &features.values()) } else { 0 };
        prop_assert_eq!(descend(&model.to_array().expect("a tree"), &features), Ok(expect));
        prop_assert_eq!(model.classify(&features), expect);
        prop_assert_eq!(Model::read_bytes(model.to_json().as_bytes()).expect("own text"), model);
    }
}

proptest! {
    #[test]
    fn a_path_goes_from_the_root_to_the_leaf_that_decides(
        (model, features) in model().prop_flat_map(|model| (features_near(&model), Just(model)).prop_map(|(near, model)| (model, near)))
    ) {
        let path: Vec<_> = model.tree().expect("a tree").path(features.values()).collect();
        prop_assert_eq!(path.first(), Some(&0));
        prop_assert!(path.len() <= model.depth() + 1);
        let class = decide(model.tree().expect("a tree").nodes(), 0, &features.values());
        prop_assert_eq!(path.last().map(|&leaf| model.tree().expect("a tree").nodes()[leaf]), Some(Node::Leaf { class }));
    }
}

#[test]
fn chains_reach_the_greatest_depth() {
    let mut runner = TestRunner::deterministic();
    let depths = (0..200).map(|_| model().new_tree(&mut runner).expect("no filter").current().depth());
    assert_eq!(depths.max(), Some(DEPTH_MAX));
}

#[test]
fn the_tree_is_built_on_a_small_stack() {
    let leaf = Model::from_nodes("", vec![BENIGN.to_owned()], vec![Node::Leaf { class: 0 }]).expect("a leaf is a tree");
    let build = thread::Builder::new().stack_size(256 << 10).spawn(move || leaf.to_array().expect("a tree").nodes[0]);
    assert_eq!(build.expect("a thread").join().expect("no overflow"), treeline_ebpf::Node::leaf(0));
}

#[test]
fn the_largest_tree_fits_the_file() {
    let inner = u16::try_from(NODES_MAX / 2 - 1).expect("16 bits");
    // A heap's numbering: the children of i are 2i + 1 and 2i + 2.
    let nodes = (0..=2 * inner).map(|index| match index {
        index if index < inner => Node::Inner { feature: 11, threshold: i64::MIN, left: 2 * index + 1, right: 2 * index + 2 },
        _ => Node::Leaf { class: 0 },
    });
    let model = Model::from_nodes("", vec![BENIGN.to_owned()], nodes.collect()).expect("a tree");
    assert_eq!((model.tree().expect("a tree").nodes().len(), model.depth()), (NODES_MAX - 1, 12));
    assert!(model.to_json().len() < 1 << 20, "{} bytes", model.to_json().len());
    assert!(matches!(Model::read_bytes(model.to_json().as_bytes()), Ok(read) if read == model));
    let one_more = [model.tree().expect("a tree").nodes(), &[Node::Leaf { class: 0 }; 2]].concat();
    let refused = Model::from_nodes("", vec![BENIGN.to_owned()], one_more);
    assert!(matches!(refused, Err(Error::TooManyNodes { found: 8193 })), "{refused:?}");
}
