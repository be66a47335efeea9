//! Objects with a tree compiled into them: a wrong instruction is caught, what cannot be linked is refused, and the rest of the object stays.
//!
//! That compiled trees agree with walked ones on any frames is in `property.rs`; loading by the kernel and its tools in `kernel.rs`.

mod support;

use proptest::prelude::*;
use support::recipe::Recipe;
use treeline_ebpf::{Config, Outcome};
use treeline_lab::bpf::ReadOptions;
use treeline_lab::vm;
use treeline_model::link::{LinkError, SECTION, link};
use treeline_model::{BENIGN, Model, Node};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::vm::Vm;
use treeline_sim::engine::{Engine, Hook, Settings};
use treeline_sim::{object, oracle};

/// Packets whose length alone decides: up to the threshold benign.
fn by_length(threshold: i64) -> Model {
    let nodes = vec![Node::Inner { feature: 3, threshold, left: 1, right: 2 }, Node::Leaf { class: 0 }, Node::Leaf { class: 1 }];
    Model::from_nodes("by length", vec![BENIGN.to_owned(), "long".to_owned()], nodes).expect("a tree")
}

fn settings(hook: Hook, model: &Model) -> Settings {
    support::settings(hook, Config::default(), model)
}

/// The canary: were the compiler wrong by one in one threshold, the oracle would say so at the first packet that shows it.
#[test]
fn a_compiled_tree_with_one_wrong_threshold_is_caught() {
    let (right, wrong) = (by_length(128 << 16), by_length((128 << 16) - 1));
    for hook in Hook::ALL {
        let mut native = Native::new(&settings(hook, &right));
        let mut compiled = Vm::new(&settings(hook, &right).compiled(&wrong).expect("links")).expect("loads");
        let packets = [99, 100, 101].map(|payload| (0, Recipe { payload, ..Recipe::default() }.bytes()));
        let differ: Vec<bool> = support::frames(packets)
            .iter()
            .map(|frame| {
                let (expected, found) = (native.judge(frame).expect("judges"), compiled.judge(frame).expect("judges"));
                !oracle::compare(&expected, &found).is_empty()
            })
            .collect();
        assert_eq!(differ, [false, true, false], "{}: of lengths 127, 128 and 129 only 128 lies between the thresholds", hook.name());
    }
}

/// The MODEL map is empty when a linked object runs: what decides is the code.
#[test]
fn a_linked_object_decides_without_its_model_map() {
    for class in [0, 1] {
        let model = support::constant(class);
        let mut engine =
            Vm::new(&Settings { decider: support::unloaded(), ..settings(Hook::Xdp, &model) }.compiled(&model).expect("links"));
        let engine = engine.as_mut().expect("loads");
        let frame = &support::frames([(0, Recipe::default().bytes())])[0];
        assert_eq!(engine.judge(frame).expect("judges").outcome, Outcome::Judged(class));
    }
}

#[test]
fn a_linked_object_carries_its_model_and_keeps_maps_and_programs() {
    let model = support::model();
    let linked = link(object::OBJECT, &model).expect("links").object;
    let document = model.to_json();
    let found = linked.windows(document.len()).filter(|window| *window == document.as_bytes()).count();
    assert_eq!(found, 1, "the document is in section {SECTION} of the file");
    let shapes = |elf: &[u8]| {
        let object = vm::Object::parse(elf, &ReadOptions::default()).expect("an object");
        let programs: Vec<_> = object.programs().iter().map(|program| program.name.clone()).collect();
        (programs, vm::shapes(&object))
    };
    assert_eq!(shapes(&linked), shapes(object::OBJECT));
    assert_eq!(linked, link(object::OBJECT, &model).expect("links").object, "the same model gives the same bytes");
}

/// A section has two programs, and the tree's code lies between them.
#[test]
fn source_lines_of_every_program_stay_with_their_instructions() {
    let own_lines = |elf: &[u8]| -> Vec<_> {
        let object = vm::Object::parse(elf, &ReadOptions::default()).expect("an object");
        let own = |program: &vm::Program| {
            // Behind the program itself lies the function that stands for the tree, if it is not linked.
            let end = program.functions.get(1).map_or(usize::MAX, |function| function.start);
            let lines: Vec<_> = program.lines.iter().filter(|line| line.instruction < end).cloned().collect();
            assert!(lines.len() > 100 || program.name == object::FLOOR, "{} has source lines", program.name);
            (program.name.clone(), program.functions[0].clone(), lines)
        };
        object.programs().iter().map(own).collect()
    };
    let linked = link(object::OBJECT, &support::model()).expect("links").object;
    for (before, after) in own_lines(object::OBJECT).iter().zip(own_lines(&linked)) {
        assert_eq!(*before, after);
    }
}

#[test]
fn what_has_no_place_for_a_tree_is_refused_by_name() {
    let model = by_length(0);
    let linked = link(object::OBJECT, &model).expect("links").object;
    let twice = link(&linked, &model);
    assert!(matches!(twice, Err(LinkError::Missing { what: "call of treeline_tree" })), "{twice:?}");
    for bytes in [&[][..], b"\x7fELF", &object::OBJECT[..1000], &[0; 4096]] {
        let refused = link(bytes, &model);
        assert!(matches!(refused, Err(LinkError::Elf { .. })), "{refused:?}");
    }
    let mut renamed = object::OBJECT.to_vec();
    let names: Vec<_> = (0..renamed.len()).filter(|at| renamed[*at..].starts_with(b"treeline_tree\0")).collect();
    for at in names {
        renamed[at] = b'x';
    }
    let refused = link(&renamed, &model);
    assert!(matches!(refused, Err(LinkError::Missing { what: "function treeline_tree" })), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_object_is_linked_or_refused(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = object::OBJECT.to_vec();
        for (place, byte) in damage {
            // Headers and symbols lie behind the code.
            let place = bytes.len() - 1 - place.index(24_576);
            bytes[place] = byte;
        }
        let _ = link(&bytes, &by_length(0));
    }
}
