//! Random arithmetic and jumps: every register after a run, in the VM and in the kernel.
//!
//! Checked: all ALU and compare operations in both widths, with immediates of either sign, division and modulo by zero, shifts
//! beyond the width, byte swaps, sign extension. Not checked here: memory, maps, calls.

use crate::code::{Code, cell, load};
use crate::kernel::Kernel;
use proptest::prelude::*;
use treeline_lab::vm::Hook;

/// Registers that random operations use; r9 points to the results.
const REGISTERS: u8 = 9;
const VALUE_SIZE: usize = 8 * REGISTERS as usize;

#[derive(Debug, Clone)]
enum Operation {
    Plain {
        opc: u8,
        dst: u8,
        src: u8,
        off: i16,
        imm: i32,
    },
    Wide {
        dst: u8,
        value: u64,
    },
    /// Skips so many of the operations that follow, at most.
    Jump {
        opc: u8,
        dst: u8,
        src: u8,
        imm: i32,
        skip: usize,
    },
}

impl Operation {
    fn slots(&self) -> usize {
        if matches!(self, Self::Wide { .. }) { 2 } else { 1 }
    }
}

fn immediate() -> impl Strategy<Value = i32> {
    prop_oneof![-3..4_i32, any::<i32>(), Just(i32::MIN), Just(i32::MAX), Just(0x8000_i32)]
}

fn input() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        1..4_u64,
        any::<u64>(),
        any::<u32>().prop_map(u64::from),
        any::<i32>().prop_map(|value| i64::from(value).cast_unsigned()),
        Just(1 << 63),
        Just(u64::MAX),
        Just(1 << 32)
    ]
}

fn alu() -> impl Strategy<Value = Operation> {
    let operation = prop::sample::select(vec![0x00_u8, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0]);
    (operation, any::<bool>(), any::<bool>(), 0..REGISTERS, 0..REGISTERS, immediate()).prop_map(
        |(operation, is_wide, is_register, dst, src, imm)| {
            let class = if is_wide { 0x07 } else { 0x04 };
            if is_register {
                return Operation::Plain { opc: operation | class | 0x08, dst, src, off: 0, imm: 0 };
            }
            // The kernel refuses these constants before any run.
            let imm = match operation {
                0x60 | 0x70 | 0xc0 => imm & if is_wide { 63 } else { 31 },
                0x30 | 0x90 if imm == 0 => 1,
                _ => imm,
            };
            Operation::Plain { opc: operation | class, dst, src: 0, off: 0, imm }
        },
    )
}

fn other() -> impl Strategy<Value = Operation> {
    let plain = |opc, dst, src, off, imm| Operation::Plain { opc, dst, src, off, imm };
    prop_oneof![
        (prop::sample::select(vec![0x84_u8, 0x87]), 0..REGISTERS).prop_map(move |(opc, dst)| plain(opc, dst, 0, 0, 0)),
        (prop::sample::select(vec![0xd4_u8, 0xdc, 0xd7]), 0..REGISTERS, prop::sample::select(vec![16, 32, 64]))
            .prop_map(move |(opc, dst, imm)| plain(opc, dst, 0, 0, imm)),
        (prop::sample::select(vec![(0xbf_u8, 8_i16), (0xbf, 16), (0xbf, 32), (0xbc, 8), (0xbc, 16)]), 0..REGISTERS, 0..REGISTERS)
            .prop_map(move |((opc, off), dst, src)| plain(opc, dst, src, off, 0)),
        (0..REGISTERS, input()).prop_map(|(dst, value)| Operation::Wide { dst, value }),
    ]
}

fn jump() -> impl Strategy<Value = Operation> {
    let operation = prop::sample::select(vec![0x10_u8, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0]);
    (operation, any::<bool>(), any::<bool>(), 0..REGISTERS, 0..REGISTERS, immediate(), 0..5_usize).prop_map(
        |(operation, is_wide, is_register, dst, src, imm, skip)| {
            let class = if is_wide { 0x05 } else { 0x06 };
            let (flag, src, imm) = if is_register { (0x08, src, 0) } else { (0, 0, imm) };
            Operation::Jump { opc: operation | class | flag, dst, src, imm, skip }
        },
    )
}

fn program() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(prop_oneof![4 => alu(), 1 => other(), 2 => jump()], 1..40)
}

/// Loads the registers from the array's value, runs the operations, stores the registers back.
fn assemble(operations: &[Operation]) -> Code {
    let mut code = Code::default().value(9, 0, 0);
    for register in 0..REGISTERS {
        code = code.raw(0x79, register, 9, i16::from(register) * 8, 0);
    }
    for (position, operation) in operations.iter().enumerate() {
        code = match operation {
            Operation::Plain { opc, dst, src, off, imm } => code.raw(*opc, *dst, *src, *off, *imm),
            Operation::Wide { dst, value } => code.asm(&format!("lddw r{dst}, {value:#x}")),
            Operation::Jump { opc, dst, src, imm, skip } => {
                let slots: usize = operations[position + 1..].iter().take(*skip).map(Operation::slots).sum();
                code.raw(*opc, *dst, *src, i16::try_from(slots).expect("a short skip"), *imm)
            }
        };
    }
    for register in 0..REGISTERS {
        code = code.raw(0x7b, 9, register, i16::from(register) * 8, 0);
    }
    code.asm("mov r0, 2\nexit")
}

fn bytes(registers: &[u64]) -> Vec<u8> {
    registers.iter().flat_map(|register| register.to_le_bytes()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arithmetic_equals_the_kernels(operations in program(), inputs in prop::collection::vec(prop::collection::vec(input(), REGISTERS as usize), 4)) {
        let code = assemble(&operations);
        let maps = [cell(VALUE_SIZE)];
        let mut vm = load(Hook::Xdp, &code, &maps).expect("the VM loads it");
        let Some(kernel) = Kernel::load("arithmetic_equals_the_kernels", Hook::Xdp, &code.0, &maps) else { return Ok(()) };
        for registers in inputs {
            let start = bytes(&registers);
            vm.map_mut("Array").and_then(|map| map.entry_mut(0)).expect("the cell").copy_from_slice(&start);
            kernel.update(0, &[0; 4], &start);
            let result = vm.run(&[0; 64], 0).expect("it runs");
            prop_assert_eq!(result, u64::from(kernel.run(&[0; 64])));
            let (ours, theirs) = (vm.map("Array").and_then(|map| map.entry(0)).expect("the cell"), kernel.lookup(0, &[0; 4]));
            prop_assert_eq!(Some(ours.to_vec()), theirs, "registers before: {:x?}", registers);
        }
    }
}

#[test]
fn the_comparison_notices_a_lie() {
    let honest = assemble(&[Operation::Plain { opc: 0x07, dst: 3, src: 0, off: 0, imm: 1 }]);
    let lying = assemble(&[Operation::Plain { opc: 0x07, dst: 3, src: 0, off: 0, imm: 2 }]);
    let maps = [cell(VALUE_SIZE)];
    let Some(kernel) = Kernel::load("the_comparison_notices_a_lie", Hook::Xdp, &honest.0, &maps) else { return };
    let mut vm = load(Hook::Xdp, &lying, &maps).expect("the VM loads it");
    assert_eq!(vm.run(&[0; 64], 0).expect("it runs"), u64::from(kernel.run(&[0; 64])));
    let ours = vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec);
    assert_ne!(ours, kernel.lookup(0, &[0; 4]));
}
