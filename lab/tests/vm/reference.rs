//! Maps whose entries name programs and maps, and maps without keys, against the kernel's.

use crate::call::{
    Calls,
    Give::{Map, Number, Stack},
    RESULTS, check,
};
use crate::code::{Code, cell, load_with, shape};
use crate::kernel::Kernel;
use proptest::prelude::*;
use treeline_lab::vm::{ANY, Hook, MapKind, Options, Shape, Vm, VmError};

fn named(name: &str, mut shape: Shape) -> Shape {
    name.clone_into(&mut shape.name);
    shape
}

fn results(vm: &Vm) -> Option<Vec<u8>> {
    vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec)
}

#[test]
fn a_program_that_calls_itself_comes_to_the_limit_of_tail_calls() {
    // Counts its runs in the first result, then goes on to the entry whose key the packet's first byte says.
    let code = Code::default().asm("mov r9, r1").value(8, 0, 0).asm("ldxdw r1, [r8+0]\nadd r1, 1\nstxdw [r8+0], r1");
    let code =
        code.asm("ldxdw r3, [r8+8]\nmov r1, r9").map(2, 1).asm("call 12\nldxdw r1, [r8+16]\nadd r1, 1\nstxdw [r8+16], r1\nmov r0, 7\nexit");
    let maps = [cell(RESULTS), named("programs", shape(MapKind::ProgArray, 4, 4, 4))];
    for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
        let mut vm = load_with(hook, &code, &maps, &Options::default()).expect("loads");
        vm.map_mut("programs").expect("there").update(&1_u32.to_le_bytes(), &[0; 4], ANY).expect("taken");
        let Some(kernel) = Kernel::load("tail calls", hook, &code.0, &maps) else { return };
        kernel.put(1, &1_u32.to_le_bytes(), &kernel.program(), 0).expect("taken");
        for key in [0_u64, 1, 3, 4, 1 << 40, 1 << 40 | 1] {
            let mut value = vec![0; RESULTS];
            value[8..16].copy_from_slice(&key.to_le_bytes());
            vm.map_mut("Array").expect("there").update(&[0; 4], &value, ANY).expect("fits");
            kernel.update(0, &[0; 4], &value);
            let returned = vm.run(&[0; 64], 0).expect("runs");
            assert_eq!((returned, results(&vm)), (u64::from(kernel.run(&[0; 64])), kernel.lookup(0, &[0; 4])), "{hook:?}, key {key}");
        }
    }
}

/// Looks up in map 2, then in what it found, and adds to the value.
fn nested(key: i32) -> Code {
    let code = Code::default().value(8, 0, 0).asm(&format!("stw [r10-4], {key}\nmov r2, r10\nadd r2, -4")).map(1, 2);
    let code =
        code.asm("call 1\nstdw [r8+0], 1\njeq r0, 0, 13\nstdw [r8+0], 2\nmov r1, r0\nstw [r10-4], 0\nmov r2, r10\nadd r2, -4\ncall 1");
    code.asm("jeq r0, 0, 6\nldxdw r1, [r0+0]\nadd r1, 5\nstxdw [r0+0], r1\nstxdw [r8+8], r1\nstdw [r8+0], 3\nmov r2, 0\nmov r0, 1\nexit")
}

#[test]
fn maps_in_maps_are_found_and_changed() {
    let inner = named("inner", shape(MapKind::Array, 4, 8, 1));
    for kind in [MapKind::ArrayOfMaps, MapKind::HashOfMaps] {
        let outer = named("outer", shape(kind, 4, 4, 4));
        let maps = [cell(RESULTS), inner.clone(), outer];
        for key in [0, 1, 4, -1] {
            let code = nested(key);
            let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
            let added = vm.add_map(&named("added", inner.clone())).expect("added");
            for (key, map) in [(1_u32, 1_u32), (2, added), (0, added)] {
                vm.map_mut("outer").expect("there").update(&key.to_le_bytes(), &map.to_le_bytes(), ANY).expect("taken");
            }
            let Some(kernel) = Kernel::load("maps in maps", Hook::Xdp, &code.0, &maps) else { return };
            kernel.put(2, &1_u32.to_le_bytes(), &kernel.descriptor(1), 0).expect("taken");
            let is_other = key == 0;
            for _ in 0..3 {
                vm.run(&[0; 64], 0).expect("runs");
                kernel.run(&[0; 64]);
                if is_other {
                    continue;
                }
                assert_eq!(results(&vm), kernel.lookup(0, &[0; 4]), "{kind:?}, key {key}");
                assert_eq!(vm.map("inner").and_then(|map| map.lookup(&[0; 4])).map(<[u8]>::to_vec), kernel.lookup(1, &[0; 4]));
            }
            if is_other {
                assert_eq!(vm.map_at(added as usize).and_then(|map| map.lookup(&[0; 4])), Some(&15_u64.to_le_bytes()[..]));
            }
            assert_eq!(vm.map("outer").expect("there").touched().len(), 1);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Push { value: u64, flags: u64 },
    Pop,
    Peek,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..6_u64, prop_oneof![4 => Just(0), 1 => 0..4_u64]).prop_map(|(value, flags)| Step::Push { value, flags }),
        1 => Just(Step::Pop),
        1 => Just(Step::Peek),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn queues_and_stacks_equal_the_kernels(steps in prop::collection::vec(step(), 1..30)) {
        for kind in [MapKind::Queue, MapKind::Stack, MapKind::Bloom] {
            let mut calls = Calls::new();
            for step in &steps {
                calls = match *step {
                    Step::Push { value, flags } => calls.set(64, value).call(87, &[Map(1), Stack(64), Number(flags)]),
                    Step::Pop if kind == MapKind::Bloom => calls,
                    Step::Pop => calls.set(64, 99).call(88, &[Map(1), Stack(64)]).keep_stack(64, 8),
                    Step::Peek => calls.set(64, 3).call(89, &[Map(1), Stack(64)]).keep_stack(64, 8),
                };
            }
            check(&format!("{kind:?}"), Hook::Xdp, &calls.end(), &[shape(kind, 0, 8, 4)], &[vec![0; 60], vec![0; 61]]);
        }
    }
}

#[test]
fn the_host_fills_queues_and_references_as_the_kernel_lets_it() {
    let code = Code::default().asm("mov r0, 0\nexit");
    let kinds =
        [MapKind::Queue, MapKind::Stack, MapKind::Bloom, MapKind::ProgArray, MapKind::PerfEventArray, MapKind::DevMap, MapKind::DevMapHash];
    for kind in kinds {
        let is_keyless = matches!(kind, MapKind::Queue | MapKind::Stack | MapKind::Bloom);
        let maps = [named("target", shape(kind, if is_keyless { 0 } else { 4 }, 4, 2))];
        let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
        let Some(kernel) = Kernel::load("the host", Hook::Xdp, &code.0, &maps) else { return };
        let map = vm.map_mut("target").expect("there");
        for key in [0_u32, 1, 2] {
            for flags in [0_u64, 1, 2, 3] {
                let key = key.to_le_bytes();
                let key: &[u8] = if is_keyless { &[] } else { &key };
                // A program's descriptor is no perf event's, and a perf event's none of ours: only refusals can be compared there.
                let value = if kind == MapKind::ProgArray { kernel.program() } else { 1_u32.to_le_bytes() };
                let theirs = kernel.put(0, key, &value, flags);
                let ours = match map.update(key, &1_u32.to_le_bytes(), flags) {
                    Ok(()) => Ok(()),
                    Err(VmError::MapOperation { errno, .. }) => Err(errno),
                    Err(other) => panic!("{other}"),
                };
                if kind != MapKind::PerfEventArray || ours.is_err() {
                    assert_eq!(ours, theirs, "{kind:?}, key {key:?}, flags {flags}");
                }
            }
        }
    }
}
