//! What rbpf 0.4.1 does otherwise than the kernel; each test is named for one such thing.

use crate::code::{Code, cell, load, run};
use treeline_lab::vm::Hook;

fn value(source: &str) -> u64 {
    run(&Code::default().asm(source), &[]).unwrap_or_else(|error| panic!("{error}\n{source}"))
}

/// Whether the jump is taken.
fn jumps(source: &str) -> bool {
    value(&format!("{source}\nmov r0, 0\nexit\nmov r0, 1\nexit")) == 1
}

#[test]
fn compare_with_a_negative_immediate_zero_extends_it() {
    let minus_one = "mov r1, -1";
    for (compare, expected) in [
        ("jeq r1, -1, 2", true),
        ("jne r1, -1, 2", false),
        ("jgt r1, -2, 2", true),
        ("jgt r1, -1, 2", false),
        ("jge r1, -1, 2", true),
        ("jlt r1, -1, 2", false),
        ("jle r1, -2, 2", false),
        ("jle r1, -1, 2", true),
        ("jset r1, -1, 2", true),
    ] {
        assert_eq!(jumps(&format!("{minus_one}\n{compare}")), expected, "-1: {compare}");
    }
    for (compare, expected) in [
        ("jeq r1, -1, 2", false),
        ("jne r1, -1, 2", true),
        ("jgt r1, -2, 2", false),
        ("jge r1, -1, 2", false),
        ("jlt r1, -1, 2", true),
        ("jle r1, -2, 2", true),
    ] {
        assert_eq!(jumps(&format!("lddw r1, 0xffffffff\n{compare}")), expected, "2^32-1: {compare}");
    }
}

#[test]
fn mod32_by_zero_leaves_the_upper_half() {
    assert_eq!(value("lddw r0, 0x500000007\nmov r1, 0\nmod32 r0, r1\nexit"), 7);
}

#[test]
fn neg64_of_the_least_integer_panics_in_debug_builds() {
    assert_eq!(value("lddw r0, 0x8000000000000000\nneg r0\nexit"), 1 << 63);
    assert_eq!(value("mov r0, 5\nneg r0\nexit"), 5_u64.wrapping_neg());
}

#[test]
fn movsx_ignores_its_width() {
    let extended =
        |opc: u8, off: i16| run(&Code::default().asm("lddw r1, 0x8081828384858687").raw(opc, 0, 1, off, 0).asm("exit"), &[]).expect("runs");
    assert_eq!(extended(0xbf, 8), 0xffff_ffff_ffff_ff87);
    assert_eq!(extended(0xbf, 16), 0xffff_ffff_ffff_8687);
    assert_eq!(extended(0xbf, 32), 0xffff_ffff_8485_8687);
    assert_eq!(extended(0xbc, 8), 0xffff_ff87);
    assert_eq!(extended(0xbc, 16), 0xffff_8687);
}

#[test]
fn loads_with_sign_extension_are_unknown() {
    for (opc, expected) in [(0x91_u8, 0xffff_ffff_ffff_ff87_u64), (0x89, 0xffff_ffff_ffff_8687), (0x81, 0xffff_ffff_8485_8687)] {
        let code = Code::default().asm("lddw r1, 0x8081828384858687\nstxdw [r10-8], r1").raw(opc, 0, 10, -8, 0).asm("exit");
        assert_eq!(run(&code, &[]).expect("runs"), expected);
    }
}

#[test]
fn unconditional_byte_swaps_and_long_jumps_are_unknown() {
    let code = Code::default().asm("lddw r0, 0x0102030405060708").raw(0xd7, 0, 0, 0, 32).raw(0x06, 0, 0, 0, 1).asm("mov r0, 1\nexit");
    assert_eq!(run(&code, &[]).expect("runs"), 0x0807_0605);
}

#[test]
fn calls_backwards_overflow_in_debug_builds() {
    // main calls A, A jumps over to call B, which lies before it.
    let code = Code::default()
        .raw(0x85, 0, 1, 0, 3) // 0: call 4
        .asm("exit") // 1
        .asm("mov r0, 42\nexit") // 2: B
        .raw(0x85, 0, 1, 0, -3) // 4: A calls 2
        .asm("add r0, 1\nexit");
    assert_eq!(run(&code, &[]).expect("runs"), 43);
}

#[test]
fn a_frame_beyond_256_bytes_overlaps_the_next_one() {
    let code = Code::default()
        .asm("mov r6, 1\nstdw [r10-400], 7\nstdw [r10-264], 8")
        .raw(0x85, 0, 1, 0, 4)
        .asm("ldxdw r1, [r10-264]\nadd r0, r1\nadd r0, r6\nexit")
        .asm("mov r6, 100\nstdw [r10-8], 1\nstdw [r10-64], 1\nldxdw r0, [r10-8]\nexit");
    assert_eq!(run(&code, &[]).expect("runs"), 1 + 8 + 1);
}

#[test]
fn three_frames_of_160_bytes_fit() {
    // With rbpf's 256 bytes a frame the third one begins below the stack.
    let code = Code::default()
        .asm("stdw [r10-160], 1")
        .raw(0x85, 0, 1, 0, 3)
        .asm("ldxdw r1, [r10-160]\nadd r0, r1\nexit")
        .asm("stdw [r10-160], 20")
        .raw(0x85, 0, 1, 0, 3)
        .asm("ldxdw r1, [r10-160]\nadd r0, r1\nexit")
        .asm("stdw [r10-160], 300\nldxdw r0, [r10-160]\nexit");
    assert_eq!(run(&code, &[]).expect("runs"), 321);
}

#[test]
fn a_range_is_tested_by_its_first_byte_only() {
    let mut vm =
        load(Hook::Xdp, &Code::default().value(6, 0, 0).asm("mov r7, 1\nmul r7, r7\nadd r6, r7\nldxdw r0, [r6+4]\nexit"), &[cell(12)])
            .expect("loads");
    assert!(vm.run(&[0; 64], 0).is_err());
}

#[test]
fn a_helper_call_is_taken_for_a_local_one_when_frames_are_measured() {
    // Helper 5 at index 0 makes rbpf ask for the frame of "function" 6, which lies inside the second function here.
    let code = Code::default()
        .asm("call 5\nstdw [r10-16], 3")
        .raw(0x85, 0, 1, 0, 3)
        .asm("ldxdw r1, [r10-16]\nadd r0, r1\nexit")
        .asm("mov r0, 4\nstdw [r10-200], 9\nexit");
    assert_eq!(load(Hook::Xdp, &code, &[]).expect("loads").run(&[0; 64], 77).expect("runs"), 7);
}

#[test]
fn division_with_sign_is_taken_for_one_without() {
    let numbers = [0, 1, -1, 7, -7, 100, -100, i64::MIN, i64::MAX, i64::from(i32::MIN), 1 << 31];
    for (dividend, divisor) in numbers.into_iter().flat_map(|one| numbers.map(|other| (one, other))) {
        let of = |opc: u8| {
            let code = Code::default().asm(&format!("lddw r0, {:#x}\nlddw r1, {:#x}", dividend.cast_unsigned(), divisor.cast_unsigned()));
            run(&code.raw(opc, 0, 1, 1, 0).asm("exit"), &[]).expect("runs")
        };
        let quotient = if divisor == 0 { 0 } else { dividend.wrapping_div(divisor) };
        let remainder = if divisor == 0 { dividend } else { dividend.wrapping_rem(divisor) };
        assert_eq!((of(0x3f), of(0x9f)), (quotient.cast_unsigned(), remainder.cast_unsigned()), "{dividend} by {divisor}");
        let [short, by] = [dividend, divisor].map(|wide| i32::from_le_bytes(wide.to_le_bytes()[..4].try_into().expect("four")));
        let quotient = if by == 0 { 0 } else { short.wrapping_div(by) };
        let remainder = if by == 0 { short } else { short.wrapping_rem(by) };
        let unsigned = |value: i32| u64::from(value.cast_unsigned());
        assert_eq!((of(0x3c), of(0x9c)), (unsigned(quotient), unsigned(remainder)), "{short} by {by} in 32 bits");
    }
}

#[test]
fn packet_loads_of_classic_bpf_keep_the_hosts_byte_order() {
    let packet: Vec<u8> = (0..64).collect();
    for (opc, imm, expected) in
        [(0x20_u8, 4, 0x0405_0607_u64), (0x28, 62, 0x3e3f), (0x30, 63, 63), (0x28, 63, 0), (0x20, -0x10_0000, 0x0e0f_1011)]
    {
        let code = Code::default().asm("mov r6, r1").raw(opc, 0, 0, 0, imm).asm("exit");
        assert_eq!(load(Hook::Tc, &code, &[]).expect("loads").run(&packet, 0).expect("runs"), expected, "{opc:#x} at {imm}");
        let code = Code::default().asm("mov r6, r1\nmov r7, 2").raw(opc ^ 0x60, 0, 7, 0, imm.wrapping_sub(2)).asm("exit");
        assert_eq!(load(Hook::Tc, &code, &[]).expect("loads").run(&packet, 0).expect("runs"), expected, "{opc:#x} at 2 + {imm} - 2");
    }
}
