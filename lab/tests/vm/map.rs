//! Random map operations of a program, in the VM and in the kernel: every result, and every entry afterwards.
//!
//! Checked: lookups, changes through the pointer, updates with all flags, deletions, full maps and what LRU maps evict, pointers held over
//! updates, deletions and evictions.

use crate::code::{Code, cell, load_with, shape};
use crate::kernel::Kernel;
use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::exercise::map::{self, Exercise};
use treeline_lab::vm::{ANY, EXIST, Eviction, Hook, MapKind, NOEXIST, Object, Options, Shape, Vm, VmError};

#[derive(Debug, Clone, Copy)]
enum Operation {
    /// Looks up; if there is something, adds to its first half and reports the sum.
    Add {
        key: i32,
        by: i32,
    },
    Update {
        key: i32,
        value: i32,
        flags: i32,
    },
    Delete {
        key: i32,
    },
    /// Looks up, updates the same key, then reports and changes what the old pointer shows.
    Stale {
        key: i32,
        value: i32,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..6, 1..100).prop_map(|(key, by)| Operation::Add { key, by }),
        3 => (0..6, 1..1000, prop_oneof![3 => Just(0), 1 => 0..4]).prop_map(|(key, value, flags)| Operation::Update { key, value, flags }),
        1 => (0..6).prop_map(|key| Operation::Delete { key }),
        1 => (0..6, 1..1000).prop_map(|(key, value)| Operation::Stale { key, value }),
    ]
}

const RESULTS_SIZE: usize = 8 * 40;

/// A call upon map 1 with the key, and for updates the value at r10-24.
fn call(code: Code, key: i32, helper: i32) -> Code {
    code.asm(&format!("stw [r10-4], {key}")).map(1, 1).asm("mov r2, r10\nadd r2, -4").asm(&format!("call {helper}"))
}

fn update(code: Code, key: i32, value: i32, flags: i32) -> Code {
    let code = code.asm(&format!("stdw [r10-24], {value}\nstw [r10-16], {key}\nmov r3, r10\nadd r3, -24\nmov r4, {flags}"));
    call(code, key, 2)
}

/// The program: r6 points to the results (map 0), each operation writes one.
fn assemble(operations: &[Operation]) -> Code {
    let mut code = Code::default().value(6, 0, 0);
    for (position, operation) in operations.iter().enumerate() {
        code = match *operation {
            Operation::Add { key, by } => {
                call(code, key, 1).asm(&format!("jeq r0, 0, 4\nldxdw r1, [r0+0]\nadd r1, {by}\nstxdw [r0+0], r1\nmov r0, r1"))
            }
            Operation::Update { key, value, flags } => update(code, key, value, flags),
            Operation::Delete { key } => call(code, key, 3),
            Operation::Stale { key, value } => {
                let code = call(code, key, 1).asm("mov r7, r0\nmov r0, 0\njeq r7, 0, 15");
                update(code, key, value, 0).asm("ldxdw r0, [r7+0]\nstdw [r7+0], 5\nldxw r1, [r7+8]\nadd r0, r1")
            }
        };
        code = code.asm(&format!("stxdw [r6+{}], r0", position * 8));
    }
    code.asm("mov r0, 2\nexit")
}

fn key(key: u32) -> [u8; 4] {
    key.to_le_bytes()
}

fn compare(target: &Shape, operations: &[Operation]) -> Result<(), TestCaseError> {
    let code = assemble(operations);
    let name = format!("{:?}", target.kind);
    let maps = [cell(RESULTS_SIZE), Shape { name: "target".to_owned(), ..target.clone() }];
    let options = Options { windows: 64, ..Options::default() };
    let mut vm = load_with(Hook::Xdp, &code, &maps, &options).expect("the VM loads it");
    let kernel = Kernel::load("map_operations_equal_the_kernels", Hook::Xdp, &code.0, &maps);
    for run in 0..3 {
        vm.run(&[0; 64], 0).expect("it runs");
        let Some(kernel) = &kernel else { continue };
        kernel.run(&[0; 64]);
        let results = vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec);
        prop_assert_eq!(results, kernel.lookup(0, &[0; 4]), "{} in run {}", &name, run);
        for entry in 0..6 {
            let ours = vm.map("target").and_then(|map| map.lookup(&key(entry))).map(<[u8]>::to_vec);
            prop_assert_eq!(ours, kernel.lookup(1, &key(entry)), "{}, entry {} in run {}", &name, entry, run);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn map_operations_equal_the_kernels(operations in prop::collection::vec(operation(), 1..40)) {
        compare(&shape(MapKind::Hash, 4, 12, 4), &operations)?;
        compare(&shape(MapKind::PerCpuHash, 4, 12, 4), &operations)?;
        compare(&shape(MapKind::LruHash, 4, 12, 1000), &operations)?;
        compare(&shape(MapKind::Array, 4, 12, 4), &operations)?;
        compare(&shape(MapKind::Array, 4, 12, 20), &operations)?;
        compare(&shape(MapKind::PerCpuArray, 4, 12, 4), &operations)?;
    }
}

/// Exercises compared; `CONFORMANCE_CASES` asks for more, `CONFORMANCE_SEED` for others.
const EXERCISES: u64 = 400;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Bytes from a fixed start: xorshift64*.
fn bytes(state: &mut u64, count: usize) -> Vec<u8> {
    let byte = || {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    std::iter::repeat_with(byte).take(count).collect()
}

/// An exercise in the kernel; `None` if that may not be asked.
fn in_kernel(exercise: &Exercise) -> Option<Kernel> {
    Kernel::load("any_operations_equal_the_kernels", Hook::Xdp, &map::program(exercise), &map::shapes(exercise))
}

/// What differs between VM and kernel after three runs of an exercise.
fn difference(exercise: &Exercise, kernel: &Kernel) -> Option<String> {
    let mut vm = map::load(exercise).expect("loads");
    for run in 0..3 {
        vm.run(&[0; 64], 0).expect("it runs");
        kernel.run(&[0; 64]);
        let results = vm.map("results").and_then(|map| map.entry(0)).map(<[u8]>::to_vec);
        let theirs = kernel.lookup(0, &[0; 4]);
        if results != theirs {
            let place =
                results.iter().flatten().zip(theirs.iter().flatten()).position(|(one, two)| one != two).map(|byte| byte / map::RESULT);
            return Some(format!("run {run}: the result of operation {place:?}: vm {results:?}, kernel {theirs:?}"));
        }
        for number in (0..map::KEYS).filter(|_| exercise.shape.kind != MapKind::Bloom) {
            let key = map::key(&exercise.shape, number);
            let ours = vm.map("target").and_then(|map| map.lookup(&key)).map(<[u8]>::to_vec);
            let theirs = kernel.lookup(1, &key);
            if ours != theirs {
                return Some(format!("run {run}: key {number}: vm {ours:?}, kernel {theirs:?}"));
            }
        }
    }
    None
}

/// The exercise without the operations that the difference does not need.
fn reduced(mut exercise: Exercise) -> Exercise {
    for position in (0..exercise.operations.len()).rev() {
        let mut less = exercise.clone();
        less.operations.remove(position);
        if in_kernel(&less).is_some_and(|kernel| difference(&less, &kernel).is_some()) {
            exercise = less;
        }
    }
    exercise
}

/// Out of bytes, as the fuzz target has them: more kinds and sizes, full LRU maps, pointers held whatever becomes of their entry.
#[test]
fn any_operations_equal_the_kernels() {
    let (seed, count) = (setting("CONFORMANCE_SEED", setting("PROPTEST_RNG_SEED", 1)), setting("CONFORMANCE_CASES", EXERCISES));
    // Never zero, and another one for each seed.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut through = 0;
    for number in 0..count {
        let length = usize::try_from(16 + number % 400).expect("few");
        let bytes = bytes(&mut state, length);
        let Ok(exercise) = Exercise::arbitrary(&mut Unstructured::new(&bytes)) else { continue };
        let Some(kernel) = in_kernel(&exercise) else { return };
        if let Some(text) = difference(&exercise, &kernel) {
            let small = reduced(exercise.clone());
            let text = in_kernel(&small).and_then(|kernel| difference(&small, &kernel)).unwrap_or(text);
            panic!("seed {seed}, case {number}: {text}: {small:?}");
        }
        through += u64::from(exercise.operations.iter().any(|operation| matches!(operation, map::Operation::Through { .. })));
        assert!(map::map(&bytes).is_ok(), "case {number}");
    }
    println!("seed {seed}: {count} exercises compared, {through} of them through held pointers");
    assert!(through * 2 > count, "too few hold pointers for this to say anything");
}

fn errno(result: Result<(), VmError>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(VmError::MapOperation { errno, .. }) => errno,
        Err(other) => panic!("{other}"),
    }
}

fn empty(kind: MapKind, max_entries: u32) -> Vm {
    load_with(Hook::Xdp, &Code::default().asm("mov r0, 0\nexit"), &[shape(kind, 4, 8, max_entries)], &exact()).expect("loads")
}

fn exact() -> Options {
    Options { eviction: Eviction::LeastRecentlyUsed, ..Options::default() }
}

#[test]
fn the_host_gets_the_kernels_error_numbers() {
    let mut vm = empty(MapKind::Hash, 2);
    let map = vm.map_mut("Hash").expect("the map");
    assert_eq!(errno(map.update(&key(1), &[1; 8], EXIST)), libc::ENOENT);
    assert_eq!(errno(map.update(&key(1), &[1; 8], ANY)), 0);
    assert_eq!(errno(map.update(&key(1), &[1; 8], NOEXIST)), libc::EEXIST);
    assert_eq!(errno(map.update(&key(2), &[1; 8], 3)), libc::EINVAL);
    assert_eq!(errno(map.update(&key(2), &[1; 7], ANY)), libc::EINVAL);
    assert_eq!(errno(map.update(&key(2), &[2; 8], NOEXIST)), 0);
    assert_eq!(errno(map.update(&key(3), &[3; 8], ANY)), libc::E2BIG);
    assert_eq!(errno(map.delete(&key(3))), libc::ENOENT);
    assert_eq!(errno(map.delete(&key(1))), 0);
    assert_eq!(map.entries().collect::<Vec<_>>(), [(key(2).to_vec(), &[2; 8][..])]);
    let mut vm = empty(MapKind::Array, 2);
    let map = vm.map_mut("Array").expect("the map");
    assert_eq!(errno(map.delete(&key(0))), libc::EINVAL);
    assert_eq!(errno(map.update(&key(2), &[0; 8], ANY)), libc::E2BIG);
    assert_eq!(errno(map.update(&key(1), &[0; 8], NOEXIST)), libc::EEXIST);
    assert_eq!(map.len(), 2);
}

#[test]
fn an_exact_lru_map_evicts_the_least_recently_used() {
    // The program looks up key 1, which makes key 2 the oldest.
    let code = call(Code::default(), 1, 1).asm("mov r0, 0\nexit");
    let maps = [cell(8), shape(MapKind::LruHash, 4, 8, 3)];
    let mut vm = load_with(Hook::Xdp, &code, &maps, &exact()).expect("loads");
    for number in 1..4 {
        vm.map_mut("LruHash").expect("the map").update(&key(number), &[0; 8], ANY).expect("there is room");
    }
    vm.run(&[0; 64], 0).expect("runs");
    let map = vm.map_mut("LruHash").expect("the map");
    for number in 4..7 {
        map.update(&key(number), &[0; 8], ANY).expect("evicts");
        assert_eq!(map.len(), 3);
        let left = |number| map.lookup(&key(number)).is_some();
        assert_eq!((left(1), left(2), left(3)), (number < 6, false, number < 5), "after {number}");
    }
}

#[test]
fn ten_thousand_keys_come_and_go() {
    let mut vm = empty(MapKind::LruHash, 1000);
    let map = vm.map_mut("LruHash").expect("the map");
    for number in 1..=10_000_u32 {
        map.update(&key(number), &u64::from(number).to_le_bytes(), ANY).expect("evicts");
        if number % 3 == 0 {
            map.delete(&key(number)).expect("it was just put there");
        }
    }
    assert_eq!(map.len(), 1000);
    for (entry, value) in map.entries() {
        assert_eq!(entry, value[..4]);
        assert!(u32::from_le_bytes(value[..4].try_into().expect("four")) >= 8_500);
    }
}

#[test]
fn a_change_through_a_pointer_counts_also_when_the_run_faults() {
    let code = call(Code::default(), 1, 1).asm("stdw [r0+0], 9\nldxdw r0, [r0+100]\nexit");
    let maps = [cell(8), shape(MapKind::Hash, 4, 8, 3)];
    let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
    vm.map_mut("Hash").expect("the map").update(&key(1), &[0; 8], ANY).expect("there is room");
    assert!(vm.run(&[0; 64], 0).is_err());
    assert_eq!(vm.map("Hash").and_then(|map| map.lookup(&key(1))), Some(&9_u64.to_le_bytes()[..]));
}

#[test]
fn two_programs_share_maps() {
    let elf = include_bytes!("../objects/flows.bpf.o");
    let object = Object::parse(elf, &ReadOptions::default()).expect("parses");
    let mut vm = Vm::load_all(&object, &["tc_count", "socket_count"]).expect("loads");
    vm.run_program(0, &[0; 64], 1).expect("runs");
    vm.run_program(1, &[0; 64], 2).expect("runs");
    assert_eq!(vm.map("TOTAL").and_then(|map| map.entry(0)).map(|value| value[0]), Some(2));
}
