//! Logs of kernels and of functions that no object here can call.

use super::{Kind, Loss};
use crate::bpf::Object;
use crate::verifier::path::walk;
use crate::vm::Hook;
use rbpf::assembler::assemble;

#[track_caller]
fn check(code: &str, log: &str, expected: Option<(u8, usize, Kind, &str)>) {
    let code = assemble(code).expect("assembly");
    let object = Object::from_bytecode("test", Hook::Tc, &code, &[]).expect("an object");
    let found = walk(log).loss(&object.programs()[0]);
    let expected = expected.map(|(register, position, kind, was)| (register, Loss { position, kind, is_sure: true, was: was.to_owned() }));
    assert_eq!(found, expected);
}

const HEAD: &str =
    "ldxw r7, [r1+0]\nldxw r2, [r1+4]\nmov64 r3, r7\nadd64 r3, 14\njgt r3, r2, +3\nmov64 r2, -8\ncall 44\nldxb r0, [r7+0]\nexit";

#[test]
fn a_log_of_old_kernels_shows_all_registers_and_the_call_is_found() {
    let log = "0: R1=ctx(id=0,off=0,imm=0) R10=fp0\n0: (61) r7 = *(u32 *)(r1 +0)\n\
               1: R1=ctx(id=0,off=0,imm=0) R7_w=pkt(id=0,off=0,r=0,imm=0) R10=fp0\n1: (61) r2 = *(u32 *)(r1 +4)\n\
               2: R1=ctx(id=0,off=0,imm=0) R2_w=pkt_end(id=0,off=0,imm=0) R7_w=pkt(id=0,off=0,r=0,imm=0) R10=fp0\n2: (bf) r3 = r7\n\
               3: (07) r3 += 14\n4: (2d) if r3 > r2 goto pc+3\n R1=ctx(id=0,off=0,imm=0) R7_w=pkt(id=0,off=0,r=14,imm=0) R10=fp0\n\
               5: (b7) r2 = -8\n6: (85) call bpf_xdp_adjust_head#44\n7: R0_w=inv(id=0) R7_w=inv(id=0) R10=fp0\n\
               7: (71) r0 = *(u8 *)(r7 +0)\nR7 invalid mem access 'inv'\nprocessed 8 insns\n";
    check(HEAD, log, Some((7, 6, Kind::Packet, "pkt")));
}

#[test]
fn a_call_after_which_the_log_shows_the_address_is_not_to_blame() {
    let log = "0: R1=ctx() R10=fp0\n0: (61) r7 = *(u32 *)(r1 +0) ; R7=pkt(r=0)\n6: (85) call bpf_xdp_adjust_head#44\n7: R0=scalar() R7=pkt(r=0)\n\
               7: (71) r0 = *(u8 *)(r7 +0)\nR7 invalid mem access 'scalar'\n";
    check(HEAD, log, None);
}

#[test]
fn a_slice_of_a_dynptr_over_the_packet_goes_with_the_packet() {
    let code = "mov64 r1, r10\nadd64 r1, -16\ncall 1\nmov64 r6, r0\nmov64 r1, r9\nmov64 r2, 64\ncall 39\nldxb r0, [r6+0]\nexit";
    let log = |dynptr: &str| {
        format!(
            "0: R1=ctx() R9=ctx() R10=fp0 fp-16={dynptr}()\n0: (bf) r1 = r10 ; R1=fp0 R10=fp0\n1: (07) r1 += -16 ; R1=fp-16\n\
             2: (85) call bpf_dynptr_slice#100 ; R0=rdonly_mem(sz=8)\n3: (bf) r6 = r0 ; R0=rdonly_mem(sz=8) R6=rdonly_mem(sz=8)\n\
             4: (bf) r1 = r9 ; R1=ctx() R9=ctx()\n5: (b7) r2 = 64 ; R2=64\n6: (85) call bpf_skb_pull_data#39 ; R0=scalar()\n\
             7: (71) r0 = *(u8 *)(r6 +0)\nR6 invalid mem access 'scalar'\n"
        )
    };
    check(code, &log("dynptr_skb"), Some((6, 6, Kind::Packet, "rdonly_mem")));
    check(code, &log("dynptr_local"), None);
}

#[test]
fn a_slice_goes_with_the_dynptr_that_is_overwritten() {
    let code = "mov64 r1, r10\nadd64 r1, -16\ncall 203\nmov64 r6, r0\nstdw [r10-8], 0\nldxb r0, [r6+0]\nexit";
    let log = "0: R10=fp0 fp-16=dynptr_local()\n0: (bf) r1 = r10 ; R1=fp0\n1: (07) r1 += -16 ; R1=fp-16\n2: (85) call bpf_dynptr_data#203 ; R0=mem(sz=8)\n\
               3: (bf) r6 = r0 ; R6=mem(sz=8)\n4: (7a) *(u64 *)(r10 -8) = 0\n5: (71) r0 = *(u8 *)(r6 +0)\nR6 invalid mem access 'scalar'\n";
    check(code, log, Some((6, 4, Kind::Overwritten, "mem")));
}

#[test]
fn a_function_of_the_kernel_that_releases_is_found_by_its_name() {
    let code = "call 1\nldxdw r0, [r6+0]\nexit";
    let log = |call: &str, other: u32| {
        format!(
            "0: R1=ptr_task_struct(ref_obj_id=2) R6=ptr_task_struct(ref_obj_id={other}) R10=fp0 refs=2\n0: (85) call {call}#500 ;\n\
             1: (79) r0 = *(u64 *)(r6 +0)\nR6 invalid mem access 'scalar'\n"
        )
    };
    check(code, &log("bpf_task_release", 2), Some((6, 0, Kind::Released, "ptr_task_struct")));
    check(code, &log("bpf_obj_drop_impl", 2), Some((6, 0, Kind::Released, "ptr_task_struct")));
    check(code, &log("bpf_task_release", 3), None);
    check(code, &log("bpf_task_pid", 2), None);
}

#[test]
fn an_object_in_a_list_is_no_address_after_the_unlock() {
    let code = "call 94\nldxdw r0, [r6+0]\nexit";
    let log = "0: R1=map_value(map=m,ks=4,vs=8) R6=ptr_node(non_own_ref,off=16) R10=fp0\n0: (85) call bpf_spin_unlock#94 ;\n\
               1: (79) r0 = *(u64 *)(r6 +0)\nR6 invalid mem access 'scalar'\n";
    check(code, log, Some((6, 0, Kind::Unlocked, "ptr_node")));
}

#[test]
fn an_iterator_is_none_after_its_end() {
    let code = "mov64 r1, r10\nadd64 r1, -8\ncall 1\nmov64 r1, r10\nadd64 r1, -8\ncall 2\nexit";
    let log = "0: R10=fp0 fp-8=iter_num(ref_id=1,state=active,depth=0)\n0: (bf) r1 = r10 ; R1=fp0\n1: (07) r1 += -8 ; R1=fp-8\n\
               2: (85) call bpf_iter_num_destroy#10 ;\n3: (bf) r1 = r10 ; R1=fp0\n4: (07) r1 += -8 ; R1=fp-8\n5: (85) call bpf_iter_num_next#11\n\
               expected an initialized iter_num as arg #0\n";
    check(code, log, Some((1, 2, Kind::Released, "iter_num")));
}
