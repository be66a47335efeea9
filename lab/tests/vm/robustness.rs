//! Any bytecode at all: the VM refuses it, runs it or stops it, and never panics, in debug builds with overflow checks too.

use crate::code::{Code, load_with, shape};
use proptest::prelude::*;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::vm::{Hook, MapKind, Object, Options, Vm};

fn opcode() -> impl Strategy<Value = u8> {
    let common = vec![
        0x18_u8, 0x61, 0x69, 0x71, 0x79, 0x62, 0x7a, 0x63, 0x73, 0x7b, 0xdb, 0xc3, 0x85, 0x95, 0x05, 0x15, 0x2d, 0x55, 0x1e, 0x26, 0x07,
        0x0f, 0x17, 0x1f, 0xb7, 0xbf, 0xb4, 0xbc, 0x87, 0x84, 0x37, 0x3f, 0x97, 0x9c, 0xd4, 0xdc, 0xd7, 0x67, 0xc7, 0xcc,
    ];
    prop_oneof![6 => prop::sample::select(common), 1 => any::<u8>()]
}

fn immediate() -> impl Strategy<Value = i32> {
    prop_oneof![4 => -8..8_i32, 2 => prop::sample::select(vec![-16, 16, 32, 64, 0x41, 0xe1, 0xf1, 26, 39, 125]), 1 => any::<i32>()]
}

fn offset() -> impl Strategy<Value = i16> {
    prop_oneof![6 => -6..6_i16, 3 => (-65..10_i16).prop_map(|slots| slots * 8), 1 => any::<i16>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytecode_panics_the_vm(
        instructions in prop::collection::vec((opcode(), 0..11_u8, prop_oneof![3 => 0..3_u8, 1 => 0..11_u8], offset(), immediate()), 1..24),
        hook in prop::sample::select(vec![Hook::Xdp, Hook::Tc, Hook::Socket]),
    ) {
        let mut code = Code::default();
        for (opc, dst, src, off, imm) in instructions {
            code = code.raw(opc, dst, src, off, imm);
            if opc == 0x18 {
                code = code.raw(0, 0, 0, 0, imm);
            }
        }
        let maps = [shape(MapKind::Array, 4, 8, 1), shape(MapKind::LruHash, 8, 16, 4), shape(MapKind::PerCpuArray, 4, 8, 40)];
        let options = Options { instructions_max: 5_000, ..Options::default() };
        if let Ok(mut vm) = load_with(hook, &code.asm("mov r0, 0\nexit"), &maps, &options) {
            for packet in [&[0_u8; 64][..], &[]] {
                if let Err(error) = vm.run(packet, 1) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn no_damaged_object_panics_the_vm(position in 0..12_000_usize, byte in any::<u8>()) {
        load_damaged(position, byte);
    }
}

/// Loads and runs every program of an object in which one byte is another.
fn load_damaged(position: usize, byte: u8) {
    let mut elf = include_bytes!("../objects/flows.bpf.o").to_vec();
    let position = position % elf.len();
    elf[position] = byte;
    let options = Options { instructions_max: 5_000, ..Options::default() };
    let read = ReadOptions { map_max_entries: [("FLOWS".to_owned(), 16)].into(), ..ReadOptions::default() };
    let Ok(object) = Object::parse(&elf, &read) else { return };
    for program in object.programs() {
        if let Ok(mut vm) = Vm::load_with(&object, &[&program.name], &options) {
            let _ = vm.run(&[0; 64], 1);
        }
    }
}

/// Found by the property above: the damage left a program without instructions, and the check of its bounds looked at the first.
#[test]
fn a_program_that_damage_emptied_is_refused() {
    load_damaged(9_036, 186);
}

/// Found by the property above: the damage made an instruction a jump that there is not (0xf5), which rbpf's interpreter has no case for.
#[test]
fn no_opcode_panics_the_vm() {
    load_damaged(360, 245);
    let maps = [shape(MapKind::Array, 4, 8, 1)];
    for (opc, register, imm) in (0..=255)
        .flat_map(|opc| [0, 1, 10].map(|register| (opc, register)))
        .flat_map(|(opc, register)| [0, 1, 16, 0x100].map(|imm| (opc, register, imm)))
    {
        let code = Code::default().asm("mov r0, 0\nstdw [r10-8], 0").raw(opc, register, register, 0, imm).raw(0, 0, 0, 0, 0);
        for code in [code, Code::default().asm("mov r0, 0").raw(opc, register, register, 0, imm)] {
            for stack_fill in [0, 0xa5] {
                let options = Options { instructions_max: 5_000, stack_fill, ..Options::default() };
                if let Ok(mut vm) = load_with(Hook::Xdp, &code.clone().asm("mov r0, 0\nexit"), &maps, &options) {
                    let _ = vm.run(&[0; 64], 1);
                }
            }
        }
    }
}

/// Found by the property above: damage made a type contain itself, and the parser followed it until its stack was used up.
#[test]
fn a_type_that_contains_itself_is_damage() {
    load_damaged(2_636, 42);
    load_damaged(2_636, 49);
    load_damaged(2_824, 52);
}

/// Found by the property above: the damage made an array of 28 GB, and the allocation ended the process.
#[test]
fn an_array_larger_than_the_machine_is_refused() {
    for (value_size, entries) in [(8, u32::MAX), (1 << 20, 1025)] {
        let maps = [shape(MapKind::Array, 4, value_size, entries)];
        let error = load_with(Hook::Xdp, &Code::default().asm("mov r0, 0\nexit"), &maps, &Options::default()).err().expect("refused");
        assert!(error.to_string().contains("an array of more than 1073741824 bytes"), "{error}");
    }
}

#[test]
fn a_trace_counts_instructions_and_the_ways_of_jumps() {
    use treeline_lab::vm::{Branch, Trace};
    let code = Code::default().asm("mov r0, 0\nmov r6, 3\nadd r0, r6\nsub r6, 1\njne r6, 0, -3\njeq r0, 7, 1\nexit\nmov r0, 1\nexit");
    let options = Options { trace: true, ..Options::default() };
    let mut vm = load_with(Hook::Xdp, &code, &[], &options).expect("loads");
    assert_eq!(vm.run(&[0; 64], 0).expect("runs"), 6);
    let branches = vec![Branch { instruction: 4, taken: 2, fallen: 1 }, Branch { instruction: 5, taken: 0, fallen: 1 }];
    assert_eq!(vm.trace(0), Some(Trace { executed: vec![1, 1, 3, 3, 3, 1, 1, 0, 0], branches }));
}
