//! Each instruction that the VM does not run is refused when the program loads, with its index and its reason.

use crate::code::{Code, cell, load, shape};
use treeline_lab::vm::{Hook, MapKind, VmError};

/// Expects the refusal of the instruction at `at` for a reason that contains `because`.
fn check(code: &Code, at: usize, because: &str) {
    match load(Hook::Xdp, code, &[cell(8), shape(MapKind::Hash, 4, 8, 4)]).err() {
        Some(VmError::Refused { instruction, text, reason, .. }) => {
            assert_eq!(instruction, at, "{text}: {reason}");
            assert!(reason.contains(because), "`{reason}` says nothing of `{because}`");
            assert!(!text.is_empty());
        }
        other => panic!("{because}: a refusal was due, not {other:?}"),
    }
}

/// A program with one instruction after `mov r0, 1`.
fn check_one(opc: u8, dst: u8, src: u8, off: i16, imm: i32, because: &str) {
    check(&Code::default().asm("mov r0, 1\nmov r1, 1").raw(opc, dst, src, off, imm).asm("exit"), 2, because);
}

#[test]
fn packet_loads_of_classic_bpf_are_refused_in_xdp() {
    for opc in [0x20, 0x28, 0x30, 0x40, 0x48, 0x50] {
        check_one(opc, 0, 0, 0, 4, "XDP has no packet loads");
    }
}

#[test]
fn unknown_instructions_are_refused() {
    check_one(0xe5, 0, 1, 0, 0, "unknown"); // no may_goto with a register
    check_one(0x3f, 0, 1, 2, 0, "no such offset");

    check_one(0x8d, 1, 0, 0, 0, "unknown"); // call by register
    check_one(0x0d, 1, 0, 0, 0, "unknown"); // jump by register
    check_one(0x8f, 0, 0, 0, 0, "unknown"); // neg with a register
    check_one(0xdf, 0, 0, 0, 16, "unknown"); // bswap with a register
    check_one(0xe7, 0, 0, 0, 0, "unknown"); // beyond END
    check_one(0x86, 0, 0, 0, 0, "unknown"); // call in the 32-bit class
    check_one(0x99, 0, 1, 0, 0, "eight bytes"); // eight bytes with sign extension
    check_one(0xd4, 0, 0, 0, 24, "bytes are swapped");
    check_one(0xbf, 0, 1, 7, 0, "sign extension");
    check_one(0x0f, 0, 1, 3, 0, "offset field");

    check_one(0xb7, 11, 0, 0, 0, "eleven registers");
}

#[test]
fn odd_atomics_are_refused() {
    check_one(0xdb, 0, 1, 0, 0x20, "atomic operation");
    check_one(0xd3, 0, 1, 0, 0, "four or eight");
    check_one(0xdb, 1, 1, 0, 1, "overwritten");
}

#[test]
fn helpers_that_are_not_there_are_refused() {
    check_one(0x85, 0, 0, 0, 35, "no helper 35");
    check_one(0x85, 0, 0, 0, 26, "no skb_load_bytes for Xdp");
    check_one(0x85, 0, 0, 0, 39, "no skb_pull_data for Xdp");
    check_one(0x85, 0, 2, 0, 1, "kernel functions");
}

#[test]
fn references_that_are_no_maps_are_refused() {
    let wide = |src: u8, imm: i32| Code::default().raw(0x18, 1, src, 0, imm).raw(0, 0, 0, 0, 0).asm("mov r0, 0\nexit");
    check(&wide(1, 2), 0, "no such map");
    check(&wide(2, 1), 0, "fixed address");
    check(&wide(3, 0), 0, "by reference");
}

#[test]
fn control_that_leaves_its_function_is_refused() {
    check(&Code::default().asm("mov r0, 0\nja +1\nexit"), 1, "leaves its function");
    check(&Code::default().asm("mov r0, 0\njeq r0, 0, -3\nexit"), 1, "leaves its function");
    check(&Code::default().asm("mov r0, 0\nja +1\nlddw r1, 5\nexit"), 1, "middle of an instruction");
    check(&Code::default().asm("mov r0, 0"), 0, "falls out");
    check(&Code::default().raw(0x85, 0, 1, 0, 5).asm("exit"), 0, "leaves the program");
    check(&Code::default().asm("mov r0, 0\nexit").raw(0x18, 0, 0, 0, 0), 2, "second half");
}

#[test]
fn recursion_is_refused() {
    check(&Code::default().raw(0x85, 0, 1, 0, 1).asm("exit").raw(0x85, 0, 1, 0, -1).asm("exit"), 2, "recursion");
    check(&Code::default().asm("mov r0, 0").raw(0x85, 0, 1, 0, -2).asm("exit"), 1, "recursion");
}

#[test]
fn frames_beyond_the_stack_are_refused() {
    // 264 bytes in the main program and 256 in the function called.
    let code = Code::default().asm("stdw [r10-264], 0").raw(0x85, 0, 1, 0, 1).asm("exit\nstdw [r10-256], 0\nmov r0, 0\nexit");
    check(&code, 3, "needs 520 bytes");
}

#[test]
fn nine_frames_are_refused() {
    let mut code = Code::default();
    for _ in 0..8 {
        code = code.raw(0x85, 0, 1, 0, 1).asm("exit");
    }
    check(&code.asm("mov r0, 0\nexit"), 14, "eight frames");
}

#[test]
fn a_program_beyond_rbpfs_jumps_is_refused() {
    let code = Code::default().asm(&format!("mov r0, 0\n{}exit", "add r0, 1\n".repeat(32_800)));
    match load(Hook::Xdp, &code, &[]).err() {
        Some(VmError::Program { reason, .. }) => assert!(reason.contains("32767"), "{reason}"),
        other => panic!("a refusal was due, not {other:?}"),
    }
}
