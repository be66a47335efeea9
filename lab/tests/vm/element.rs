//! What a pointer to a value shows after its entry was deleted, replaced or evicted: the element's next entry, as in the kernel.

use crate::code::{Code, cell, load_with, shape};
use crate::kernel::Kernel;
use std::fmt::Debug;
use treeline_lab::vm::{ANY, Hook, MapKind, NO_COMMON_LRU, NO_PREALLOC, Options, Shape};

/// One step of a program. Holders are r7, r8 and r9.
#[derive(Debug, Clone, Copy)]
enum Step {
    Update(i32, i32),
    Delete(i32),
    /// A holder takes the pointer to a key's value.
    Hold(u8, i32),
    /// The result is what a holder points to.
    Read(u8),
    /// The same, and a write there.
    Write(u8, i32),
}
use Step::{Delete, Hold, Read, Update, Write};

const RESULTS: usize = 8 * 16;

fn call(code: Code, kind: MapKind, key: i32, helper: i32) -> Code {
    // In a trie keys are whole: prefixes of 32 bits.
    let first = if kind == MapKind::LpmTrie { 32 } else { 0 };
    code.asm(&format!("stw [r10-8], {first}\nstw [r10-4], {key}")).map(1, 1).asm(&format!("mov r2, r10\nadd r2, -8\ncall {helper}"))
}

/// A program that takes the steps upon map 1; what `Read` and `Write` read goes to the results (map 0), one after the other.
fn assemble(kind: MapKind, steps: &[Step]) -> Code {
    let mut code = Code::default().value(6, 0, 0).asm("mov r7, r6\nmov r8, r6\nmov r9, r6\nstdw [r10-16], 0");
    let mut result = 0;
    for step in steps {
        code = match *step {
            Update(key, value) => call(code.asm(&format!("stdw [r10-16], {value}\nmov r3, r10\nadd r3, -16\nmov r4, 0")), kind, key, 2),
            Delete(key) => call(code, kind, key, 3),
            Hold(holder, key) => call(code, kind, key, 1).asm(&format!("jeq r0, 0, 1\nmov r{}, r0", 7 + holder)),
            Read(holder) | Write(holder, _) => {
                let code = code.asm(&format!("ldxdw r0, [r{}+0]\nstxdw [r6+{result}], r0", 7 + holder));
                result += 8;
                if let Write(_, value) = *step { code.asm(&format!("stdw [r{}+0], {value}", 7 + holder)) } else { code }
            }
        };
    }
    code.asm("mov r0, 2\nexit")
}

fn target(kind: MapKind, flags: u32, max_entries: u32) -> Shape {
    Shape { name: "target".to_owned(), flags, ..shape(kind, 8, 8, max_entries) }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect()
}

/// Takes the steps in the VM and in the kernel, three times over, and compares what they read and the entries afterwards. The answer is
/// what the VM read the first time.
fn compare(test: &str, target: &Shape, steps: &[Step]) -> Vec<u64> {
    let (code, maps) = (assemble(target.kind, steps), [cell(RESULTS), target.clone()]);
    let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
    let kernel = Kernel::load(test, Hook::Xdp, &code.0, &maps);
    let mut first = None;
    for run in 0..3 {
        vm.run(&[0; 64], 0).expect("runs");
        let ours = vm.map("Array").and_then(|map| map.entry(0)).map(words).expect("the results");
        if let Some(kernel) = &kernel {
            kernel.run(&[0; 64]);
            let theirs = kernel.lookup(0, &[0; 4]).map(|bytes| words(&bytes)).expect("the results");
            assert_eq!(ours, theirs, "{test}: {target:?}, run {run}: {steps:?}");
            for number in 0..300_u32 {
                let start = if target.kind == MapKind::LpmTrie { 32_u32 } else { 0 };
                let key = [start.to_le_bytes(), number.to_le_bytes()].concat();
                let value = vm.map("target").and_then(|map| map.lookup(&key)).map(<[u8]>::to_vec);
                assert_eq!(value, kernel.lookup(1, &key), "{test}: {target:?}, key {number}, run {run}: {steps:?}");
            }
        }
        first.get_or_insert(ours);
    }
    first.expect("three runs")
}

/// The kinds whose elements are used again at once.
fn kinds() -> [Shape; 9] {
    [
        target(MapKind::Hash, 0, 8),
        target(MapKind::Hash, NO_PREALLOC, 8),
        target(MapKind::PerCpuHash, 0, 8),
        target(MapKind::PerCpuHash, NO_PREALLOC, 2),
        target(MapKind::LruHash, 0, 1000),
        target(MapKind::LruHash, 0, 64),
        target(MapKind::LruHash, NO_COMMON_LRU, 64),
        target(MapKind::LruPerCpuHash, 0, 64),
        target(MapKind::LruPerCpuHash, NO_COMMON_LRU, 64),
    ]
}

#[test]
fn a_deleted_entrys_pointer_shows_the_entry_that_has_its_element_next() {
    let test = "a_deleted_entrys_pointer_shows_the_entry_that_has_its_element_next";
    for target in kinds() {
        let steps = [Update(1, 11), Hold(0, 1), Delete(1), Read(0), Update(2, 22), Write(0, 33), Hold(1, 2), Read(1), Delete(2)];
        let read = compare(test, &target, &steps);
        assert_eq!(read[..3], [11, 22, 33], "{target:?}: gone, another entry's, written through the old pointer");
        // Two deleted: the last one is used first, as long as they are not yet old in an LRU map.
        let steps = [Update(1, 11), Update(2, 12), Hold(0, 1), Hold(1, 2), Delete(1), Delete(2)];
        let steps = [&steps[..], &[Update(3, 23), Read(0), Read(1), Update(4, 24), Read(0), Read(1), Delete(3), Delete(4)]].concat();
        let read = compare(test, &target, &steps);
        assert_eq!(read[..4], [11, 23, 24, 23], "{target:?}");
    }
}

#[test]
fn a_replaced_values_pointer_shows_the_value_that_has_its_element_next() {
    let test = "a_replaced_values_pointer_shows_the_value_that_has_its_element_next";
    let steps =
        [Update(1, 11), Hold(0, 1), Update(1, 22), Read(0), Update(1, 33), Read(0), Update(1, 44), Write(0, 55), Hold(1, 1), Read(1)];
    for target in kinds() {
        let read = compare(test, &target, &steps);
        let expected = match target.kind {
            // In place.
            MapKind::PerCpuHash | MapKind::LruPerCpuHash => [22, 33, 44, 55],
            _ => [11, 33, 33, 44],
        };
        assert_eq!(read[..4], expected, "{target:?}");
    }
}

#[test]
fn an_update_of_another_key_takes_the_element_that_an_update_left() {
    for target in kinds() {
        let steps = [
            Update(1, 11),
            Update(2, 12),
            Hold(0, 1),
            Update(1, 21),
            Update(2, 22),
            Write(0, 23),
            Hold(1, 2),
            Read(1),
            Update(3, 33),
            Read(0),
        ];
        let steps = if target.max_entries > 2 { &steps[..] } else { &steps[..8] };
        compare("an_update_of_another_key_takes_the_element_that_an_update_left", &target, steps);
    }
}

#[test]
fn a_tries_old_node_stays_what_it_was_while_the_program_runs() {
    let steps = [Update(1, 11), Hold(0, 1), Update(1, 22), Read(0), Update(1, 33), Update(2, 44), Read(0), Hold(1, 2), Delete(2)];
    let steps = [&steps[..], &[Update(3, 55), Update(4, 66), Write(1, 77), Read(1), Delete(3), Read(0)]].concat();
    let read = compare("a_tries_old_node_stays_what_it_was_while_the_program_runs", &target(MapKind::LpmTrie, NO_PREALLOC, 8), &steps);
    assert_eq!(read[..5], [11, 11, 44, 77, 11]);
}

#[test]
fn a_pointer_to_an_evicted_entry_shows_the_entry_that_evicted_it() {
    let test = "a_pointer_to_an_evicted_entry_shows_the_entry_that_evicted_it";
    let mut shown = Vec::new();
    for (kind, flags) in
        [(MapKind::LruHash, 0), (MapKind::LruHash, NO_COMMON_LRU), (MapKind::LruPerCpuHash, 0), (MapKind::LruPerCpuHash, NO_COMMON_LRU)]
    {
        for max_entries in [1, 2, 3, 4, 5, 8, 13] {
            let mut steps = vec![Update(1, 11), Hold(0, 1), Update(2, 12), Hold(1, 2), Update(3, 13), Hold(2, 3)];
            for key in 4..20 {
                steps.extend([Update(key, 100 + key)]);
                if key % 4 == 0 {
                    steps.extend([Read(0), Read(1), Read(2)]);
                }
            }
            shown.push(compare(test, &target(kind, flags, max_entries), &steps));
        }
    }
    assert!(shown.iter().all(|read| read.iter().any(|value| *value > 100)), "each map evicted an entry that was held: {shown:?}");
}

#[test]
fn a_full_lru_map_evicts_what_the_kernels_evicts() {
    let draw = |number: u64| {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            i32::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 48).expect("16 bits")
        }
    };
    for (number, max_entries) in (0..).zip([1, 2, 3, 7, 20, 64, 100, 128, 200, 255, 290]) {
        for (kind, flags) in [(MapKind::LruHash, 0), (MapKind::LruHash, NO_COMMON_LRU), (MapKind::LruPerCpuHash, 0)] {
            let mut next = draw(number);
            let steps: Vec<Step> = (0..800)
                .map(|_| match next() % 8 {
                    0 => Delete(next() % 300),
                    1 | 2 => Hold(0, next() % 300),
                    _ => Update(next() % 300, next()),
                })
                .collect();
            compare("a_full_lru_map_evicts_what_the_kernels_evicts", &target(kind, flags, max_entries), &steps);
        }
    }
}

#[test]
fn the_hosts_changes_move_elements_as_the_kernels_do() {
    let test = "the_hosts_changes_move_elements_as_the_kernels_do";
    for target in kinds() {
        let steps = [Hold(0, 1), Hold(1, 2), Update(5, 55), Read(0), Read(1), Delete(1), Update(6, 66), Read(0), Delete(5), Delete(6)];
        let (code, maps) = (assemble(target.kind, &steps[..]), [cell(RESULTS), target.clone()]);
        let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
        let Some(kernel) = Kernel::load(test, Hook::Xdp, &code.0, &maps) else { return };
        for round in 1..6_u64 {
            for (key, is_update) in [(1_u32, true), (2, round % 2 == 0), (1, true), (2, false)] {
                let key = [0_u32.to_le_bytes(), key.to_le_bytes()].concat();
                let map = vm.map_mut("target").expect("there");
                if is_update {
                    map.update(&key, &round.to_le_bytes(), ANY).expect("there is room");
                    kernel.update(1, &key, &round.to_le_bytes());
                } else {
                    assert_eq!(map.delete(&key).is_ok(), kernel.delete(1, &key), "{test}: {target:?}, round {round}");
                }
            }
            vm.run(&[0; 64], 0).expect("runs");
            kernel.run(&[0; 64]);
            let ours = vm.map("Array").and_then(|map| map.entry(0)).map(words);
            assert_eq!(ours, kernel.lookup(0, &[0; 4]).map(|bytes| words(&bytes)), "{test}: {target:?}, round {round}");
        }
    }
}

#[test]
fn an_update_under_a_lock_that_values_do_not_have_fails_as_in_the_kernel() {
    let test = "an_update_under_a_lock_that_values_do_not_have_fails_as_in_the_kernel";
    let kinds = [MapKind::Hash, MapKind::PerCpuHash, MapKind::LruHash, MapKind::LruPerCpuHash, MapKind::Array, MapKind::PerCpuArray];
    for kind in kinds {
        let key_size = if kind.is_array() { 4 } else { 8 };
        let maps = [cell(RESULTS), Shape { key_size, ..target(kind, 0, 4) }];
        let mut code = Code::default().value(6, 0, 0).asm("stdw [r10-16], 7\nstdw [r10-8], 0");
        // Of an array the second key lies beyond the end.
        let calls = [0, 4, 5, 6, 7, 8, 12].into_iter().flat_map(|flags| [(1, flags), (9, flags)]);
        for (place, (key, flags)) in calls.enumerate() {
            code = code.asm(&format!("stw [r10-8], {key}\nmov r3, r10\nadd r3, -16\nmov r4, {flags}")).map(1, 1);
            code = code.asm(&format!("mov r2, r10\nadd r2, -8\ncall 2\nstxdw [r6+{}], r0", place * 8));
        }
        let code = code.asm("mov r0, 2\nexit");
        let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
        vm.run(&[0; 64], 0).expect("runs");
        let ours = vm.map("Array").and_then(|map| map.entry(0)).map(words).expect("the results");
        assert!(ours[2..8].iter().all(|answer| *answer != 0), "{kind:?}: {ours:?}");
        let Some(kernel) = Kernel::load(test, Hook::Xdp, &code.0, &maps) else { return };
        kernel.run(&[0; 64]);
        assert_eq!(Some(ours), kernel.lookup(0, &[0; 4]).map(|bytes| words(&bytes)), "{kind:?}");
    }
}
