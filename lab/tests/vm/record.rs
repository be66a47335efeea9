//! Records, against the kernel's: what leaves through a ring buffer and when there is no room, and what a perf event array answers.

use crate::call::{
    Calls,
    Give::{Context, Map, Number, Stack},
    RESULTS, check,
};
use crate::code::{cell, load_with, shape};
use crate::kernel::Kernel;
use proptest::prelude::*;
use treeline_lab::vm::{ANY, Hook, MapKind, Options, Record, Shape};

fn ring() -> Shape {
    Shape { name: "ring".to_owned(), ..shape(MapKind::RingBuf, 0, 0, 4096) }
}

/// Reserves, fills the first eight bytes if there is room, and gives back by `helper`.
fn reserve(calls: Calls, length: u64, helper: u8, mark: u8) -> Calls {
    let store = if length >= 8 { "stxdw" } else { "stxb" };
    let calls = calls.call(131, &[Map(1), Number(length), Number(0)]);
    // The answer is an address: only whether there is one counts, so its place is overwritten.
    let calls = calls.asm("mov r6, r0\nmov r1, 0\njeq r0, 0, 1\nmov r1, 1").over(1);
    calls.asm(&format!("jeq r6, 0, 5\nmov r2, {mark}\n{store} [r6+0], r2\nmov r1, r6\nmov r2, 0")).raw(helper)
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve { length: u64, is_dropped: bool },
    Output { length: u64, flags: u64 },
    Query { what: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..600_u64, any::<bool>()).prop_map(|(length, is_dropped)| Step::Reserve { length, is_dropped }),
        3 => (1..200_u64, 0..4_u64).prop_map(|(length, flags)| Step::Output { length, flags }),
        1 => (0..5_u64).prop_map(|what| Step::Query { what }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn records_equal_the_kernels(steps in prop::collection::vec(step(), 1..24), is_read in any::<bool>()) {
        let mut calls = Calls::new();
        for (mark, step) in (1..).zip(&steps) {
            calls = match *step {
                Step::Reserve { length, is_dropped } => reserve(calls, length, if is_dropped { 133 } else { 132 }, mark),
                Step::Output { length, flags } => calls.call(130, &[Map(1), Stack(200), Number(length), Number(flags)]),
                Step::Query { what } => calls.call(134, &[Map(1), Number(what)]),
            };
        }
        let (code, maps) = (calls.end(), [cell(RESULTS), ring()]);
        let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
        let Some(kernel) = Kernel::load("records_equal_the_kernels", Hook::Xdp, &code.0, &maps) else { return Ok(()) };
        // A reader that keeps up, as the VM's: all is read between the runs.
        for _ in 0..if is_read { 6 } else { 1 } {
            vm.run(&[0; 64], 0).expect("runs");
            kernel.run(&[0; 64]);
            prop_assert_eq!(vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec), kernel.lookup(0, &[0; 4]));
            let ours: Vec<Vec<u8>> = vm.records().iter().map(|record| record.bytes.clone()).collect();
            prop_assert_eq!(ours, kernel.drain(1));
        }
    }
}

#[test]
fn a_record_reaches_no_further_than_it_was_asked_for() {
    let calls = Calls::new()
        .call(131, &[Map(1), Number(8), Number(0)])
        .asm("mov r6, r0\nmov r1, r0\nmov r2, 16\nmov r3, r10\nadd r3, -64\nmov r4, 0");
    let code = calls.asm("mov r1, r6\nmov r2, 16\nmov r3, 10\nmov r4, r6\ncall 106").end();
    let mut vm = load_with(Hook::Xdp, &code, &[cell(RESULTS), ring()], &Options::default()).expect("loads");
    let error = vm.run(&[0; 64], 0).expect_err("sixteen bytes of eight");
    assert!(error.to_string().contains("16 bytes are not the program's"), "{error}");
}

#[test]
fn a_perf_event_array_without_events_answers_as_the_kernels() {
    let mut calls = Calls::new();
    for flags in [0_u64, 1, 0xffff_ffff, 4, 5, 100, 60 << 32 | 0xffff_ffff, 61 << 32, 1 << 52, 1 << 63] {
        calls = calls.call(25, &[Context, Map(1), Number(flags), Stack(64), Number(16)]);
    }
    let maps = [shape(MapKind::PerfEventArray, 4, 4, 4)];
    for hook in [Hook::Xdp, Hook::Tc] {
        check("perf events", hook, &calls.clone().end(), &maps, &[vec![5; 60], vec![5; 61], vec![5; 100]]);
    }
}

#[test]
fn a_perf_event_takes_the_record_and_the_packets_start() {
    let calls = Calls::new().set(64, 0x0807_0605_0403_0201);
    let code = calls.call(25, &[Context, Map(1), Number(4 << 32 | 0xffff_ffff), Stack(64), Number(8)]).end();
    let events = Shape { name: "events".to_owned(), ..shape(MapKind::PerfEventArray, 4, 4, 2) };
    let mut vm = load_with(Hook::Tc, &code, &[cell(RESULTS), events], &Options::default()).expect("loads");
    vm.map_mut("events").expect("there").update(&[0; 4], &[0; 4], ANY).expect("taken");
    vm.run(&[9; 64], 0).expect("runs");
    let bytes = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9];
    assert_eq!(vm.records(), [Record { map: "events".to_owned(), bytes }]);
    assert_eq!(vm.map("Array").and_then(|map| map.entry(0)).map(|bytes| bytes[..8].to_vec()), Some(vec![0; 8]));
}
