//! Random atomic operations on a map's value, in the VM and in the kernel: the value and every register afterwards.

use crate::code::{Code, cell, load};
use crate::kernel::Kernel;
use proptest::prelude::*;
use treeline_lab::vm::Hook;

const NAMES: [(i32, &str); 10] = [
    (0x00, "add"),
    (0x40, "or"),
    (0x50, "and"),
    (0xa0, "xor"),
    (0x01, "fetch_add"),
    (0x41, "fetch_or"),
    (0x51, "fetch_and"),
    (0xa1, "fetch_xor"),
    (0xe1, "xchg"),
    (0xf1, "cmpxchg"),
];

/// Registers 0 to 8 from the value, the operations upon the value's first 16 bytes, registers back behind them.
fn assemble(operations: &[(usize, bool, u8, bool)]) -> Code {
    let mut code = Code::default().value(9, 0, 0);
    for register in 0..9 {
        code = code.raw(0x79, register, 9, 16 + i16::from(register) * 8, 0);
    }
    for (operation, is_wide, src, is_second) in operations {
        let (imm, off) = (NAMES[*operation].0, if *is_second { 8 } else { 0 });
        code = if *is_wide { code.atomic64(imm, 9, off, *src) } else { code.atomic32(imm, 9, off, *src) };
    }
    for register in 0..9 {
        code = code.raw(0x7b, 9, register, 16 + i16::from(register) * 8, 0);
    }
    code.asm("mov r0, 2\nexit")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn atomics_equal_the_kernels(
        operations in prop::collection::vec((0..NAMES.len(), any::<bool>(), 0..9_u8, any::<bool>()), 1..12),
        start in prop::collection::vec(prop_oneof![0..3_u64, any::<u64>(), any::<u32>().prop_map(u64::from)], 11),
    ) {
        let code = assemble(&operations);
        let maps = [cell(88)];
        let start: Vec<u8> = start.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut vm = load(Hook::Xdp, &code, &maps).expect("the VM loads it");
        vm.map_mut("Array").and_then(|map| map.entry_mut(0)).expect("the cell").copy_from_slice(&start);
        prop_assert_eq!(vm.run(&[0; 64], 0).expect("it runs"), 2);
        let Some(kernel) = Kernel::load("atomics_equal_the_kernels", Hook::Xdp, &code.0, &maps) else { return Ok(()) };
        kernel.update(0, &[0; 4], &start);
        kernel.run(&[0; 64]);
        let ours = vm.map("Array").and_then(|map| map.entry(0)).expect("the cell").to_vec();
        prop_assert_eq!(Some(ours), kernel.lookup(0, &[0; 4]));
    }
}

#[test]
fn a_lock_is_taken_once() {
    // cmpxchg 0 -> 1 upon a word; r0 says what was there.
    let code = Code::default().value(6, 0, 4).asm("mov r0, 0\nmov r2, 1").atomic32(0xf1, 6, 0, 2).asm("exit");
    let mut vm = load(Hook::Xdp, &code, &[cell(8)]).expect("loads");
    assert_eq!(vm.run(&[0; 64], 0).expect("runs"), 0);
    assert_eq!(vm.run(&[0; 64], 0).expect("runs"), 1);
    assert_eq!(vm.map("Array").and_then(|map| map.entry(0)), Some(&[0, 0, 0, 0, 1, 0, 0, 0][..]));
}

/// Whether it exchanges or not (RFC 9669, 5.3). The programs of `conformance` cannot ask, for Linux 6.18 forgets it at times.
#[test]
fn a_compare_and_exchange_of_a_word_clears_the_upper_half_of_r0() {
    for expected in [0, 1] {
        let code = Code::default().value(6, 0, 4).asm(&format!("mov r0, 1\nlsh r0, 32\nor r0, {expected}\nmov r2, 7"));
        let code = code.atomic32(0xf1, 6, 0, 2).asm("rsh r0, 32\nexit");
        let mut vm = load(Hook::Xdp, &code, &[cell(8)]).expect("loads");
        assert_eq!(vm.run(&[0; 64], 0).expect("runs"), 0, "expects {expected}, finds 0");
    }
}

#[test]
fn an_atomic_without_a_free_register_uses_the_stack() {
    let mut code = Code::default().value(9, 0, 0);
    for register in 0..9 {
        code = code.asm(&format!("mov r{register}, {}", register + 1));
    }
    code = code.atomic64(0x00, 9, 0, 1);
    // All nine are still wanted.
    for register in 1..9 {
        code = code.asm(&format!("add r0, r{register}"));
    }
    let code = code.asm("exit");
    let mut vm = load(Hook::Xdp, &code, &[cell(8)]).expect("loads");
    assert_eq!(vm.run(&[0; 64], 0).expect("runs"), 45);
    assert_eq!(vm.map("Array").and_then(|map| map.entry(0)), Some(&2_u64.to_le_bytes()[..]));
}

#[test]
fn an_atomic_without_a_free_register_or_stack_runs_on_a_stack_of_the_vms() {
    let mut code = Code::default().asm("stdw [r10-512], 0").value(9, 0, 0);
    for register in 0..9 {
        code = code.asm(&format!("mov r{register}, 1"));
    }
    code = code.atomic64(0x00, 9, 0, 1);
    for register in 1..9 {
        code = code.asm(&format!("add r0, r{register}"));
    }
    assert_eq!(load(Hook::Xdp, &code.asm("exit"), &[cell(8)]).expect("loads").run(&[0; 64], 0).expect("runs"), 9);
}
