//! Helpers that call functions of the program's. Bare bytecode has no type information, without which the kernel takes none: the
//! kernel's word on them comes from objects.

use crate::code::{Code, cell, load_with, shape};
use treeline_lab::vm::{ANY, Hook, MapKind, Options, Shape, Vm, VmError};

/// The address of a function `distance` instructions behind the next one's start.
fn function(code: Code, dst: u8, distance: i32) -> Code {
    code.raw(0x18, dst, 4, 0, distance).raw(0, 0, 0, 0, 0)
}

/// A program that adds up what its function returns in the counter at r10-8, `turns` times with `flags`; the answer goes to the cell.
fn looped(turns: i32, flags: i32, body: &str) -> Code {
    let code = Code::default().value(8, 0, 0).asm(&format!("stdw [r10-8], 0\nmov r6, 77\nmov r1, {turns}"));
    // Behind this instruction lie ten slots of main.
    let code = function(code, 2, 10).asm(&format!("mov r3, r10\nadd r3, -8\nmov r4, {flags}\ncall 181"));
    let code = code.asm("stxdw [r8+0], r0\nldxdw r1, [r10-8]\nstxdw [r8+8], r1\nmov r0, r6\nexit");
    code.asm(body)
}

const ADD: &str = "mov r6, 5\nldxdw r3, [r2+0]\nadd r3, r1\nstxdw [r2+0], r3\nmov r0, 0\nexit";

fn run(code: &Code, maps: &[Shape]) -> Result<(u64, Vec<u64>), VmError> {
    let mut vm = load_with(Hook::Xdp, code, maps, &Options::default())?;
    let returned = vm.run(&[0; 64], 0)?;
    Ok((returned, cells(&vm)))
}

fn cells(vm: &Vm) -> Vec<u64> {
    let bytes = vm.map("Array").and_then(|map| map.entry(0)).expect("the cell");
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect()
}

#[test]
fn a_loop_turns_as_often_as_it_is_told() {
    let maps = [cell(16)];
    let errno = |number: i64| (-number).cast_unsigned();
    for (turns, flags, answer, sum) in
        [(5, 0, 5, 10), (0, 0, 0, 0), (1, 0, 1, 0), (100, 0, 100, 4950), (5, 1, errno(22), 0), ((1 << 23) + 1, 0, 0xffff_fff9, 0)]
    {
        assert_eq!(run(&looped(turns, flags, ADD), &maps).expect("runs"), (77, vec![answer, sum]), "{turns} turns, flags {flags}");
    }
}

#[test]
fn a_function_that_returns_one_ends_its_loop() {
    let body = "ldxdw r3, [r2+0]\nadd r3, 1\nstxdw [r2+0], r3\nmov r0, 0\njne r1, 3, 1\nmov r0, 1\nexit";
    assert_eq!(run(&looped(10, 0, body), &[cell(16)]).expect("runs"), (77, vec![4, 4]));
}

#[test]
fn a_loop_without_end_comes_to_the_limit() {
    let error = run(&looped(1 << 23, 0, ADD), &[cell(16)]).expect_err("too long");
    assert!(error.to_string().contains("more than 1000000 instructions"), "{error}");
}

#[test]
fn every_entry_of_a_map_is_shown_once() {
    // The function adds the key and the value to what r4 points to, and counts in the value.
    let body = "ldxw r5, [r2+0]\nldxdw r0, [r3+0]\nadd r5, r0\nldxdw r0, [r4+0]\nadd r0, r5\nstxdw [r4+0], r0\nldxdw r0, [r3+0]\nadd r0, 1\nstxdw [r3+0], r0\nmov r0, 0\nexit";
    for (kind, entries) in
        [(MapKind::Hash, 2000_u32), (MapKind::LruHash, 10), (MapKind::Array, 6), (MapKind::Array, 1500), (MapKind::PerCpuHash, 3)]
    {
        let code = Code::default().value(8, 0, 0).asm("stdw [r10-8], 0").map(1, 1);
        let code = function(code, 2, 10).asm("mov r3, r10\nadd r3, -8\nmov r4, 0\ncall 164");
        let code = code.asm("stxdw [r8+0], r0\nldxdw r1, [r10-8]\nstxdw [r8+8], r1\nmov r0, 1\nexit").asm(body);
        let maps = [cell(16), Shape { name: "target".to_owned(), ..shape(kind, 4, 8, entries) }];
        let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
        for key in 0..entries {
            vm.map_mut("target").expect("there").update(&key.to_le_bytes(), &u64::from(key).to_le_bytes(), ANY).expect("room");
        }
        vm.run(&[0; 64], 0).unwrap_or_else(|error| panic!("{kind:?} of {entries}: {error}"));
        let entries = u64::from(entries);
        assert_eq!(cells(&vm), [entries, entries * (entries - 1)], "{kind:?} of {entries}");
        let sum: u64 =
            vm.map("target").expect("there").entries().map(|(_, value)| u64::from_le_bytes(value.try_into().expect("eight"))).sum();
        assert_eq!(sum, entries * (entries - 1) / 2 + entries, "{kind:?} of {entries}");
    }
}

#[test]
fn a_function_that_is_not_the_same_on_all_paths_is_refused() {
    let code = Code::default().asm("mov r1, 1\nmov r2, 0\nmov r3, 0\nmov r4, 0\ncall 181\nmov r0, 0\nexit");
    let error = load_with(Hook::Xdp, &code, &[], &Options::default()).map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("not the same on all paths"), "{error}");
}
