//! Bytes of the stack that were read and never written: the run ends and says which, in instructions, in what helpers are given and in each
//! frame again. What was written runs as in the kernel.

use crate::code::{Code, cell, load, shape};
use crate::kernel::Kernel;
use treeline_lab::vm::{Fault, Hook, MapKind, Shape, VmError};

fn maps() -> [Shape; 2] {
    [cell(64), Shape { name: "table".to_owned(), ..shape(MapKind::Hash, 16, 8, 4) }]
}

/// Expects that instruction `at` reads a byte at `offset` of the frame so many calls deep.
fn check_deep(code: &Code, at: usize, argument: Option<u8>, offset: i32, frame: u32) {
    let mut vm = load(Hook::Xdp, code, &maps()).unwrap_or_else(|error| panic!("{error}"));
    match vm.run(&[0; 64], 0) {
        Err(VmError::Fault { instruction, fault: Fault::Unwritten { argument: given, offset: byte, frame: deep, .. }, .. }) => {
            assert_eq!((instruction, given, byte, deep), (at, argument, offset, frame));
        }
        other => panic!("a byte that was never written was to be found, not {other:?}"),
    }
}

fn check(code: &Code, at: usize, argument: Option<u8>, offset: i32) {
    check_deep(code, at, argument, offset, 0);
}

/// Expects that the program runs, and in the kernel alike.
fn check_fine(test: &str, hook: Hook, code: &Code) {
    let mut vm = load(hook, code, &maps()).unwrap_or_else(|error| panic!("{test}: {error}"));
    let returned = vm.run(&[7; 64], 0).unwrap_or_else(|error| panic!("{test}: {error}"));
    let Some(kernel) = Kernel::load(test, hook, &code.0, &maps()) else { return };
    assert_eq!(returned & 0xffff_ffff, u64::from(kernel.run(&[7; 64])), "{test}");
}

fn asm(source: &str) -> Code {
    Code::default().asm(source)
}

#[test]
fn a_load_of_a_byte_that_was_never_written_is_a_fault() {
    check(&asm("ldxdw r0, [r10-8]\nexit"), 0, None, -8);
    check(&asm("stxw [r10-8], r1\nldxdw r0, [r10-8]\nexit"), 1, None, -4);
    check(&asm("stdw [r10-16], 1\nldxw r0, [r10-20]\nexit"), 1, None, -20);
    check(&asm("sth [r10-2], 1\nldxb r0, [r10-2]\nldxb r0, [r10-1]\nldxb r0, [r10-3]\nexit"), 3, None, -3);
    check(&asm("ldxb r0, [r10-512]\nexit"), 0, None, -512);
    let signed = Code::default().raw(0x81, 0, 10, -8, 0).asm("exit");
    check(&signed, 0, None, -8);
}

#[test]
fn the_fault_says_what_to_look_for() {
    let error = load(Hook::Xdp, &asm("stw [r10-8], 1\nldxdw r0, [r10-8]\nexit"), &maps()).expect("loads").run(&[0; 64], 0);
    let text = error.expect_err("a fault").to_string();
    assert!(text.contains("instruction 1 `ldxdw r0, [r10-0x8]`") && text.contains("the stack byte at fp-4 was never written"), "{text}");
    let code = asm("stdw [r10-16], 1\nmov r2, r10\nadd r2, -16").map(1, 1).asm("call 1\nmov r0, 0\nexit");
    let text = load(Hook::Xdp, &code, &maps()).expect("loads").run(&[0; 64], 0).expect_err("a fault").to_string();
    assert!(text.contains("helper argument 2 points to 16 bytes of which the stack byte at fp-8 was never written"), "{text}");
}

#[test]
fn what_one_way_writes_is_unwritten_on_the_other() {
    let written_if = |jump: &str| asm(&format!("mov r6, 1\n{jump}\nstdw [r10-8], 5\nldxdw r0, [r10-8]\nexit"));
    check(&written_if("jeq r6, 1, 1"), 3, None, -8);
    check_fine("unwritten_way", Hook::Xdp, &written_if("jeq r6, 2, 1"));
}

#[test]
fn atomics_read_what_they_change() {
    check(&asm("mov r1, 1").atomic64(0, 10, -8, 1).asm("mov r0, 0\nexit"), 1, None, -8);
    check(&asm("mov r1, 1\nstw [r10-8], 3").atomic64(0xe1, 10, -8, 1).asm("mov r0, 0\nexit"), 2, None, -4);
    check_fine("unwritten_atomic", Hook::Xdp, &asm("mov r1, 1\nstw [r10-8], 3").atomic32(1, 10, -8, 1).asm("ldxw r0, [r10-8]\nexit"));
}

#[test]
fn an_offset_that_is_known_only_when_it_runs_is_followed() {
    // Sixteen bytes, of which the first eight are written.
    let fill = "mov r7, 9\nmov r2, r10\nadd r2, -16\nmov r3, 0\nmov r4, r2\nadd r4, r3\nstxb [r4+0], r7\nadd r3, 1\njlt r3, 8, -5";
    let read = |root: i32| asm(fill).asm(&format!("mov r5, {root}\nmul r5, r5\nand r5, 15\nmov r4, r2\nadd r4, r5\nldxb r0, [r4+0]\nexit"));
    check(&read(3), 14, None, -16 + 9);
    check_fine("unwritten_variable", Hook::Xdp, &read(2));
}

#[test]
fn each_call_begins_a_frame() {
    // Twice the same function: what the first call wrote the second must not see.
    let code = asm("mov r1, 1").raw(0x85, 0, 1, 0, 3).asm("mov r1, 0").raw(0x85, 0, 1, 0, 1).asm("exit");
    let code = code.asm("jeq r1, 0, 1\nstdw [r10-8], 7\nldxdw r0, [r10-8]\nexit");
    check_deep(&code, 7, None, -8, 1);
}

#[test]
fn a_function_reads_and_writes_its_callers_bytes() {
    let call = |main: &str, function: &str| {
        let count = i32::try_from(rbpf::assembler::assemble("ldxdw r0, [r10-16]\nexit").expect("assembles").len() / 8).expect("few");
        asm(main).asm("mov r1, r10\nadd r1, -16").raw(0x85, 0, 1, 0, count).asm("ldxdw r0, [r10-16]\nexit").asm(function)
    };
    // Index of the function's first instruction: main's one, two, the call, two.
    check(&call("stdw [r10-8], 1", "ldxdw r0, [r1+0]\nexit"), 6, None, -16);
    check(&call("stdw [r10-8], 1", "stw [r1+0], 1\nmov r0, 0\nexit"), 4, None, -12);
    check_fine("unwritten_callers", Hook::Xdp, &call("stdw [r10-8], 1", "ldxdw r0, [r1+8]\nstxdw [r1+0], r0\nexit"));
    // Through an address that is not the same on all ways.
    let either = "mov r2, r1\nldxdw r3, [r1+8]\njeq r3, 1, 1\nadd r2, 8\nldxdw r0, [r2+0]\nexit";
    check(&call("stdw [r10-8], 1", either), 10, None, -16);
    check_fine("unwritten_either", Hook::Xdp, &call("stdw [r10-8], 2\n", &format!("stdw [r1+0], 3\n{either}")));
}

#[test]
fn keys_and_values_are_to_be_written_whole() {
    let lookup = |stores: &str| asm(stores).asm("mov r2, r10\nadd r2, -16").map(1, 1).asm("call 1\nmov r0, 0\nexit");
    // A structure of nine bytes that the compiler filled up to twelve, or sixteen.
    check(&lookup("stdw [r10-16], 1\nstb [r10-8], 1"), 6, Some(2), -7);
    check_fine("unwritten_key", Hook::Xdp, &lookup("stdw [r10-16], 1\nstdw [r10-8], 1"));
    let update = asm("stdw [r10-16], 1\nstdw [r10-8], 1\nstw [r10-24], 0\nmov r2, r10\nadd r2, -16\nmov r3, r10\nadd r3, -24\nmov r4, 0");
    check(&update.map(1, 1).asm("call 2\nmov r0, 0\nexit"), 10, Some(3), -20);
}

#[test]
fn what_helpers_write_is_written() {
    let load = asm("mov r6, r1\nmov r2, 14\nmov r3, r10\nadd r3, -24\nmov r4, 20\ncall 26");
    check_fine("unwritten_load", Hook::Tc, &load.clone().asm("ldxdw r0, [r10-24]\nldxw r1, [r10-8]\nadd r0, r1\nexit"));
    let mut vm = load_tc(&load.asm("ldxdw r0, [r10-8]\nexit"));
    let error = vm.run(&[7; 64], 0).expect_err("four bytes more").to_string();
    assert!(error.contains("fp-4 was never written"), "{error}");
}

fn load_tc(code: &Code) -> treeline_lab::vm::Vm {
    load(Hook::Tc, code, &maps()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_a_helper_left_of_its_room_is_not_written() {
    // Of eight bytes beyond the packet nothing is copied under XDP.
    let code = asm("mov r2, 60\nmov r3, r10\nadd r3, -8\nmov r4, 8\ncall 189\nldxdw r0, [r10-8]\nexit");
    check(&code, 5, None, -8);
    check_fine("unwritten_room", Hook::Xdp, &asm("mov r2, 8\nmov r3, r10\nadd r3, -8\nmov r4, 8\ncall 189\nldxdw r0, [r10-8]\nexit"));
}

#[test]
fn records_and_checksums_take_only_what_was_written() {
    let sum = asm("stw [r10-8], 1\nmov r1, 0\nmov r2, 0\nmov r3, r10\nadd r3, -8\nmov r4, 8\nmov r5, 0\ncall 28\nexit");
    check(&sum, 7, Some(3), -4);
    let none = asm("mov r1, r10\nadd r1, -8\nmov r2, 0\nmov r3, 0\nmov r4, 0\nmov r5, 7\ncall 28\nexit");
    load(Hook::Xdp, &none, &maps()).expect("loads").run(&[0; 64], 0).expect("of no bytes none is unwritten");
}

#[test]
fn text_that_is_printed_is_to_be_written_up_to_its_end() {
    // "%s\0" and the text at fp-16, of which three letters are written, or an end too.
    let print = |text: &str| {
        asm(&format!(
            "stw [r10-24], {}\n{text}\nmov r1, r10\nadd r1, -24\nmov r2, 3\nmov r3, r10\nadd r3, -16\ncall 6\nmov r0, 0\nexit",
            0x7325
        ))
    };
    check(&print("sth [r10-16], 16705\nstb [r10-14], 65"), 8, None, -13);
    let mut vm = load(Hook::Xdp, &print("stw [r10-16], 16705"), &maps()).expect("loads");
    vm.run(&[0; 64], 0).expect("it has an end");
    assert_eq!(vm.lines(), ["AA"]);
}

#[test]
fn the_kernel_lets_privileged_programs_read_it_today() {
    // From Linux 6.3 on: what such a program reads depends on what ran before.
    let code = asm("ldxdw r0, [r10-8]\nmov r0, 0\nexit");
    if let Some(accepted) = Kernel::accepts(Hook::Xdp, &code.0) {
        println!("a privileged program reads bytes that were never written: {}", if accepted { "accepted" } else { "refused" });
    }
    check(&code, 0, None, -8);
}
