//! Tail calls in functions, against the kernel's: the program called takes the function's place, and its answer goes to the function's caller.

use crate::call::RESULTS;
use crate::code::{Code, cell, load_with, shape};
use crate::kernel::Kernel;
use treeline_lab::vm::{ANY, Hook, MapKind, Options, Shape, Vm, VmError};

fn maps() -> [Shape; 2] {
    [cell(RESULTS), Shape { name: "programs".to_owned(), ..shape(MapKind::ProgArray, 4, 4, 4) }]
}

fn results(vm: &Vm) -> Option<Vec<u8>> {
    vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec)
}

/// A program that may find itself under key 1, run with several keys in the cell's second number, in both.
fn check(test: &str, hook: Hook, code: &Code) {
    let mut vm = load_with(hook, code, &maps(), &Options::default()).unwrap_or_else(|error| panic!("{test}: {error}"));
    vm.map_mut("programs").expect("there").update(&1_u32.to_le_bytes(), &[0; 4], ANY).expect("taken");
    let Some(kernel) = Kernel::load(test, hook, &code.0, &maps()) else { return };
    kernel.put(1, &1_u32.to_le_bytes(), &kernel.program(), 0).expect("taken");
    for key in [0_u64, 1, 3, 4] {
        let mut value = vec![0; RESULTS];
        value[8..16].copy_from_slice(&key.to_le_bytes());
        vm.map_mut("Array").expect("there").update(&[0; 4], &value, ANY).expect("fits");
        kernel.update(0, &[0; 4], &value);
        let returned = vm.run(&[0; 64], 0).unwrap_or_else(|error| panic!("{test}, {hook:?}, key {key}: {error}"));
        let theirs = u64::from(kernel.run(&[0; 64]));
        assert_eq!((returned & 0xffff_ffff, results(&vm)), (theirs, kernel.lookup(0, &[0; 4])), "{test}, {hook:?}, key {key}");
    }
}

/// Counts its runs, calls a function that makes a tail call, and adds to what that answers. `deep` bytes of stack hold what must be left.
fn counting(deep: i32, body: &str) -> Code {
    let code = Code::default().asm("mov r9, r1").value(8, 0, 0).asm("ldxdw r1, [r8+0]\nadd r1, 1\nstxdw [r8+0], r1");
    let code = code.asm(&format!("stxdw [r10-{deep}], r1\nmov r7, r1\nmov r1, r9"));
    // Behind the call lie eight slots of main.
    let code = code.raw(0x85, 0, 1, 0, 8).asm(&format!("ldxdw r1, [r10-{deep}]\nadd r0, r1\nldxdw r2, [r8+16]"));
    let code = code.asm("add r2, r7\nstxdw [r8+16], r2\nstxdw [r8+24], r0\nadd r0, 3\nexit");
    code.asm(body).value(2, 0, 8).asm("ldxdw r3, [r2+0]").map(2, 1).asm("call 12\nmov r0, 50\nexit")
}

#[test]
fn a_tail_call_in_a_function_answers_its_caller() {
    for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
        check("tail_function", hook, &counting(8, "mov r6, r1"));
        check("tail_function_deep", hook, &counting(200, "mov r6, r1\nstdw [r10-128], 1"));
    }
}

#[test]
fn a_tail_call_two_functions_deep_answers_the_inner_ones_caller() {
    // Main calls a function that calls the one with the tail call and adds to its answer.
    let code = Code::default().asm("mov r9, r1").value(8, 0, 0).asm("ldxdw r1, [r8+0]\nadd r1, 1\nstxdw [r8+0], r1\nmov r1, r9");
    let code = code.raw(0x85, 0, 1, 0, 2).asm("add r0, 1\nexit").asm("stdw [r10-8], 20").raw(0x85, 0, 1, 0, 3);
    let code = code.asm("ldxdw r1, [r10-8]\nadd r0, r1\nexit").value(2, 0, 8).asm("ldxdw r3, [r2+0]").map(2, 1);
    check("tail_two_deep", Hook::Xdp, &code.asm("call 12\nmov r0, 50\nexit"));
}

#[test]
fn a_small_function_with_a_tail_call_is_not_made_a_part_of_its_caller() {
    // It touches no stack and is called once, as those are that the VM puts into their callers.
    let code = Code::default().asm("mov r9, r1").value(8, 0, 0).asm("ldxdw r1, [r8+0]\nadd r1, 1\nstxdw [r8+0], r1\nmov r1, r9");
    let code = code.raw(0x85, 0, 1, 0, 2).asm("add r0, 1\nexit").value(2, 0, 8).asm("ldxdw r3, [r2+0]").map(2, 1);
    check("tail_small", Hook::Xdp, &code.asm("call 12\nmov r0, 50\nexit"));
}

#[test]
fn a_program_behind_a_function_may_move_the_packet() {
    // Each run takes a byte off the packet's front; the caller asks again where it begins, and reads.
    let code = Code::default().asm("mov r9, r1\nmov r2, 1\ncall 44").value(8, 0, 0).asm("mov r1, r9");
    let code = code.raw(0x85, 0, 1, 0, 10).asm("mov r7, r0\nldxw r1, [r9+0]\nldxw r2, [r9+4]\nmov r3, r1\nadd r3, 1\njgt r3, r2, 2");
    let code = code.asm("ldxb r3, [r1+0]\nadd r7, r3\nmov r0, r7\nexit").value(2, 0, 8).asm("ldxdw r3, [r2+0]").map(2, 1);
    check("tail_moves", Hook::Xdp, &code.asm("call 12\nmov r0, 50\nexit"));
}

#[test]
fn a_fault_behind_a_function_names_the_program_that_has_it() {
    let code = counting(8, "mov r6, r1").0;
    let mut code = Code(code);
    // The run after the first reads behind the packet.
    code.0 = Code::default()
        .asm("ldxw r2, [r1+0]")
        .value(3, 0, 0)
        .asm("ldxdw r4, [r3+0]\nlsh r4, 40\nadd r2, r4\nldxb r2, [r2+0]")
        .0
        .into_iter()
        .chain(code.0)
        .collect();
    let mut vm = load_with(Hook::Xdp, &code, &maps(), &Options::default()).expect("loads");
    vm.map_mut("programs").expect("there").update(&1_u32.to_le_bytes(), &[0; 4], ANY).expect("taken");
    let mut value = vec![0; RESULTS];
    value[8] = 1;
    vm.map_mut("Array").expect("there").update(&[0; 4], &value, ANY).expect("fits");
    match vm.run(&[0; 64], 0) {
        Err(VmError::Fault { instruction: 6, .. }) => {}
        other => panic!("a fault at instruction 6, not {other:?}"),
    }
    value[8] = 0;
    vm.map_mut("Array").expect("there").update(&[0; 4], &value, ANY).expect("fits");
    assert_eq!(vm.run(&[0; 64], 0).expect("runs after a fault"), 54);
}

#[test]
fn a_tail_call_below_too_much_stack_is_refused_as_in_the_kernel() {
    for (deep, is_taken) in [(240, true), (248, false), (256, false)] {
        let code = counting(deep, "mov r6, r1");
        let ours = load_with(Hook::Xdp, &code, &maps(), &Options::default());
        assert_eq!(ours.is_ok(), is_taken, "{deep} bytes: {:?}", ours.err());
        if let Err(error) = ours {
            assert!(error.to_string().contains("256 bytes of stack, the kernel allows 255"), "{error}");
            if let Some(theirs) = Kernel::try_load("tail_stack", Hook::Xdp, &code.0, &maps(), &[]) {
                let log = theirs.err().expect("refused by the kernel too");
                assert!(log.contains("call stack of previous frames is 256 bytes"), "{log}");
            }
        } else {
            check("tail_stack", Hook::Xdp, &code);
        }
    }
}
