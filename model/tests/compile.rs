//! The code of a tree decides what the tree decides: run by an interpreter of the few instructions that the compiler uses, which refuses
//! any other, and anything that the kernel's verifier would refuse in them.

use proptest::prelude::*;
use treeline_ebpf::Features;
use treeline_ebpf::feature::{FEATURES, SLOTS};
use treeline_ebpf::tree::{DEPTH_MAX, NODES_MAX, descend};
use treeline_model::compile::{Code, compile};
use treeline_model::strategy::{features, features_near, model, model_within, passing};
use treeline_model::{BENIGN, Model, Node};

/// Runs the code over a vector and counts the instructions executed.
fn run(code: &Code, vector: &[i64; SLOTS]) -> (i64, usize) {
    let bytes = code.bytes();
    let slots: Vec<[u8; 8]> = bytes.chunks_exact(8).map(|slot| slot.try_into().expect("eight bytes")).collect();
    let mut registers = [None; 11];
    let (mut at, mut steps) = (0, 0);
    loop {
        let [operation, operands, offset_low, offset_high, immediate @ ..] = slots[at];
        let (destination, source) = (usize::from(operands & 15), usize::from(operands >> 4));
        let (offset, immediate) = (i16::from_le_bytes([offset_low, offset_high]), i32::from_le_bytes(immediate));
        let read = |register: usize| registers[register].expect("only what was written is read");
        steps += 1;
        at += 1;
        match operation {
            0x79 => {
                assert!(source == 1 && offset % 8 == 0, "a load of a slot");
                registers[destination] = Some(vector[usize::try_from(offset / 8).expect("inside the vector")]);
            }
            0xb4 => registers[destination] = Some(i64::from(immediate.cast_unsigned())),
            0x18 => {
                let [0, 0, 0, 0, high @ ..] = slots[at] else { panic!("a second half has four zeros") };
                registers[destination] = Some(i64::from(i32::from_le_bytes(high)) << 32 | i64::from(immediate.cast_unsigned()));
                at += 1;
            }
            0x65 | 0x6d | 0xd5 | 0xdd => {
                let other = if operation & 8 == 0 { i64::from(immediate) } else { read(source) };
                let is_up_to = operation >= 0xd0;
                if (read(destination) <= other) == is_up_to {
                    at += usize::try_from(offset).expect("no backward jump");
                }
            }
            0x95 => return (read(0), steps),
            other => panic!("operation {other:#x} at {at}"),
        }
    }
}

fn vector(features: &Features) -> [i64; SLOTS] {
    std::array::from_fn(|slot| features.value(slot as u64))
}

fn code(model: &Model) -> Code {
    compile(model).expect("a tree")
}

fn check(model: &Model, features: &Features) {
    let expected = descend(&model.to_array().expect("a tree"), features).expect("a model decides");
    let (class, steps) = run(&code(model), &vector(features));
    assert_eq!(class, i64::from(expected), "{:?}\n{}", features.values(), model.to_json());
    // Of each question at most a load, an immediate and a branch; of the leaf two.
    assert!(steps <= 3 * (model.depth() + 1) + 2, "{steps} instructions for a tree of depth {}", model.depth());
}

fn of(nodes: Vec<Node>) -> Model {
    let classes = [BENIGN, "flood", "scan"].map(str::to_owned).to_vec();
    Model::from_nodes("a tree by hand", classes, nodes).expect("a tree")
}

fn stump(feature: u16, threshold: i64) -> Model {
    of(vec![Node::Inner { feature, threshold, left: 1, right: 2 }, Node::Leaf { class: 1 }, Node::Leaf { class: 2 }])
}

proptest! {
    #[test]
    fn code_decides_what_the_walk_decides((model, vectors) in passing(model()).prop_flat_map(|model| {
        let vectors = prop::collection::vec(prop_oneof![3 => features_near(&model), 1 => features()], 16);
        (Just(model), vectors)
    })) {
        for features in vectors {
            check(&model, &features);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn code_of_large_trees_decides_what_the_walk_decides((model, vectors) in model_within(1_000, 20).prop_flat_map(|model| {
        let vectors = prop::collection::vec(features_near(&model), 64);
        (Just(model), vectors)
    })) {
        for features in vectors {
            check(&model, &features);
        }
    }
}

#[test]
fn thresholds_at_the_ends_of_32_and_64_bits_split_exactly() {
    let ends = [0, i64::from(i32::MIN), i64::from(i32::MAX), i64::from(u32::MAX), -i64::from(u32::MAX), 1 << 47, i64::MIN, i64::MAX];
    for threshold in ends.iter().flat_map(|end| [-1, 0, 1].map(|step| end.saturating_add(step))) {
        let code = code(&stump(4, threshold));
        for value in [-1, 0, 1].map(|step| threshold.saturating_add(step)).into_iter().chain(ends) {
            let mut vector = [0; SLOTS];
            vector[4] = value;
            assert_eq!(run(&code, &vector).0, if value <= threshold { 1 } else { 2 }, "{value} and threshold {threshold}");
        }
    }
}

#[test]
fn equal_thresholds_on_one_path_split_like_one() {
    let nodes = vec![
        Node::Inner { feature: 3, threshold: 7, left: 1, right: 2 },
        Node::Inner { feature: 3, threshold: 7, left: 3, right: 4 },
        Node::Inner { feature: 3, threshold: 7, left: 5, right: 6 },
        Node::Leaf { class: 1 },
        Node::Leaf { class: 0 },
        Node::Leaf { class: 0 },
        Node::Leaf { class: 2 },
    ];
    let model = of(nodes);
    for (value, class) in [(6, 1), (7, 1), (8, 2)] {
        let mut vector = [0; SLOTS];
        vector[3] = value;
        assert_eq!(run(&code(&model), &vector).0, class, "{value}");
    }
}

#[test]
fn a_lone_leaf_and_questions_without_consequence_are_two_instructions() {
    assert_eq!(code(&of(vec![Node::Leaf { class: 2 }])).instructions_count(), 2);
    let indifferent = vec![Node::Inner { feature: 0, threshold: 5, left: 1, right: 2 }, Node::Leaf { class: 1 }, Node::Leaf { class: 1 }];
    assert_eq!(code(&of(indifferent)).instructions_count(), 2);
}

/// The largest trees: no jump is too far, whatever their shape.
#[test]
fn the_largest_trees_compile() {
    for alternates in [true, false] {
        let inner = NODES_MAX / 2 - 1;
        let narrow = |index: usize| u16::try_from(index).expect("below NODES_MAX");
        let nodes = (0..=2 * inner).map(|index| {
            if index < inner {
                let threshold = i64::MAX - i64::try_from(index).expect("small");
                Node::Inner { feature: narrow(index % FEATURES), threshold, left: narrow(2 * index + 1), right: narrow(2 * index + 2) }
            } else {
                Node::Leaf { class: narrow(if alternates { index % 3 } else { index - inner }) }
            }
        });
        let classes = (0..=inner).map(|class| if class == 0 { BENIGN.to_owned() } else { format!("class {class}") });
        let model = Model::from_nodes("full", classes.collect(), nodes.collect()).expect("a tree");
        assert!(model.depth() <= DEPTH_MAX);
        let code = code(&model);
        assert!(code.instructions_count() <= NODES_MAX * 3, "{} instructions", code.instructions_count());
        for features in [0, u64::MAX >> 1, (u64::MAX >> 1) - 2_000].map(|value| Features::from([value; FEATURES])) {
            check(&model, &features);
        }
    }
}
