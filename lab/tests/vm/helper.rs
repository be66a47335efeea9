//! Helpers one by one against the kernel's: the answer, the packet, the context, and what a program sees of them afterwards.

use crate::call::{
    Calls,
    Give::{Context, Map, Number, Stack},
    RESULTS, check, check_context, context, context_for, ipv4, ipv6, packets, shown, tagged,
};
use crate::code::{Code, cell, load_with, shape};
use crate::kernel::Kernel;
use treeline_lab::vm::{Fault, HELPERS, Hook, MapKind, Options, VmError};

#[test]
fn each_helper_is_where_the_kernel_has_it() {
    for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
        for helper in HELPERS {
            let code = Code::default().raw(0x85, 0, 0, 0, helper.number).asm("exit");
            let Some(there) = Kernel::has_helper(hook, &code.0) else { return };
            assert_eq!(helper.hooks.has(hook), there, "{} in {hook:?}", helper.name);
        }
    }
}

#[test]
fn the_context_shows_what_the_kernel_shows() {
    let mut xdp = Calls::new();
    for offset in [12, 16] {
        xdp = xdp.field(4, offset);
    }
    check("xdp context", Hook::Xdp, &xdp.end(), &[], &packets());
    let mut tc = Calls::new();
    for offset in [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 64, 68, 72, 84, 160, 164, 176] {
        tc = tc.field(4, offset);
    }
    let tc = tc.field(8, 152).field(1, 180).field(8, 184).field(1, 16).field(2, 16).field(1, 1);
    check("tc context", Hook::Tc, &tc.end(), &[], &packets());
}

#[test]
fn a_context_that_is_given_is_seen_and_given_back() {
    let mut given = context(Hook::Tc);
    for (offset, value) in [(8, 0x1234_5678_u32), (32, 7), (36, 3), (40, 1), (48, 1), (64, 5), (152, 99), (160, 200), (164, 2), (184, 77)] {
        given[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }
    let mut code = Calls::new();
    for offset in [8, 32, 36, 40, 48, 52, 64, 160, 164] {
        code = code.field(4, offset);
    }
    let code = code.field(8, 152).field(8, 184).asm("stw [r9+8], 99\nstw [r9+32], 98\nstw [r9+52], 97");
    let code = code.field(4, 8).asm("mov r1, 5\nstxdw [r9+152], r1").field(8, 152);
    check_context("context given", Hook::Tc, &code.end(), &[], &[(ipv4(), given)]);
    let mut given = context_for(Hook::Xdp, &ipv4());
    given[0..4].copy_from_slice(&8_u32.to_ne_bytes());
    let code =
        Calls::new().asm("ldxw r1, [r9+8]\nldxw r2, [r9+0]\nmov r3, r1\nadd r3, 8\njgt r3, r2, 2\nldxdw r0, [r1+0]\nstxdw [r8+0], r0");
    check_context("metadata given", Hook::Xdp, &code.end(), &[], &[(ipv4(), given)]);
}

#[test]
fn xdp_moves_the_packets_ends() {
    for by in [0_i64, 14, -14, 4, -4, 100, -100, -216, -217, -256, -300, 40, 46, 47, 60, 1000, 3000, 3460, 3461, 4000] {
        let by = u64::from(u32::try_from(by & 0xffff_ffff).expect("32 bits"));
        for helper in [44, 54, 65] {
            let code = Calls::new()
                .call(54, &[Context, Number(0xffff_fffc)])
                .call(helper, &[Context, Number(by)])
                .call(helper, &[Context, Number(4)]);
            let code = code.call(188, &[Context]).asm("ldxw r1, [r9+0]\nldxw r2, [r9+4]\nsub r2, r1").keep(2);
            check(&format!("helper {helper} by {by:#x}"), Hook::Xdp, &code.end(), &[], &packets());
        }
    }
}

#[test]
fn xdp_copies_bytes() {
    for (offset, count) in [(0, 8), (1, 16), (44, 16), (45, 16), (60, 8), (0x10000, 8), (0xffff, 8), (52, 8)] {
        let code = Calls::new().call(189, &[Context, Number(offset), Stack(64), Number(count)]).keep_stack(64, 16);
        let code = code.call(190, &[Context, Number(offset), Stack(128), Number(count)]);
        check(&format!("{count} bytes at {offset}"), Hook::Xdp, &code.end(), &[], &packets());
    }
}

#[test]
fn tc_reads_and_writes_bytes() {
    for (offset, count, flags) in
        [(0_u64, 6, 0_u64), (14, 20, 1), (12, 2, 3), (26, 8, 2), (50, 40, 0), (0xffff_ffff, 4, 0), (0, 8, 4), (54, 8, 0)]
    {
        let code = Calls::new().call(26, &[Context, Number(offset), Stack(64), Number(count)]).keep_stack(64, 48);
        let code =
            code.call(48, &[Context, Number(7)]).call(9, &[Context, Number(offset), Stack(128), Number(count), Number(flags)]).field(4, 68);
        let code = code.call(68, &[Context, Number(offset), Stack(64), Number(count), Number(flags)]).keep_stack(64, 48);
        let code = code.call(39, &[Context, Number(offset)]).call(39, &[Context, Number(0)]).field(4, 16);
        check(&format!("{count} bytes at {offset}, flags {flags}"), Hook::Tc, &code.end(), &[], &packets());
    }
}

#[test]
fn socket_filters_read_bytes_and_have_notes() {
    for (offset, count) in [(0_u64, 6), (12, 2), (14, 20), (50, 16), (58, 8), (0xffff_ffff, 4)] {
        let mut code = Calls::new().call(26, &[Context, Number(offset), Stack(64), Number(count)]).keep_stack(64, 24);
        for field in [0, 4, 8, 12, 16, 20, 32, 44, 48, 64, 68, 164] {
            code = code.field(4, field);
        }
        let code = code.asm("stw [r9+52], 7\nstdw [r9+56], 9").field(8, 48).field(8, 56);
        // Behind a second header, what a length stands for cannot be told.
        let packets: Vec<_> = packets().into_iter().filter(|packet| packet[12] >= 6).collect();
        check(&format!("{count} bytes at {offset}"), Hook::Socket, &code.end(), &[], &packets);
    }
}

#[test]
fn checksums_are_the_kernels() {
    let words = [0_u64, 1, 0xffff, 0xffff_ffff, 0x1234_5678, 0xffff_0000, 0x8000_0001, 0xdead_beef];
    for (number, from) in words.into_iter().enumerate() {
        let to = words[(number * 3 + 1) % words.len()];
        let seed = words[(number + 5) % words.len()];
        let mut code = Calls::new().set(64, from | to << 32).set(56, to).set(128, to).set(120, seed);
        for (from_size, to_size) in [(8, 8), (0, 8), (8, 0), (0, 0), (4, 16), (16, 4), (64, 64), (2, 4)] {
            code = code.call(28, &[Stack(64), Number(from_size), Stack(128), Number(to_size), Number(seed)]);
        }
        check(&format!("csum_diff of {from:#x}"), Hook::Tc, &code.clone().end(), &[], &[ipv4()]);
        check(&format!("csum_diff of {from:#x}"), Hook::Xdp, &code.end(), &[], &[ipv4()]);
        for flags in [0_u64, 2, 4, 8, 0x10, 0x14, 0x12, 0x34, 0x74, 0x32, 0x22, 0x84, 0x100, 0x200, 3] {
            let given = if flags % 16 == 0 && number % 2 == 0 { 0 } else { from };
            let mut code = Calls::new();
            for offset in [24, 40, 25, 200, 0x10000] {
                code = code.call(10, &[Context, Number(offset), Number(given), Number(to), Number(flags)]);
                code = code.call(11, &[Context, Number(offset), Number(given), Number(to), Number(flags)]);
            }
            let mut zero = ipv4();
            zero[40..42].fill(0);
            check(&format!("replaced, flags {flags:#x}, from {given:#x} to {to:#x}"), Hook::Tc, &code.end(), &[], &[ipv4(), ipv6(), zero]);
        }
    }
    let levels = [0, 1, 0, 1, 0, 2, 0, 1, 1, 1, 1, 0, 3, 0, 4, 2, 0];
    let code = levels.into_iter().fold(Calls::new(), |code, level| code.call(135, &[Context, Number(level)]));
    check("csum_level", Hook::Tc, &code.call(40, &[Context, Number(9)]).end(), &[], &packets());
}

#[test]
fn tags_are_pushed_and_popped() {
    let push = |calls: Calls, protocol: u64, tci| calls.call(18, &[Context, Number(protocol), Number(tci)]);
    let pop = |calls: Calls| calls.call(19, &[Context]);
    let (dot1q, dot1ad) = (0x0081, 0xa888);
    check("pop", Hook::Tc, &shown(pop(Calls::new())).end(), &[], &packets());
    check("pop thrice", Hook::Tc, &shown(pop(shown(pop(shown(pop(Calls::new())))))).end(), &[], &packets());
    check("push", Hook::Tc, &shown(push(Calls::new(), dot1q, 0x1005)).end(), &[], &packets());
    check("push zero", Hook::Tc, &shown(push(Calls::new(), 0, 0)).end(), &[], &packets());
    check("push twice", Hook::Tc, &shown(push(push(Calls::new(), dot1q, 5), dot1ad, 0xffff)).end(), &[], &packets());
    let thrice = push(push(push(Calls::new(), dot1q, 5), dot1ad, 6), dot1q, 7);
    check("push thrice, pop twice", Hook::Tc, &shown(pop(shown(pop(thrice)))).end(), &[], &packets());
    check("pop, push", Hook::Tc, &shown(push(pop(Calls::new()), dot1ad, 9)).end(), &[], &packets());
}

#[test]
fn buffers_change_their_size_and_kind() {
    for length in [0, 1, 13, 14, 15, 34, 60, 64, 100, 1500, 3700, 5000, 16064, 16065, 0xffff_ffff] {
        for flags in [0, 1] {
            let code = Calls::new().call(38, &[Context, Number(length), Number(flags)]);
            check(&format!("tail to {length}"), Hook::Tc, &shown(code).end(), &[], &packets());
            let code = Calls::new().call(43, &[Context, Number(length), Number(flags)]);
            let code = code.call(68, &[Context, Number(0), Stack(64), Number(8), Number(1)]).keep_stack(64, 8);
            let code = code.call(31, &[Context, Number(0xdd86), Number(0)]).call(38, &[Context, Number(20), Number(0)]);
            check(&format!("head by {length}"), Hook::Tc, &shown(code).end(), &[], &packets());
        }
    }
    for to in [0x0008, 0xdd86, 0x0608, 0] {
        let code = Calls::new().call(48, &[Context, Number(9)]).call(31, &[Context, Number(to), Number(0)]);
        let code = shown(code).call(31, &[Context, Number(0x0008), Number(0)]).call(31, &[Context, Number(to), Number(1)]);
        check(&format!("protocol {to:#x}"), Hook::Tc, &shown(code).end(), &[], &packets());
    }
    for kind in 0..6 {
        let code = Calls::new().call(32, &[Context, Number(kind)]);
        check(&format!("type {kind}"), Hook::Tc, &shown(code).end(), &[], &packets());
    }
    for (time, kind) in [(5, 0), (0, 0), (5, 1), (0, 1), (5, 2), (0, 2), (5, 3)] {
        let code = Calls::new().call(192, &[Context, Number(time), Number(kind)]).field(8, 152).field(1, 180);
        check(&format!("time {time}, kind {kind}"), Hook::Tc, &code.end(), &[], &packets());
    }
    let code = Calls::new().call(48, &[Context, Number(0x1234_5678)]).call(34, &[Context]).field(4, 68);
    check("hash", Hook::Tc, &code.call(41, &[Context]).field(4, 68).end(), &[], &packets());
    check("congestion", Hook::Tc, &Calls::new().call(97, &[Context]).call(97, &[Context]).end(), &[], &packets());
    check("realm", Hook::Tc, &Calls::new().call(24, &[Context]).end(), &[], &packets());
}

#[test]
fn tunnels_are_named_and_told() {
    for length in [44, 28, 24, 22, 8, 16, 43] {
        for flags in [0, 1, 2, 4, 8, 16, 17, 31, 32] {
            let ask = |calls: Calls| {
                [0, 1, 16, 17, 2].into_iter().fold(calls, |calls, flags| {
                    calls.set(128, 99).call(20, &[Context, Stack(128), Number(length), Number(flags)]).keep_stack(128, 48)
                })
            };
            let options =
                |calls: Calls, count| calls.call(30, &[Context, Stack(200), Number(count)]).call(29, &[Context, Stack(128), Number(16)]);
            let calls = ask(Calls::new()).call(29, &[Context, Stack(64), Number(8)]).set(80 - 16, 0x0000_0403_0000_0000);
            let calls = calls.call(21, &[Context, Stack(80), Number(length), Number(flags)]);
            let calls = options(options(options(ask(calls), 8), 6), 24).keep_stack(128, 16);
            check(&format!("tunnel key of {length}, flags {flags}"), Hook::Tc, &calls.end(), &[], &[ipv4()]);
            let calls = Calls::new().set(80 - 16, 0x0000_0403_0000_0000).set(80 - 24, 0);
            let calls = ask(calls.call(21, &[Context, Stack(80), Number(length), Number(flags)]));
            check(&format!("tunnel key of {length}, flags {flags}, without label"), Hook::Tc, &calls.end(), &[], &[ipv4()]);
        }
    }
}

#[test]
fn room_is_made_and_taken() {
    let flags = [0_u64, 1, 2, 4, 6, 2 | 8, 2 | 16, 4 | 8, 8 | 16 | 2, 32, 64 | 2, 64 | 2 | 14 << 56, 2 | 8 << 56, 128, 256, 384, 512];
    for by in [0_i32, 8, 20, 28, 50, -8, -20, -40, -60, 4095, 4096, -4096] {
        for mode in [0, 1, 2] {
            for flags in flags {
                let by = u64::from(by.cast_unsigned());
                let code = Calls::new().call(135, &[Context, Number(1)]).call(50, &[Context, Number(by), Number(mode), Number(flags)]);
                let code = shown(code).call(135, &[Context, Number(0)]).call(50, &[Context, Number(8), Number(1), Number(2)]);
                let code = shown(code).call(38, &[Context, Number(100), Number(0)]);
                check(
                    &format!("room by {by:#x}, mode {mode}, flags {flags:#x}"),
                    Hook::Tc,
                    &shown(code).end(),
                    &[],
                    &[ipv4(), ipv6(), tagged(1)],
                );
            }
        }
    }
}

#[test]
fn packets_are_sent_elsewhere() {
    for flags in [0_u64, 1, 2, 3, 4, 8, 1 << 32] {
        let code = Calls::new().call(23, &[Number(1), Number(flags)]);
        check(&format!("redirect, flags {flags}"), Hook::Xdp, &code.clone().end(), &[], &[ipv4()]);
        let code = code.call(155, &[Number(1), Number(flags)]).call(152, &[Number(1), Number(0), Number(0), Number(flags)]);
        let code =
            code.call(152, &[Number(1), Stack(64), Number(20), Number(flags)]).call(152, &[Number(1), Stack(64), Number(19), Number(0)]);
        check(&format!("redirect, flags {flags}"), Hook::Tc, &code.end(), &[], &[ipv4()]);
    }
    for kind in [MapKind::DevMap, MapKind::CpuMap, MapKind::XskMap, MapKind::DevMapHash] {
        let mut code = Calls::new();
        for (key, flags) in [(0, 0), (1, 0), (1, 1), (2, 2), (9, 3), (0, 4), (0, 8), (0, 16), (1, 24), (0, 1 << 40)] {
            code = code.call(51, &[Map(1), Number(key), Number(flags)]);
        }
        let maps = [shape(kind, 4, 4, 4)];
        check(&format!("{kind:?}"), Hook::Xdp, &code.end(), &maps, &[ipv4()]);
    }
}

#[test]
fn the_longest_packet_is_the_interfaces() {
    for (index, given, by, flags) in [
        (0_u64, 0_u32, 0_i32, 0_u64),
        (1, 0, 0, 0),
        (0, 65536, 0, 0),
        (0, 65537, 0, 0),
        (0, 65000, 600, 0),
        (0, 0, 0, 1),
        (0, 4, 0, 1),
        (0, 0, 0, 2),
        (99_999, 0, 0, 0),
    ] {
        let by = u64::from(by.cast_unsigned());
        let code = Calls::new()
            .set(64, u64::from(given))
            .call(163, &[Context, Number(index), Stack(64), Number(by), Number(flags)])
            .keep_stack(64, 8);
        for hook in [Hook::Xdp, Hook::Tc] {
            check(&format!("mtu of {index}, {given}, {by:#x}, {flags}"), hook, &code.clone().end(), &[], &[ipv4()]);
        }
    }
}

#[test]
fn there_are_no_sockets() {
    let mut calls = Calls::new();
    for helper in [84, 85, 99] {
        // What is found has to be given back; here it is only counted.
        for (length, flags) in [(12_u64, 0_u64), (36, 0), (12, 1), (13, 0)] {
            calls = calls
                .call(helper, &[Context, Stack(64), Number(length), Number(u64::MAX), Number(flags)])
                .asm("jeq r0, 0, 2\nmov r1, r0")
                .raw(86);
        }
    }
    for hook in [Hook::Xdp, Hook::Tc] {
        check("sockets", hook, &calls.clone().end(), &[], &[ipv4()]);
    }
}

#[test]
fn random_numbers_come_from_the_seed() {
    let calls = Calls::new().call(7, &[]).call(7, &[]).end();
    let draw = |seed: u64| {
        let options = Options { seed, ..Options::default() };
        let mut vm = load_with(Hook::Xdp, &calls, &[cell(RESULTS)], &options).expect("loads");
        vm.run(&ipv4(), 0).expect("runs");
        vm.map("Array").and_then(|map| map.entry(0)).map(|bytes| bytes[..16].to_vec()).expect("there")
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let (state, first) = treeline_lab::vm::random::step(1);
    let (_, second) = treeline_lab::vm::random::step(state);
    assert_eq!(draw(1), [u64::from(first).to_le_bytes(), u64::from(second).to_le_bytes()].concat());
}

#[test]
fn what_the_vm_cannot_know_is_named() {
    let calls = Calls::new().call(34, &[Context]).end();
    let error = load_with(Hook::Tc, &calls, &[cell(RESULTS)], &Options::default()).expect("loads").run(&ipv4(), 0);
    assert!(matches!(error, Err(VmError::Fault { fault: Fault::Absent { .. }, .. })), "{error:?}");
}
