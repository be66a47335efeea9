//! Programs that no compiler makes and that the VM must refuse or run in time: long ones, jumps in every direction, calls upon calls.

use crate::code::{Code, cell, load, load_with};
use std::fmt::Write;
use std::time::{Duration, Instant};
use treeline_lab::vm::{Hook, Options, VmError};

/// More than any of these takes, by far, in a debug build on a busy machine.
const TIME_MAX: Duration = Duration::from_mins(1);

fn in_time(what: &str, code: &Code) -> Result<u64, VmError> {
    let start = Instant::now();
    let result = load(Hook::Xdp, code, &[cell(64)]).and_then(|mut vm| vm.run(&[0; 64], 0));
    let taken = start.elapsed();
    println!("{what}: {taken:?}, {:?}", result.as_ref().map_err(|error| error.to_string().chars().take(100).collect::<String>()));
    assert!(taken < TIME_MAX, "{what}: {taken:?}");
    result
}

/// Instructions by fields.
fn code(instructions: impl IntoIterator<Item = (u8, u8, u8, i16, i32)>) -> Code {
    instructions.into_iter().fold(Code::default(), |code, (opc, dst, src, off, imm)| code.raw(opc, dst, src, off, imm))
}

const EXIT: (u8, u8, u8, i16, i32) = (0x95, 0, 0, 0, 0);

#[test]
fn a_million_instructions_are_refused_at_once() {
    let source = Code([0xb7, 0, 0, 0, 0, 0, 0, 0].repeat(1_000_000)).asm("exit");
    let error = in_time("a million", &source).expect_err("too long");
    assert!(error.to_string().contains("32767"), "{error}");
}

#[test]
fn blocks_that_run_backwards_are_followed_in_time() {
    // Each block jumps to the one before it, and the last one runs first; what the first block reads is live in all of them.
    const BLOCKS: i16 = 6000;
    let jump_last = (0x05, 0, 0, BLOCKS * 2, 0);
    let blocks =
        (0..BLOCKS).flat_map(|block| [(0x07, 6, 0, 0, 1), if block == 0 { (0x05, 0, 0, BLOCKS * 2 - 1, 0) } else { (0x05, 0, 0, -4, 0) }]);
    let rest = [(0x05, 0, 0, -3, 0), (0xbf, 0, 6, 0, 0), EXIT];
    let program = [(0xb7, 6, 0, 0, 0), jump_last].into_iter().chain(blocks).chain(rest);
    assert_eq!(in_time("backwards", &code(program)).expect("runs"), 6000);
}

#[test]
fn many_loops_in_one_another_are_followed_in_time() {
    // Every instruction but the last ones is the head of a loop that is never turned.
    let mut source = String::from("mov r6, 0\nmov r0, 0\n");
    for depth in 0..3000 {
        let _ = writeln!(source, "stxdw [r10-{}], r6", 8 + depth % 64 * 8);
    }
    for back in 0..3000 {
        let _ = writeln!(source, "jeq r6, 1, -{}", back * 2 + 1);
    }
    source.push_str("exit");
    let error = in_time("loops", &Code::default().asm(&source)).expect_err("each charges the longest");
    assert!(error.to_string().contains("instructions"), "{error}");
}

#[test]
fn calls_that_double_at_every_level_are_followed_in_time() {
    // Seven functions below main, each calling the next one four hundred times; none is turned more often than the limit allows.
    const CALLS: i32 = 400;
    let mut program = Vec::new();
    for level in 0..7 {
        program.push((0x7a, 10, 0, -8, level));
        for call in 0..CALLS {
            program.push((0x85, 0, 1, 0, CALLS - call + 1));
        }
        program.extend([(0x79, 0, 10, -8, 0), EXIT]);
    }
    program.extend([(0xb7, 0, 0, 0, 1), EXIT]);
    let error = in_time("calls", &code(program)).expect_err("far too long");
    assert!(error.to_string().contains("instructions"), "{error}");
}

#[test]
fn a_thousand_functions_are_refused_as_in_the_kernel() {
    let calls = (0..1000).map(|number| (0x85, 0, 1, 0, 1000 - number + number * 2));
    let functions = (0..1000).flat_map(|_| [(0xb7, 0, 0, 0, 0), EXIT]);
    let error = in_time("functions", &code(calls.chain([EXIT]).chain(functions))).expect_err("refused");
    assert!(error.to_string().contains("functions, the kernel takes 256"), "{error}");
}

#[test]
fn unproven_reads_at_every_instruction_are_lowered_in_time() {
    let mut source = String::from("mov r2, r10\nmov r3, r1\nldxw r3, [r3+0]\nand r3, 56\nadd r2, -64\nadd r2, r3\n");
    for number in 0..1500 {
        let _ = writeln!(source, "stxdw [r2+0], r3\nldxdw r4, [r10-{}]", 8 + number % 64 * 8);
    }
    source.push_str("mov r0, 0\nexit");
    let error = in_time("unproven", &Code::default().asm(&source)).expect_err("most was never written");
    assert!(error.to_string().contains("never written"), "{error}");
}

#[test]
fn a_loop_that_prints_ends_before_memory_does() {
    for (what, format, call) in [("print", "%999999d", 6), ("print zeroes", "%0999999x", 6)] {
        let mut text = [0_u8; 16];
        text[..format.len()].copy_from_slice(format.as_bytes());
        let [low, high] = [&text[..8], &text[8..]].map(|half| u64::from_le_bytes(half.try_into().expect("eight")));
        let source = format!(
            "mov r6, 0\nlddw r1, {low:#x}\nstxdw [r10-16], r1\nlddw r1, {high:#x}\nstxdw [r10-8], r1\nmov r1, r10\nadd r1, -16\nmov r2, {}\nmov r3, 5\ncall {call}\nadd r6, 1\njlt r6, 90000, -7\nmov r0, r6\nexit",
            format.len() + 1
        );
        in_time(what, &Code::default().asm(&source)).expect("a line is short");
    }
}

#[test]
fn a_loop_that_sends_records_ends_before_memory_does() {
    let source = Code::default().asm("mov r7, r1\nmov r6, 0\nmov r1, r7").map(2, 0);
    let source = source.asm("stdw [r10-8], 0\nmov r4, r10\nadd r4, -8\nmov r5, 8\nlddw r3, 0xffff00000000");
    let source = source.asm("call 25\nadd r6, 1\njlt r6, 90000, -13\nmov r0, r6\nexit");
    let shape = crate::code::shape(treeline_lab::vm::MapKind::PerfEventArray, 4, 4, 1);
    let mut vm = load_with(Hook::Xdp, &source, std::slice::from_ref(&shape), &Options::default()).expect("loads");
    vm.map_mut(&shape.name).expect("there").update(&[0; 4], &[1, 0, 0, 0], treeline_lab::vm::ANY).expect("taken");
    let error = vm.run(&vec![0; 0xffff], 0).expect_err("too much").to_string();
    assert!(error.contains("more than 256 MiB"), "{error}");
}
