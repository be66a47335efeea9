//! The context on its way through the stack, calls and joins: its fields' rules hold however a program comes by it.
//!
//! Each way loses sight of the context in another manner; each use is one whose result or permission depends on knowing it. The kernel is asked
//! about every pair.

use crate::code::{Code, load, load_with};
use crate::kernel::Kernel;
use treeline_lab::vm::{Fault, Hook, Options, VmError};

/// r6 is the context, r7 the packet's length; the context lies at r10-8, zeroes from there down to r10-64.
const PROLOGUE: &str = "mov r6, r1\nldxw r7, [r1+0]\nstxdw [r10-8], r6\nstdw [r10-16], 0\nstdw [r10-24], 0\nstdw [r10-32], 0\n\
    stdw [r10-40], 0\nstdw [r10-48], 0\nstdw [r10-56], 0\nstdw [r10-64], 0";

/// A way by which r6 becomes the context again, with its name and the functions behind it.
type Way = (&'static str, Code, Code);

fn asm(source: &str) -> Code {
    Code::default().asm(source)
}

/// A call of the function behind main, at `behind` instructions after it.
fn calling(before: &str, behind: i32, after: &str) -> Code {
    asm(before).raw(0x85, 0, 1, 0, behind).asm(after)
}

fn ways(rest: i32) -> Vec<Way> {
    let plain = |name, source: &str| (name, asm(source), Code::default());
    let back = "ldxdw r6, [r10-8]";
    vec![
        plain("in its register", "mov r0, 0"),
        plain("spilled", back),
        plain("beside a store at a variable offset", &format!("mov r2, r7\nand r2, 8\nmov r9, r10\nadd r9, r2\nstw [r9-32], 7\n{back}")),
        plain(
            "beside a store at an offset of which the bounds are in a register",
            &format!("mov r2, r7\nmov r3, 8\nand r2, r3\nmov r9, r10\nadd r9, r2\nstw [r9-32], 7\n{back}"),
        ),
        plain(
            "beside a store below an object",
            &format!("mov r2, r7\nand r2, 8\nneg r2\nmov r9, r10\nadd r9, -16\nadd r9, r2\nstb [r9+0], 7\n{back}"),
        ),
        plain(
            "spilled through an offset that a branch made sure of",
            "stdw [r10-8], 0\nmov r2, r7\nor r2, 8\nand r2, 8\njeq r2, 8, 2\nmov r0, 0\nexit\nmov r9, r10\nadd r9, r2\nstxdw [r9-16], r6\nldxdw r6, [r10-8]",
        ),
        plain(
            "filled through an offset that a branch made sure of",
            "mov r2, r7\nor r2, 8\nand r2, 8\njeq r2, 8, 2\nmov r0, 0\nexit\nmov r9, r10\nadd r9, r2\nldxdw r6, [r9-16]",
        ),
        ("taken out by an exchange", asm("mov r2, 0").atomic64(0xe1, 10, -8, 2).asm("mov r6, r2"), Code::default()),
        ("taken out by an addition", asm("mov r2, 0").atomic64(0x01, 10, -8, 2).asm("mov r6, r2"), Code::default()),
        ("taken out by a comparison", asm("mov r0, 1\nmov r2, 0").atomic64(0xf1, 10, -8, 2).asm("mov r6, r0"), Code::default()),
        plain(
            "beside what a helper wrote, so many bytes as a register says",
            &format!("mov r1, r6\nmov r2, 0\nmov r3, r10\nadd r3, -32\nmov r4, r7\nand r4, 7\nadd r4, 1\ncall 26\n{back}"),
        ),
        plain(
            "beside what a helper wrote, so many bytes as a branch allows",
            &format!("mov r1, r6\nmov r2, 0\nmov r3, r10\nadd r3, -32\nmov r4, r7\nmov r5, 15\nand r4, r5\njlt r4, 1, 1\ncall 26\n{back}"),
        ),
        plain("partly overwritten and spilled again", &format!("stw [r10-8], 0\nstxdw [r10-8], r6\nmov r6, 0\n{back}")),
        plain(
            "on one of two paths that meet",
            "mov r9, r6\nmov r2, r7\nand r2, 4\njeq r2, 0, 1\nmov r9, 0\njne r9, 0, 2\nmov r0, 0\nexit\nmov r6, r9",
        ),
        plain(
            "in a slot on one of two paths that meet",
            "mov r2, r7\nand r2, 4\nmov r8, r2\njeq r2, 0, 1\nstdw [r10-8], 9\njeq r8, 0, 2\nmov r0, 0\nexit\nldxdw r6, [r10-8]",
        ),
        plain("moved by nothing", "mov r2, r7\nand r2, 0\nadd r6, r2"),
        plain("moved by nothing that a branch made sure of", "mov r2, r7\nand r2, 4\njeq r2, 0, 2\nmov r0, 0\nexit\nadd r6, r2"),
        ("answered by a function", calling("mov r1, r6\nmov r6, 0", rest + 1, "mov r6, r0"), asm("stdw [r10-8], 0\nmov r0, r1\nexit")),
        (
            "beside what a function wrote",
            calling("mov r1, r10\nadd r1, -32\nmov r2, r7", rest + 1, back),
            asm("and r2, 8\nadd r1, r2\nstw [r1+0], 5\nmov r0, 0\nexit"),
        ),
        (
            "spilled by a function into its caller's frame",
            calling("stdw [r10-8], 0\nmov r1, r10\nadd r1, -8\nmov r2, r6\nmov r6, 0", rest + 1, back),
            asm("stxdw [r1+0], r2\nmov r0, 0\nexit"),
        ),
        (
            "spilled and filled through an address in another slot",
            asm("mov r2, r10\nadd r2, -8\nstxdw [r10-16], r2\nmov r6, 0\nldxdw r3, [r10-16]\nldxdw r6, [r3+0]"),
            Code::default(),
        ),
    ]
}

/// A use of r6 that ends in an answer in r0, with its name.
fn uses() -> Vec<(&'static str, Code)> {
    let plain = |name, source: &str| (name, asm(source));
    vec![
        plain("a mark", "stw [r6+8], 77\nldxw r0, [r6+8]"),
        plain("the packet's ends", "ldxw r0, [r6+80]\nldxw r1, [r6+76]\nsub r0, r1"),
        plain("the upper half of the protocol", "ldxh r0, [r6+18]"),
        plain("a queue above 16 bits", "lddw r1, 0x12345\nstxw [r6+12], r1\nldxw r0, [r6+12]"),
        plain("a queue of 16 bits", "mov r1, 0x1234\nstxw [r6+12], r1\nldxw r0, [r6+12]"),
        plain("an immediate queue above 16 bits", "stw [r6+12], 0x12345\nldxw r0, [r6+12]"),
        plain("an index above 16 bits", "lddw r1, 0x12345\nstxw [r6+44], r1\nldxw r0, [r6+44]"),
        plain("a length that is stored", "mov r1, 5\nstxw [r6+0], r1\nldxw r0, [r6+0]"),
        plain("half of the packet's start", "ldxh r0, [r6+76]"),
        plain("a mark whose half is stored", "sth [r6+8], 5\nmov r0, 0"),
        ("a mark with its sign", asm("stw [r6+8], -7").raw(0x81, 0, 6, 8, 0).asm("rsh r0, 8")),
        ("the upper half of the protocol with its sign", Code::default().raw(0x89, 0, 6, 18, 0).asm("rsh r0, 8")),
        ("the packet's end with its sign", Code::default().raw(0x81, 0, 6, 80, 0)),
        ("an atomic mark", Code::default().asm("mov r1, 1").atomic32(0, 6, 8, 1).asm("mov r0, 1")),
        ("a mark that is fetched", Code::default().asm("mov r1, 1").atomic32(1, 6, 8, 1).asm("mov r0, r1")),
        plain("a byte behind the context", "ldxb r0, [r6+200]"),
    ]
}

fn program(way: &Way, used: &Code) -> Code {
    let mut code = asm(PROLOGUE);
    code.0.extend(&way.1.0);
    code.0.extend(&used.0);
    code = code.asm("exit");
    code.0.extend(&way.2.0);
    code
}

fn packet(length: usize) -> Vec<u8> {
    let mut packet = vec![0x45; length];
    packet[12..14].copy_from_slice(&[8, 0]);
    packet
}

/// What the VM does with a program, for each packet; `None`: it keeps the program from a use of the context that the kernel forbids.
fn in_vm(code: &Code, lengths: &[usize]) -> Option<Vec<u32>> {
    let mut vm = match load(Hook::Tc, code, &[]) {
        Err(VmError::Refused { .. }) => return None,
        loaded => loaded.unwrap_or_else(|error| panic!("{error}")),
    };
    let mut answers = Vec::new();
    for length in lengths {
        match vm.run(&packet(*length), 0) {
            Err(VmError::Fault { fault: Fault::Context | Fault::OutOfBounds { .. }, .. }) => return None,
            answer => answers.push(u32::try_from(answer.unwrap_or_else(|error| panic!("{error}")) & 0xffff_ffff).expect("32 bits")),
        }
    }
    Some(answers)
}

#[test]
fn the_contexts_rules_hold_however_a_program_comes_by_it() {
    let lengths = [64, 68, 72, 79, 96];
    let (mut alike, mut kept, mut wrong) = (0, 0, Vec::new());
    for (name, used) in uses() {
        // A function lies behind the rest of main.
        let rest = i32::try_from(used.0.len() / 8).expect("short");
        let mut is_allowed = None;
        for way in ways(rest) {
            // From the call to the function lie what follows it in the way, the use and the exit.
            let code = program(&placed(&way), &used);
            let Some(loaded) = Kernel::try_load("spill", Hook::Tc, &code.0, &[], &[]) else { return };
            let what = format!("{name}, the context {}", way.0);
            match loaded {
                Ok(kernel) => {
                    is_allowed.get_or_insert(true);
                    let theirs: Vec<u32> = lengths.iter().map(|length| kernel.run(&packet(*length))).collect();
                    let ours = in_vm(&code, &lengths);
                    if ours.as_ref() == Some(&theirs) {
                        alike += 1;
                    } else {
                        wrong.push(format!("{what}: {ours:?}, the kernel {theirs:?}"));
                    }
                }
                // The first way is the plain one: what the kernel forbids there it forbids for the use.
                Err(log) if *is_allowed.get_or_insert(false) => wrong.push(format!("{what}: the kernel does not take this way\n{log}")),
                Err(_) if in_vm(&code, &lengths).is_some() => wrong.push(format!("{what}: it runs, and the kernel refuses it")),
                Err(_) => kept += 1,
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(alike > 100 && kept > 100, "{alike} alike, {kept} kept from running");
}

/// A way with the distance of its call, which counts what follows the call in it, set right.
fn placed(way: &Way) -> Way {
    let mut way = way.clone();
    let count = way.1.0.len() / 8;
    if let Some(call) = way.1.0.chunks_exact(8).position(|insn| insn[0] == 0x85 && insn[1] >> 4 == 1) {
        let distance = &mut way.1.0[call * 8 + 4..call * 8 + 8];
        let behind = i32::from_le_bytes(distance.try_into().expect("four bytes"));
        let follows = i32::try_from(count - call - 1).expect("short");
        distance.copy_from_slice(&(behind + follows).to_le_bytes());
    }
    way
}

/// So many ways through functions that each is followed by itself: what main spilled is not known after a call that gets an address of its frame.
#[test]
fn the_contexts_rules_hold_in_programs_of_many_ways() {
    let calls = 14;
    for (used, expected) in [
        ("ldxh r0, [r6+18]", Some(8)),
        ("lddw r1, 0x12345\nstxw [r6+12], r1\nldxw r0, [r6+12]", Some(0)),
        ("stw [r6+0], 5\nmov r0, 0", None),
    ] {
        // Seven functions behind main, each of which calls the next often, where the packet is long.
        let mut code = asm(PROLOGUE).asm("mov r1, r10\nadd r1, -32\nmov r2, r7");
        let rest = asm(&format!("ldxdw r6, [r10-8]\n{used}\nexit"));
        code = code.raw(0x85, 0, 1, 0, i32::try_from(rest.0.len() / 8).expect("short"));
        code.0.extend(&rest.0);
        for level in 0..6 {
            let is_last = level == 5;
            code = code.asm(&format!("mov r6, r1\nmov r7, r2\nstw [r6+0], 1\njlt r7, 1000, {}", if is_last { 0 } else { 3 * calls }));
            for call in 0..if is_last { 0 } else { calls } {
                code = code.asm("mov r1, r6\nmov r2, r7").raw(0x85, 0, 1, 0, 3 * (calls - 1 - call) + 2);
            }
            code = code.asm("mov r0, 0\nexit");
        }
        let answer = load_with(Hook::Tc, &code, &[], &Options::default()).expect("loads").run(&packet(64), 0);
        match expected {
            Some(expected) => assert_eq!(answer.unwrap_or_else(|error| panic!("{used}: {error}")), expected, "{used}"),
            None => assert!(matches!(answer, Err(VmError::Fault { fault: Fault::Context, .. })), "{used}: {answer:?}"),
        }
    }
}

/// A function that is given an address of its caller's frame, and stores below it, where no instruction of the caller's says that there is anything.
#[test]
fn a_store_below_an_object_through_a_function_spoils_no_frame() {
    let code = asm("mov r6, r1\nldxw r7, [r1+0]\nstdw [r10-8], 0\nmov r1, r10\nadd r1, -8\nand r7, 8\nneg r7\nadd r1, r7")
        .raw(0x85, 0, 1, 0, 1)
        .asm("exit");
    let code = code.asm("stdw [r10-8], 42\nstdw [r1+0], 7\nldxdw r0, [r10-8]\nexit");
    for length in [64, 72] {
        let ours = load(Hook::Tc, &code, &[]).expect("loads").run(&packet(length), 0).expect("runs");
        assert_eq!(ours, 42, "{length} bytes");
        let Some(kernel) = Kernel::load("below", Hook::Tc, &code.0, &[]) else { return };
        assert_eq!(kernel.run(&packet(length)), 42);
    }
}

/// The context may lie right behind the stack: r10 plus 16 is its address then, and what is reached below that is the frame's.
#[test]
fn an_address_above_the_frame_is_not_taken_for_the_context() {
    for above in (0..=64).step_by(8) {
        let store = format!("mov r3, r10\nmov r2, r7\nor r2, {above}\nand r2, {above}\nadd r3, r2\nsth [r3-94], 5\nldxh r0, [r3-94]");
        let mut code = asm(PROLOGUE).asm("stdw [r10-96], 0\nstdw [r10-88], 0\nstdw [r10-80], 0\nstdw [r10-72], 0");
        code = code.asm(&store).asm("exit");
        for trace in [false, true] {
            let mut vm = load_with(Hook::Tc, &code, &[], &Options { trace, ..Options::default() }).expect("loads");
            assert_eq!(vm.run(&packet(64), 0).unwrap_or_else(|error| panic!("{above}: {error}")), 5);
        }
    }
}
