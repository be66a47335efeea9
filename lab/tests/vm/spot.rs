//! What faults say of an access: the region, the offset at which it starts and its whole width, and no address of this process.

use crate::code::{Code, cell, load, load_with, shape};
use treeline_lab::vm::{Hook, MapKind, Options, Shape, VmError};

fn asm(source: &str) -> Code {
    Code::default().asm(source)
}

/// The message of the fault that a program over 64 bytes ends with.
fn message(hook: Hook, code: &Code, maps: &[Shape]) -> String {
    let plain = load(hook, code, maps).unwrap_or_else(|error| panic!("{error}")).run(&[7; 64], 0);
    let traced = Options { trace: true, ..Options::default() };
    let traced = load_with(hook, code, maps, &traced).unwrap_or_else(|error| panic!("{error}")).run(&[7; 64], 0);
    let [plain, traced] = [plain, traced].map(|result| match result {
        Err(VmError::Fault { fault, .. }) => fault.to_string(),
        other => panic!("a fault was due, not {other:?}"),
    });
    assert_eq!(plain, traced);
    plain
}

#[track_caller]
fn check(code: &Code, maps: &[Shape], expected: &str) {
    assert_eq!(message(Hook::Xdp, code, maps), expected);
}

#[test]
fn an_access_beyond_the_packet_is_told_by_its_start_and_width() {
    let packet = |access: &str| asm(&format!("ldxw r2, [r1+0]\nmov r0, 0\n{access}\nexit"));
    check(&packet("ldxw r0, [r2+62]"), &[], "out of bounds load at packet+62, 4 bytes; the packet has 64");
    check(&packet("ldxdw r0, [r2+62]"), &[], "out of bounds load at packet+62, 8 bytes; the packet has 64");
    check(&packet("ldxh r2, [r2+63]"), &[], "out of bounds load at packet+63, 2 bytes; the packet has 64");
    check(&packet("stdw [r2+64], 1"), &[], "out of bounds store at packet+64, 8 bytes; the packet has 64");
    check(&packet("ldxb r0, [r2-1]"), &[], "out of bounds load at packet-1, 1 bytes; the packet has 64");
    check(
        &packet("ldxb r3, [r2+0]\nadd r2, r3\nadd r2, 53\nldxdw r0, [r2+0]"),
        &[],
        "out of bounds load at packet+60, 8 bytes; the packet has 64",
    );
    let atomic = asm("ldxw r2, [r1+0]\nmov r3, 1").atomic64(0, 2, 60, 3).asm("mov r0, 0\nexit");
    check(&atomic, &[], "out of bounds atomic operation at packet+60, 8 bytes; the packet has 64");
    let through_end = asm("ldxw r2, [r1+4]\nldxw r0, [r2-2]\nexit");
    check(&through_end, &[], "out of bounds load at packet+62, 4 bytes; the packet has 64");
}

#[test]
fn an_access_beyond_a_packet_that_moved_is_told_from_where_it_is_now() {
    let code = asm("mov r9, r1\nmov r2, 8\ncall 44\nldxw r2, [r9+0]\nldxdw r0, [r2+50]\nexit");
    check(&code, &[], "out of bounds load at packet+50, 8 bytes; the packet has 56");
}

#[test]
fn an_access_beyond_the_stack_is_told_from_the_frame_pointer() {
    let stack = "; a frame has the 512 below its pointer";
    check(&asm("stdw [r10-516], 1\nmov r0, 0\nexit"), &[], &format!("out of bounds store at fp-516, 8 bytes{stack}"));
    check(&asm("mov r2, r10\nadd r2, -4\nstdw [r2+0], 1\nmov r0, 0\nexit"), &[], &format!("out of bounds store at fp-4, 8 bytes{stack}"));
    check(&asm("ldxb r3, [r10+0]\nmov r0, 0\nexit"), &[], &format!("out of bounds load at fp+0, 1 bytes{stack}"));
    let key = asm("stdw [r10-8], 0\nmov r2, r10\nadd r2, -2").map(1, 0).asm("call 1\nmov r0, 0\nexit");
    let map = [shape(MapKind::Hash, 4, 8, 4)];
    check(&key, &map, &format!("helper argument 2 points to fp-2, where 4 bytes are not the program's{stack}"));
}

#[test]
fn an_access_beyond_a_value_is_told_by_the_maps_name() {
    let maps = [cell(8), Shape { name: "flows".to_owned(), ..shape(MapKind::Hash, 4, 20, 4) }];
    let code = |access: &str| {
        let code = asm("stw [r10-4], 1\nstdw [r10-32], 0\nstdw [r10-24], 0\nstdw [r10-16], 0").map(1, 1);
        let code = code.asm("mov r2, r10\nadd r2, -4\nmov r3, r10\nadd r3, -32\nmov r4, 0\ncall 2").map(1, 1);
        code.asm(&format!("mov r2, r10\nadd r2, -4\ncall 1\n{access}\nmov r0, 0\nexit"))
    };
    let extent = "; a value or record of flows has 20";
    check(&code("ldxdw r1, [r0+16]"), &maps, &format!("out of bounds load at flows+16, 8 bytes{extent}"));
    check(&code("stw [r0-1], 1"), &maps, &format!("out of bounds store at flows-1, 4 bytes{extent}"));
    check(&code("mov r1, 1\nadd r0, 20\nstxb [r0+0], r1"), &maps, &format!("out of bounds store at flows+20, 1 bytes{extent}"));
    let direct = Code::default().value(2, 0, 0).asm("ldxdw r0, [r2+4]\nexit");
    check(&direct, &maps, "out of bounds load at Array+4, 8 bytes; a value or record of Array has 8");
    let itself = Code::default().map(2, 1).asm("ldxdw r0, [r2+0]\nexit");
    check(&itself, &maps, "out of bounds load at the map flows itself, 8 bytes");
}

#[test]
fn an_access_beyond_a_record_is_told_by_the_rings_name() {
    let maps = [Shape { name: "events".to_owned(), ..shape(MapKind::RingBuf, 0, 0, 4096) }];
    // rbpf holds accesses to the ring, helpers hold them to the record.
    let code = Code::default()
        .map(1, 0)
        .asm("mov r2, 16\nmov r3, 0\ncall 131\nmov r6, r0\nstdw [r6+0], 1\nstdw [r6+8], 1\nmov r2, r6\nadd r2, 12");
    let code = code.map(1, 0).asm("mov r3, 8\nmov r4, 0\nmov r7, r2").map(1, 0).asm("mov r2, r7\ncall 130\nmov r0, 0\nexit");
    check(&code, &maps, "helper argument 2 points to events+12, where 8 bytes are not the program's; a value or record of events has 16");
}

#[test]
fn the_context_and_what_is_no_memory_are_told() {
    let extent = "; the context has 24";
    let map = [shape(MapKind::Hash, 8, 8, 4)];
    let key = asm("mov r2, r1\nadd r2, 20").map(1, 0).asm("call 1\nmov r0, 0\nexit");
    check(&key, &map, &format!("helper argument 2 points to context+20, where 8 bytes are not the program's{extent}"));
    check(&asm("mov r1, 0x1000\nldxdw r0, [r1+8]\nexit"), &[], "out of bounds load at 0x1008, 8 bytes");
    check(&asm("mov r1, -16\nldxdw r0, [r1+8]\nexit"), &[], "out of bounds load at -8, 8 bytes");
    check(
        &asm("lddw r1, 0x123456789abcdef\nldxdw r0, [r1+0]\nexit"),
        &[],
        "out of bounds load at an address that is no memory of the program's, 8 bytes",
    );
    let far = asm("ldxw r2, [r1+0]\nlsh r2, 20\nldxdw r0, [r2+0]\nexit");
    check(&far, &[], "out of bounds load at an address that is no memory of the program's, 8 bytes");
    let map = asm("stdw [r10-8], 0\nmov r2, r10\nadd r2, -8\ncall 1\nmov r0, 0\nexit");
    check(&map, &[cell(8)], "a helper's argument is context+0, no map");
}

#[test]
fn r10_is_compared_and_code_that_would_write_to_it_ends_the_run_where_it_is_reached() {
    for (source, expected) in [
        ("jeq r10, 0, 0\nmov r0, 7\nexit", 7),
        ("mov r0, 0\njeq r10, -1, 1\nmov r0, 1\nexit", 1),
        ("mov r0, 0\nmov r1, 0\njeq r10, r1, 1\nmov r0, 1\nexit", 1),
        ("mov r0, 5\njne r10, 0, 1\nmov r0, 1\nexit", 5),
        ("mov r0, 1\njeq r0, 1, 1\nmov r10, 0\nexit", 1),
        ("mov r0, 1\njeq r0, 1, 1\nldxdw r10, [r1+0]\nexit", 1),
        ("mov r0, 1\njeq r0, 1, 2\nlddw r10, 5\nexit", 1),
    ] {
        for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
            if source.contains("[r1+0]") && hook != Hook::Xdp {
                continue;
            }
            let answer = load(hook, &asm(source), &[]).unwrap_or_else(|error| panic!("{source}: {error}")).run(&[0; 64], 0);
            assert_eq!(answer.unwrap_or_else(|error| panic!("{source}: {error}")), expected, "{source}");
        }
    }
    for code in [
        asm("mov r0, 1\nmov r10, 0\nexit"),
        asm("ldxdw r10, [r1+0]\nmov r0, 0\nexit"),
        asm("mov r2, r10\nstdw [r10-8], 1").atomic64(1, 2, -8, 10).asm("exit"),
    ] {
        check(&code, &[], "r10 is read-only");
    }
}

#[test]
fn a_call_of_a_function_is_listed_as_the_verifiers_log_has_it() {
    let code = asm("mov r1, 1").raw(0x85, 0, 1, 0, 1).asm("exit\nmov r0, 2\nexit");
    let insns: Vec<_> = (0..code.0.len() / 8).map(|index| rbpf::ebpf::get_insn(&code.0, index)).collect();
    assert_eq!(treeline_lab::vm::disassembled(&insns, 1), "call pc+1");
}
