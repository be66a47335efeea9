//! Memory to the byte: the last byte of every object can be read and written, the next one ends the run at its instruction.

use crate::code::{Code, cell, load, load_with, run, shape};
use treeline_lab::vm::{Fault, Hook, MapKind, Options, Shape, Spot, VmError};

/// Which instruction faulted, and whether it was an access out of bounds.
fn faulted(result: Result<u64, VmError>) -> (usize, Fault) {
    match result {
        Err(VmError::Fault { instruction, fault, .. }) => (instruction, fault),
        other => panic!("a fault was due, not {other:?}"),
    }
}

/// Runs `code` with the access at `instruction`, expecting it to pass or to fault there.
fn check(hook: Hook, code: &Code, maps: &[Shape], instruction: usize, is_inside: bool, what: &str) {
    let result = load(hook, code, maps).expect("loads").run(&[7; 64], 0);
    if is_inside {
        result.unwrap_or_else(|error| panic!("{what}: {error}"));
        return;
    }
    let (at, fault) = faulted(result);
    assert_eq!(at, instruction, "{what}: {fault}");
    assert!(matches!(fault, Fault::OutOfBounds { .. }), "{what}: {fault}");
}

/// Loads and stores of each size: opcodes of load, store from register, store of an immediate.
const SIZES: [(i16, [u8; 3]); 4] = [(1, [0x71, 0x73, 0x72]), (2, [0x69, 0x6b, 0x6a]), (4, [0x61, 0x63, 0x62]), (8, [0x79, 0x7b, 0x7a])];

/// Accesses around an object of `length` bytes whose address `prologue` leaves in r6; also through r6 plus an unknown.
fn check_object(hook: Hook, prologue: &Code, maps: &[Shape], length: i16, what: &str) {
    for (size, opcodes) in SIZES {
        for opc in opcodes {
            let is_load = opc & 7 == 1;
            for offset in [-8, -1, 0, length - size, length - size + 1, length - 1, length] {
                let is_inside = offset >= 0 && offset + size <= length;
                for is_known in [true, false] {
                    let mut code = prologue.clone();
                    if !is_known {
                        code = code.asm("mov r7, 64\nldxb r8, [r10-8]\nadd r6, r8\nmov r8, 1\nmul r8, r8");
                    }
                    let (dst, src) = if is_load { (7, 6) } else { (6, 7) };
                    let at = code.0.len() / 8;
                    let code = code.raw(opc, dst, src * u8::from(opc & 7 != 2), offset, 0).asm("mov r0, 0\nexit");
                    check(hook, &code, maps, at, is_inside, &format!("{what}: opcode {opc:#x} at {offset}, known: {is_known}"));
                }
                if is_load {
                    let at = prologue.0.len() / 8;
                    let code = prologue.clone().raw(opc, 6, 6, offset, 0).asm("mov r0, 0\nexit");
                    check(hook, &code, maps, at, is_inside, &format!("{what}: opcode {opc:#x} into its base at {offset}"));
                }
            }
        }
    }
}

fn prologue() -> Code {
    Code::default().asm("mov r9, r1\nmov r7, 0\nstdw [r10-8], 0")
}

#[test]
fn the_packet_is_exact() {
    check_object(Hook::Xdp, &prologue().asm("ldxw r6, [r9+0]"), &[], 64, "packet (XDP)");
    check_object(Hook::Tc, &prologue().asm("ldxw r6, [r9+76]"), &[], 64, "packet (TC)");
}

#[test]
fn array_values_are_exact() {
    for length in [1, 7, 8, 12, 16, 31] {
        let maps = [cell(8), cell(usize::try_from(length).expect("positive")), cell(8)];
        check_object(Hook::Xdp, &prologue().value(6, 1, 0), &maps, length, &format!("array value of {length}"));
    }
}

#[test]
fn looked_up_values_are_exact() {
    let lookup = prologue().asm("stw [r10-16], 1").map(1, 0).asm("mov r2, r10\nadd r2, -16\ncall 1\nmov r6, r0");
    for length in [4, 13, 16] {
        let value_size = usize::try_from(length).expect("positive");
        for kind in [MapKind::Array, MapKind::PerCpuArray] {
            for max_entries in [3, 1000] {
                let maps = [shape(kind, 4, value_size, max_entries)];
                check_object(Hook::Xdp, &lookup, &maps, length, &format!("{kind:?} of {max_entries} with {length}"));
            }
        }
    }
    let insert = prologue()
        .asm("stw [r10-16], 1\nstdw [r10-32], 5\nstdw [r10-24], 5")
        .map(1, 0)
        .asm("mov r2, r10\nadd r2, -16\nmov r3, r10\nadd r3, -32\nmov r4, 0\ncall 2")
        .map(1, 0)
        .asm("mov r2, r10\nadd r2, -16\ncall 1\nmov r6, r0");
    for kind in [MapKind::Hash, MapKind::LruHash, MapKind::PerCpuHash] {
        check_object(Hook::Xdp, &insert, &[shape(kind, 4, 13, 16)], 13, &format!("{kind:?}"));
    }
}

#[test]
fn the_stack_is_exact() {
    for (offset, is_inside) in [(-512, true), (-513, false), (-520, false), (-8, true), (-7, false), (0, false), (8, false)] {
        let direct = Code::default().raw(0x7a, 10, 0, offset, 1).asm("mov r0, 0\nexit");
        check(Hook::Xdp, &direct, &[], 0, is_inside, &format!("stack at {offset}"));
        let by_copy = Code::default().asm(&format!("mov r2, r10\nadd r2, {offset}")).raw(0x7a, 2, 0, 0, 1).asm("mov r0, 0\nexit");
        check(Hook::Xdp, &by_copy, &[], 2, is_inside, &format!("stack through r2 at {offset}"));
    }
}

#[test]
fn a_missing_entry_is_a_null_pointer() {
    let code = Code::default().asm("stw [r10-4], 9").map(1, 0).asm("mov r2, r10\nadd r2, -4\ncall 1\nldxdw r0, [r0+0]\nexit");
    let (at, fault) = faulted(load(Hook::Xdp, &code, &[cell(8)]).expect("loads").run(&[0; 64], 0));
    assert_eq!((at, fault), (6, Fault::OutOfBounds { access: "load", spot: Spot::Number(0), size: 8 }));
}

#[test]
fn helper_pointers_are_exact() {
    // A key of eight bytes: its last byte is one beyond the stack, the packet, the value.
    for (pointer, is_inside) in [
        ("mov r2, r10\nadd r2, -8", true),
        ("mov r2, r10\nadd r2, -7", false),
        ("ldxw r2, [r1+0]\nadd r2, 56", true),
        ("ldxw r2, [r1+0]\nadd r2, 57", false),
        ("mov r2, r1\nadd r2, 16", true),
        ("mov r2, r1\nadd r2, 17", false),
        ("mov r2, 0", false),
    ] {
        let code = Code::default().asm("stdw [r10-8], 0").asm(pointer);
        let at = code.0.len() / 8 + 2;
        let code = code.map(1, 0).asm("call 1\nmov r0, 0\nexit");
        let result = load(Hook::Xdp, &code, &[shape(MapKind::Hash, 8, 8, 4)]).expect("loads").run(&[0; 64], 0);
        if is_inside {
            result.unwrap_or_else(|error| panic!("{pointer}: {error}"));
        } else {
            let (instruction, fault) = faulted(result);
            assert_eq!(instruction, at, "{pointer}");
            assert!(matches!(fault, Fault::Pointer { argument: 2, size: 8, .. }), "{pointer}: {fault}");
        }
    }
}

#[test]
fn a_helper_wants_a_map() {
    let code = Code::default().asm("stdw [r10-8], 0\nmov r1, 5\nmov r2, r10\nadd r2, -8\ncall 1\nmov r0, 0\nexit");
    assert_eq!(faulted(load(Hook::Xdp, &code, &[cell(8)]).expect("loads").run(&[0; 64], 0)), (4, Fault::NoMap { spot: Spot::Number(5) }));
}

#[test]
fn an_infinite_loop_ends_by_the_limit() {
    for source in ["mov r0, 0\nja -1", "mov r0, 0\nadd r0, 1\njne r0, 0, -2\nexit", "mov r6, 0\nadd r6, 0\nja +0\nja -3"] {
        let mut vm = load(Hook::Xdp, &Code::default().asm(source), &[]).expect("loads");
        let head = 1;
        assert_eq!(faulted(vm.run(&[0; 64], 0)), (head, Fault::InstructionLimit { limit: 1_000_000 }), "{source}");
    }
}

#[test]
fn a_loop_below_the_limit_ends_by_itself() {
    let code = Code::default().asm("mov r0, 0\nmov r6, 1000\nadd r0, r6\nsub r6, 1\njne r6, 0, -3\nexit");
    let options = Options { instructions_max: 4096, ..Options::default() };
    assert_eq!(load_with(Hook::Xdp, &code, &[], &options).expect("loads").run(&[0; 64], 0).expect("runs"), 500_500);
}

#[test]
fn nested_calls_are_charged() {
    // Five levels of functions that call the next one 16 times each: a million calls without any loop.
    let mut code = Code::default();
    for level in 0..5 {
        for call in 0..16 {
            let next = 17 - call - 1;
            code = if level < 4 { code.raw(0x85, 0, 1, 0, next) } else { code.asm("mov r0, 0") };
        }
        code = code.asm("exit");
    }
    let options = Options { instructions_max: 100_000, ..Options::default() };
    let (_, fault) = faulted(load_with(Hook::Xdp, &code, &[], &options).expect("loads").run(&[0; 64], 0));
    assert_eq!(fault, Fault::InstructionLimit { limit: 100_000 });
}

#[test]
fn windows_run_out_by_name() {
    let mut code = Code::default();
    for entry in 0..5 {
        code = code.asm(&format!("stw [r10-4], {entry}")).map(1, 0).asm("mov r2, r10\nadd r2, -4\ncall 1");
    }
    let code = code.asm("mov r0, 0\nexit");
    let maps = [shape(MapKind::Array, 4, 8, 100)];
    let run = |windows, windows_more| {
        let options = Options { windows, windows_more, ..Options::default() };
        load_with(Hook::Xdp, &code, &maps, &options).expect("loads").run(&[0; 64], 0)
    };
    assert_eq!(faulted(run(4, 0)), (4 * 6 + 5, Fault::Windows { map: 0, windows: 4 }));
    assert_eq!(run(5, 0).expect("runs"), 0);
    assert_eq!(run(4, 1).expect("runs"), 0);
}

#[test]
fn a_hundred_loops_are_all_charged() {
    let turns = "mov r6, 10\nadd r0, 1\nsub r6, 1\njne r6, 0, -3\n".repeat(100);
    let counted = Code::default().asm(&format!("mov r0, 0\n{turns}exit"));
    assert_eq!(load(Hook::Xdp, &counted, &[]).expect("loads").run(&[0; 64], 0).expect("runs"), 1000);
    let endless = Code::default().asm(&format!("mov r0, 0\n{turns}ja -1"));
    let (_, fault) = faulted(load(Hook::Xdp, &endless, &[]).expect("loads").run(&[0; 64], 0));
    assert_eq!(fault, Fault::InstructionLimit { limit: 1_000_000 });
}

/// Found when frames began to be entered: a jump to the first instruction did again what is done once, and r1 was the context again.
#[test]
fn a_loop_may_begin_with_a_programs_or_a_functions_first_instruction() {
    let main = Code::default().asm("add r1, 0\njeq r1, 0, 2\nmov r1, 0\nja -4\nmov r0, 7\nexit");
    assert_eq!(run(&main, &[]).expect("runs"), 7);
    // The function counts down what it is given and keeps a sum on its stack from the second turn on.
    let source =
        "jeq r1, 0, 7\njne r1, 4, 2\nstdw [r10-8], 0\nmov r2, 0\nldxdw r2, [r10-8]\nadd r2, r1\nstxdw [r10-8], r2\nsub r1, 1\nja -9";
    let function = Code::default().asm("mov r1, 4").raw(0x85, 0, 1, 0, 1).asm("exit");
    let function = function.asm(&source.replace("jeq r1, 0, 7", "jeq r1, 0, 8")).asm("ldxdw r0, [r10-8]\nexit");
    assert_eq!(run(&function, &[]).expect("runs"), 10);
}
