//! The context: what of it may be loaded and stored, and accesses to a packet that changed.

use crate::call::{
    Calls,
    Give::{Context, Number},
    RESULTS, check,
};
use crate::code::{Code, cell, load, load_with};
use crate::kernel::Kernel;
use treeline_lab::vm::{Fault, Hook, Options, VmError};

/// Sizes with their opcodes: load, store of a register, store of an immediate.
const SIZES: [(i16, [u8; 3]); 4] = [(1, [0x71, 0x73, 0x72]), (2, [0x69, 0x6b, 0x6a]), (4, [0x61, 0x63, 0x62]), (8, [0x79, 0x7b, 0x7a])];

#[test]
fn fields_are_loaded_and_stored_where_the_kernel_lets_them() {
    for (hook, length) in [(Hook::Xdp, 24), (Hook::Tc, 192), (Hook::Socket, 192)] {
        // With their sign, too.
        let signed = [(1, [0x91; 3]), (2, [0x89; 3]), (4, [0x81; 3])].map(|(size, opcodes)| (size, opcodes[..1].to_vec()));
        for (size, opcodes) in SIZES.map(|(size, opcodes)| (size, opcodes.to_vec())).into_iter().chain(signed) {
            for opc in opcodes {
                for offset in -size..length + size {
                    // A socket is what the VM does not have.
                    let is_socket = hook != Hook::Xdp && (168..176).contains(&offset);
                    let (dst, src) = if opc & 7 == 1 { (3, 1) } else { (1, if opc & 7 == 2 { 0 } else { 2 }) };
                    let code = Code::default().asm("mov r2, 1").raw(opc, dst, src, offset, 0).asm("mov r0, 0\nexit");
                    let Some(theirs) = Kernel::accepts(hook, &code.0) else { return };
                    let ours = load(hook, &code, &[]).map(|_| ());
                    assert_eq!(ours.is_ok(), theirs && !is_socket, "{hook:?}, opcode {opc:#x} at {offset}: {ours:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_stored_is_what_the_kernel_keeps() {
    let mut tc = Calls::new();
    for offset in [8, 12, 32, 44, 48, 72] {
        for value in [0x1_2345_u64, 0xffff_ffff, 0xffff, 0xfffe, 0] {
            tc = tc.asm(&format!("lddw r1, {value}\nstxw [r9+{offset}], r1")).field(4, offset).asm(&format!("stw [r9+{offset}], 70000"));
            tc = tc.field(4, offset).field(1, offset);
        }
    }
    let tc = tc.asm("lddw r1, 72623859790382856\nstxdw [r9+48], r1\nstxdw [r9+152], r1\nstxb [r9+61], r1\nstxh [r9+66], r1");
    check("stores", Hook::Tc, &tc.field(8, 48).field(8, 152).field(8, 56).field(4, 64).end(), &[], &[vec![0; 64]]);
}

fn faulted(result: Result<u64, VmError>) -> (usize, Fault) {
    match result {
        Err(VmError::Fault { instruction, fault, .. }) => (instruction, fault),
        other => panic!("a fault was due, not {other:?}"),
    }
}

/// Loads and stores around a packet of 64 bytes whose ends were moved.
#[test]
fn a_packet_that_changed_is_exact() {
    for (helper, by, length) in [(44, 8, 56_i16), (44, -8, 72), (65, -10, 54), (65, 20, 84)] {
        for (size, opcodes) in SIZES {
            for opc in opcodes {
                for base in [0_u8, 3, 5, 7] {
                    for offset in [-1, 0, length - size, length - size + 1, length] {
                        let code = Code::default().asm("mov r9, r1").asm(&format!("mov r2, {by}\ncall {helper}\nmov r6, 5\nmov r0, 6"));
                        let code = code.asm(&format!("ldxw r{base}, [r9+0]"));
                        let (dst, src) = match opc & 7 {
                            1 => (4, base),
                            2 => (base, 0),
                            _ => (base, 6),
                        };
                        let at = code.0.len() / 8;
                        let keep = if base == 0 { "mov r0, 6" } else { "" };
                        let code = code.raw(opc, dst, src, offset, 0).asm(&format!("{keep}\nadd r0, r6\nexit"));
                        let result = load(Hook::Xdp, &code, &[]).expect("loads").run(&[7; 64], 0);
                        let what = format!("helper {helper}, opcode {opc:#x} through r{base} at {offset}");
                        if offset >= 0 && offset + size <= length {
                            assert_eq!(result.unwrap_or_else(|error| panic!("{what}: {error}")), 11, "{what}");
                        } else {
                            let (instruction, fault) = faulted(result);
                            assert_eq!(instruction, at, "{what}: {fault}");
                            assert!(matches!(fault, Fault::OutOfBounds { .. }), "{what}: {fault}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn metadata_is_part_of_what_a_program_reaches() {
    let code = Calls::new().call(54, &[Context, Number(0xffff_fffc)]).asm("ldxw r1, [r9+8]\nldxw r2, [r9+0]\nmov r3, r1\nadd r3, 4");
    let code = code.asm("jgt r3, r2, 3\nmov r4, 77\nstxw [r1+0], r4\nldxw r5, [r1+0]\nmov r0, 0").end();
    let mut vm = load_with(Hook::Xdp, &code, &[cell(RESULTS)], &Options::default()).expect("loads");
    vm.run(&[1; 60], 0).expect("runs");
    assert_eq!((vm.packet().len(), vm.packet()[0]), (64, 77));
}
