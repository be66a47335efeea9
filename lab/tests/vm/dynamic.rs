//! Dynptrs against the kernel's: what they answer, read and write, within their ends and beyond.

use crate::call::{
    Calls,
    Give::{Map, Number, Stack, Value},
    RESULTS, check,
};
use crate::code::{cell, load_with, shape};
use crate::kernel::Kernel;
use treeline_lab::vm::{Hook, MapKind, Options};

const FROM_MEM: i32 = 197;
const RESERVE: i32 = 198;
const SUBMIT: i32 = 199;
const DISCARD: i32 = 200;
const READ: i32 = 201;
const WRITE: i32 = 202;
const DATA: u8 = 203;

/// Places of a dynptr and of bytes on the stack.
const DYNPTR: i32 = 64;
const BYTES: i32 = 128;

#[test]
fn dynptrs_of_map_values_equal_the_kernels() {
    let packets = [vec![0; 60]];
    for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
        for (size, flags) in [(48, 0), (0, 0), (40, 1), (40, 1 << 40)] {
            let mut calls = Calls::new().call(FROM_MEM, &[Value(1), Number(size), Number(flags), Stack(DYNPTR)]);
            for (offset, length, flags) in
                [(0, 16, 0), (40, 8, 0), (41, 8, 0), (48, 0, 0), (49, 0, 0), (0, 48, 0), (1 << 32, 8, 0), (0, 8, 1)]
            {
                let write = [Stack(DYNPTR), Number(offset), Stack(BYTES), Number(length), Number(flags)];
                let read = [Stack(BYTES), Number(length), Stack(DYNPTR), Number(offset), Number(flags)];
                calls = calls.call(WRITE, &write).call(READ, &read).keep_stack(BYTES, 16);
            }
            let code = calls.end();
            check(&format!("dynptr of {size} bytes, flags {flags:#x}"), hook, &code, &[shape_of("other")], &packets);
        }
    }
}

/// A single-entry array of 48 bytes beside the results.
fn shape_of(name: &str) -> treeline_lab::vm::Shape {
    treeline_lab::vm::Shape { name: name.to_owned(), ..cell(48) }
}

#[test]
fn a_part_of_a_dynptr_is_read_and_written_directly() {
    for offset in [0_u64, 32, 40, 41] {
        let calls = Calls::new().call(FROM_MEM, &[Value(1), Number(48), Number(0), Stack(DYNPTR)]);
        let calls = calls.asm(&format!("mov r1, r10\nadd r1, -{DYNPTR}\nmov r2, {offset}\nmov r3, 8")).raw(DATA);
        // The answer is an address: kept is whether it is one, and what lies there.
        let calls = calls.asm("mov r6, r0\nmov r0, 0\njeq r6, 0, 4\nldxdw r0, [r6+0]\nadd r0, 5\nstxdw [r6+0], r0\nadd r0, 1");
        let code = calls.keep(0).call(READ, &[Stack(BYTES), Number(48), Stack(DYNPTR), Number(0), Number(0)]).keep_stack(BYTES, 48).end();
        check(&format!("dynptr part at {offset}"), Hook::Xdp, &code, &[shape_of("other")], &[vec![0; 60], vec![1; 60]]);
    }
}

#[test]
fn records_by_dynptr_equal_the_kernels() {
    let ring = shape(MapKind::RingBuf, 0, 0, 4096);
    for (end, size, flags) in [(SUBMIT, 24, 0), (DISCARD, 24, 0), (SUBMIT, 24, 1), (SUBMIT, 5000, 0), (SUBMIT, 1 << 24, 0), (DISCARD, 0, 0)]
    {
        let calls = Calls::new().call(RESERVE, &[Map(1), Number(size), Number(flags), Stack(DYNPTR)]);
        let calls = calls.call(WRITE, &[Stack(DYNPTR), Number(0), Stack(BYTES), Number(24), Number(0)]);
        let calls = calls.asm(&format!("mov r1, r10\nadd r1, -{DYNPTR}\nmov r2, 0")).raw(u8::try_from(end).expect("small"));
        let code = calls.asm("mov r0, 0").keep(0).end();
        let maps = [cell(RESULTS), ring.clone()];
        let what = format!("record of {size} bytes, flags {flags}, helper {end}");
        let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        vm.run(&[0; 60], 0).unwrap_or_else(|error| panic!("{what}: {error}"));
        let Some(kernel) = Kernel::load("records by dynptr", Hook::Xdp, &code.0, &maps) else { return };
        kernel.run(&[0; 60]);
        assert_eq!(vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec), kernel.lookup(0, &[0; 4]), "{what}");
        let ours: Vec<Vec<u8>> = vm.records().iter().map(|record| record.bytes.clone()).collect();
        let theirs = kernel.drain(1);
        assert_eq!(ours.len(), theirs.len(), "{what}");
        let written =
            |records: &[Vec<u8>]| -> Vec<Vec<u8>> { records.iter().map(|record| record[..24.min(record.len())].to_vec()).collect() };
        assert_eq!(written(&ours), written(&theirs), "{what}");
    }
}
