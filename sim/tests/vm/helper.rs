//! Helpers against the kernel's: the answer, the packet, the context, and what a program sees of them afterwards.

use crate::code::{Code, cell, load_with, shape};
use crate::kernel::{Kernel, Outcome};
use proptest::prelude::*;
use treeline_sim::vm::{Fault, HELPERS, Hook, Input, MapKind, Options, Shape, VmError};

/// What goes into an argument's register.
#[derive(Debug, Clone, Copy)]
pub enum Give {
    /// The context.
    Context,
    /// A number.
    Number(u64),
    /// The address of a byte of the stack, below its top.
    Stack(i32),
    /// A map.
    Map(i32),
    /// The start of the only value of a map.
    Value(i32),
}

use Give::{Context, Map, Number, Stack, Value};

/// A program that calls helpers and writes each answer into map 0, an array of one entry.
#[derive(Debug, Clone)]
pub struct Calls {
    code: Code,
    /// Bytes of results so far.
    results: i32,
}

/// Bytes of stack that are set to start with.
const STACK: i32 = 256;
/// Bytes of results.
pub const RESULTS: usize = 2048;

impl Calls {
    pub fn new() -> Self {
        let mut code = Code::default().asm("mov r9, r1").value(8, 0, 0);
        for offset in (8..=STACK).step_by(8) {
            code = code.asm(&format!("stdw [r10-{offset}], {}", offset * 0x0101));
        }
        Self { code, results: 0 }
    }

    pub fn call(mut self, number: i32, arguments: &[Give]) -> Self {
        for (register, argument) in (1..).zip(arguments) {
            self.code = match *argument {
                Context => self.code.asm(&format!("mov r{register}, r9")),
                Number(number) => wide(self.code, register, number),
                Stack(offset) => self.code.asm(&format!("mov r{register}, r10\nadd r{register}, -{offset}")),
                Map(map) => self.code.map(register, map),
                Value(map) => self.code.value(register, map, 0),
            };
        }
        self.code = self.code.raw(0x85, 0, 0, 0, number);
        self.keep(0)
    }

    /// Keeps a register among the results.
    pub fn keep(mut self, register: u8) -> Self {
        self.code = self.code.asm(&format!("stxdw [r8+{}], r{register}", self.results));
        self.results += 8;
        self
    }

    /// Keeps a register in the place of the last result.
    pub fn over(mut self, register: u8) -> Self {
        self.code = self.code.asm(&format!("stxdw [r8+{}], r{register}", self.results - 8));
        self
    }

    /// One call whose arguments are set and whose answer is not kept.
    pub fn raw(mut self, number: u8) -> Self {
        self.code = self.code.raw(0x85, 0, 0, 0, i32::from(number));
        self
    }

    /// Keeps bytes of the stack.
    pub fn keep_stack(mut self, from: i32, count: i32) -> Self {
        for offset in (0..count).step_by(8) {
            self.code = self.code.asm(&format!("ldxdw r0, [r10-{}]", from - offset));
            self = self.keep(0);
        }
        self
    }

    /// Sets eight bytes of the stack.
    pub fn set(mut self, offset: i32, value: u64) -> Self {
        self.code = wide(self.code, 1, value).asm(&format!("stxdw [r10-{offset}], r1"));
        self
    }

    /// Keeps a field of the context.
    pub fn field(mut self, size: u8, offset: i16) -> Self {
        let opc = match size {
            1 => 0x71,
            2 => 0x69,
            4 => 0x61,
            _ => 0x79,
        };
        self.code = self.code.raw(opc, 0, 9, offset, 0);
        self.keep(0)
    }

    pub fn asm(mut self, source: &str) -> Self {
        self.code = self.code.asm(source);
        self
    }

    pub fn end(self) -> Code {
        self.code.asm("mov r0, 1\nexit")
    }
}

fn wide(code: Code, register: u8, number: u64) -> Code {
    let half = |number: u64| u32::try_from(number & 0xffff_ffff).expect("32 bits").cast_signed();
    code.raw(0x18, register, 0, 0, half(number)).raw(0, 0, 0, 0, half(number >> 32))
}

/// An empty context for a hook.
fn context(hook: Hook) -> Vec<u8> {
    vec![0; if hook == Hook::Xdp { 24 } else { 192 }]
}

fn context_for(hook: Hook, packet: &[u8]) -> Vec<u8> {
    let mut context = context(hook);
    if hook == Hook::Xdp {
        context[4..8].copy_from_slice(&u32::try_from(packet.len()).expect("short").to_ne_bytes());
    }
    context
}

/// Runs over each packet in both and compares; maps other than the results' are the caller's.
fn check_context(test: &str, hook: Hook, code: &Code, maps: &[Shape], inputs: &[(Vec<u8>, Vec<u8>)]) {
    let mut all = vec![cell(RESULTS)];
    all.extend_from_slice(maps);
    let mut vm = load_with(hook, code, &all, &Options::default()).unwrap_or_else(|error| panic!("{test}: {error}"));
    let Some(kernel) = Kernel::load(test, hook, &code.0, &all) else { return };
    for (packet, given) in inputs {
        let input = Input { packet, now_ns: 0, context: Some(given) };
        let returned = match vm.run_input(0, &input) {
            // What lies behind a packet in the kernel's memory; such a case says nothing.
            Err(VmError::Fault { fault: Fault::Absent { what }, .. }) if what.starts_with("room") => continue,
            returned => returned.unwrap_or_else(|error| panic!("{test}: {error}")),
        };
        let ours = Outcome {
            returned: u32::try_from(returned & 0xffff_ffff).expect("32 bits"),
            packet: vm.packet().to_vec(),
            context: vm.context(),
        };
        let theirs = kernel.run_with(packet, given);
        let results = (vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec), kernel.lookup(0, &[0; 4]));
        let results = [results.0, results.1].map(Option::unwrap_or_default);
        let difference = [
            differing("results", &results[0], &results[1]),
            differing("packet", &ours.packet, &theirs.packet),
            differing("context", &ours.context, &theirs.context),
        ];
        let difference: Vec<String> = difference.into_iter().flatten().collect();
        assert!(difference.is_empty(), "{test}, packet {packet:02x?}\n{}", difference.join("\n"));
        assert_eq!(ours.returned, theirs.returned, "{test}, packet {packet:02x?}");
    }
}

/// Where two byte strings differ, eight bytes a line.
fn differing(what: &str, ours: &[u8], theirs: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    if ours.len() != theirs.len() {
        lines.push(format!("{what}: {} bytes, the kernel's {}", ours.len(), theirs.len()));
    }
    let pairs = ours.chunks(8).zip(theirs.chunks(8)).enumerate().filter(|(_, (one, other))| one != other);
    lines.extend(pairs.take(8).map(|(number, (one, other))| format!("{what} at {number} x 8: {one:02x?}, the kernel's {other:02x?}")));
    lines
}

pub fn check(test: &str, hook: Hook, code: &Code, maps: &[Shape], packets: &[Vec<u8>]) {
    let inputs: Vec<_> = packets.iter().map(|packet| (packet.clone(), context_for(hook, packet))).collect();
    check_context(test, hook, code, maps, &inputs);
}

fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(rest);
    packet
}

fn ipv4() -> Vec<u8> {
    let mut header = vec![0x45, 1, 0, 46, 1, 2, 0x40, 0, 64, 17, 0x12, 0x34, 10, 0, 0, 1, 10, 0, 0, 2];
    header.extend_from_slice(&[0, 53, 1, 2, 0, 26, 0x55, 0xaa]);
    header.extend((0..18).map(|byte| byte * 7));
    ethernet(0x0800, &header)
}

fn ipv6() -> Vec<u8> {
    let mut header = vec![0x60, 0x20, 0, 0, 0, 20, 6, 64];
    header.extend([0x20; 32]);
    header.extend((0..20).map(|byte| byte * 5));
    ethernet(0x86dd, &header)
}

fn tagged(count: usize) -> Vec<u8> {
    let mut rest: Vec<u8> = Vec::new();
    for number in 0..count {
        rest.extend_from_slice(&[0x20, u8::try_from(number).expect("few") + 5]);
        let next: u16 = if number + 1 < count { 0x8100 } else { 0x0800 };
        rest.extend_from_slice(&next.to_be_bytes());
    }
    rest.extend_from_slice(&ipv4()[14..]);
    ethernet(if count > 1 { 0x88a8 } else { 0x8100 }, &rest)
}

fn packets() -> Vec<Vec<u8>> {
    let mut broadcast = ipv4();
    broadcast[..6].fill(0xff);
    let mut multicast = ipv6();
    multicast[..2].fill(0x33);
    let mut own = ipv4();
    own[..6].fill(0);
    let mut length = ethernet(46, &[0xaa; 46]);
    length[0] = 1;
    vec![ipv4(), ipv6(), tagged(1), tagged(2), broadcast, multicast, own, length, ethernet(46, &[0xff; 46]), ethernet(0x0806, &[1; 46])]
}

#[test]
fn each_helper_is_where_the_kernel_has_it() {
    for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
        for helper in HELPERS {
            let code = Code::default().raw(0x85, 0, 0, 0, helper.number).asm("exit");
            let Some(there) = Kernel::has_helper("each_helper_is_where_the_kernel_has_it", hook, &code.0) else { return };
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
            let code = code.call(188, &[Context]).asm("ldxw r1, [r9+0]\nldxw r2, [r9+4]\nsub r2, r1");
            let code = Calls { code: code.code.asm("mov r0, r2"), results: code.results }.keep(0);
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

fn shown(calls: Calls) -> Calls {
    [0, 4, 16, 20, 24, 28, 68].into_iter().fold(calls, |calls, offset| calls.field(4, offset))
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

/// A call that changes a packet, its arguments mostly sensible.
fn change(hook: Hook) -> BoxedStrategy<(i32, Vec<u64>)> {
    let word = |by: i32| u64::from(by.cast_unsigned());
    let by = prop_oneof![4 => -40..60_i32, 1 => Just(0), 1 => -300..4100_i32].prop_map(word);
    // Long enough for the headers: behind the end the kernel shows what lay in its memory.
    let length = prop_oneof![4 => 54..200_u64, 1 => 54..17_000_u64];
    let protocol = prop_oneof![Just(0x0008_u64), Just(0xdd86), Just(0x0081), Just(0xa888), Just(0)];
    let flags = prop_oneof![3 => Just(0_u64), 1 => 0..512_u64, 1 => (0..32_u64).prop_map(|flags| flags | 14 << 56)];
    if hook == Hook::Xdp {
        return (prop_oneof![Just(44), Just(54), Just(65)], by).prop_map(|(helper, by)| (helper, vec![by])).boxed();
    }
    prop_oneof![
        (protocol.clone(), any::<u16>()).prop_map(|(protocol, tci)| (18, vec![protocol, tci.into()])),
        Just((19, Vec::new())),
        protocol.prop_map(|protocol| (31, vec![protocol, 0])),
        length.clone().prop_map(|length| (38, vec![length, 0])),
        length.clone().prop_map(|length| (43, vec![length, 0])),
        (by, 0..2_u64, flags).prop_map(|(by, mode, flags)| (50, vec![by, mode, flags])),
        (0..4_u64).prop_map(|level| (135, vec![level])),
        Just((97, Vec::new())),
        length.prop_map(|length| (39, vec![length])),
        (0..4_u64).prop_map(|kind| (32, vec![kind])),
        any::<u32>().prop_map(|hash| (48, vec![hash.into()])),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn changes_one_after_another_equal_the_kernels(
        tc in prop::collection::vec(change(Hook::Tc), 1..10),
        xdp in prop::collection::vec(change(Hook::Xdp), 1..12),
    ) {
        for (hook, changes) in [(Hook::Tc, tc), (Hook::Xdp, xdp)] {
            let mut calls = Calls::new();
            for (helper, arguments) in &changes {
                let arguments: Vec<Give> = [Context].into_iter().chain(arguments.iter().copied().map(Number)).collect();
                calls = calls.call(*helper, &arguments);
                calls = if hook == Hook::Tc { shown(calls) } else { calls.call(188, &[Context]) };
            }
            check(&format!("{changes:x?}"), hook, &calls.end(), &[], &packets());
        }
    }
}

/// Anything for an argument.
fn give() -> impl Strategy<Value = Give> {
    let number = prop_oneof![3 => 0..70_u64, 1 => any::<u64>(), 1 => any::<u32>().prop_map(u64::from), 1 => Just(u64::MAX)];
    prop_oneof![2 => Just(Context), 4 => number.prop_map(Number), 3 => (0..300).prop_map(Stack), 3 => (1..12).prop_map(Map), 1 => Just(Value(0))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Nothing that a program passes breaks the VM: what no verifier would let pass is a fault.
    #[test]
    fn a_helper_called_with_anything_answers_or_faults(
        calls in prop::collection::vec((0..HELPERS.len(), prop::collection::vec(give(), 5)), 1..8),
        length in 0..80_usize,
    ) {
        let kinds = [
            (MapKind::Hash, 4), (MapKind::Array, 4), (MapKind::LruPerCpuHash, 4), (MapKind::LpmTrie, 8), (MapKind::ProgArray, 4),
            (MapKind::PerfEventArray, 4), (MapKind::ArrayOfMaps, 4), (MapKind::DevMap, 4), (MapKind::Queue, 0), (MapKind::Bloom, 0),
        ];
        let mut maps = vec![cell(RESULTS)];
        maps.extend(kinds.map(|(kind, key_size)| shape(kind, key_size, 4, 4)));
        maps.push(shape(MapKind::RingBuf, 0, 0, 4096));
        for hook in [Hook::Xdp, Hook::Tc, Hook::Socket] {
            let mut program = Calls::new();
            for (position, arguments) in &calls {
                let helper = &HELPERS[*position];
                // Those with functions want one at load.
                if helper.hooks.has(hook) && !matches!(helper.number, 164 | 181) {
                    program = program.call(helper.number, arguments);
                }
            }
            let mut vm = load_with(hook, &program.end(), &maps, &Options::default()).expect("loads");
            for _ in 0..2 {
                let _ = vm.run(&vec![8; length], 0);
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

fn text(calls: Calls, at: i32, text: &[u8]) -> Calls {
    let mut bytes = text.to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight")));
    (0..).step_by(8).zip(words).fold(calls, |calls, (offset, word)| calls.set(at - offset, word))
}

#[test]
fn numbers_are_read_from_text() {
    let texts: [&[u8]; 20] = [
        b"42",
        b"  -17x",
        b"0x1f",
        b"0x",
        b"0xg",
        b"077",
        b"08",
        b"-",
        b"",
        b"99999999999999999999",
        b"9223372036854775807",
        b"9223372036854775808",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"18446744073709551615",
        b"18446744073709551616",
        b"+5",
        b"\t\n\x0b 3",
        b"abc",
        b"deadbeefz",
    ];
    for bytes in texts {
        for flags in [0_u64, 8, 10, 16, 2, 32, 1 << 40] {
            let length = u64::try_from(bytes.len().max(1)).expect("short");
            let calls = text(Calls::new(), 64, bytes);
            let calls = calls.call(105, &[Stack(64), Number(length), Number(flags), Stack(128)]).keep_stack(128, 8);
            let calls = calls.call(106, &[Stack(64), Number(length), Number(flags), Stack(128)]).keep_stack(128, 8);
            check(&format!("{:?}, flags {flags}", String::from_utf8_lossy(bytes)), Hook::Xdp, &calls.end(), &[], &[ipv4()]);
        }
    }
}

#[test]
fn text_is_printed_as_the_kernel_prints_it() {
    let formats: [&[u8]; 28] = [
        b"plain\0",
        b"%d %u %x\0",
        b"%ld %lu %lx\0",
        b"%lld %llu %llx\0",
        b"%5d|%-5d|%05d\0",
        b"%X %i\0",
        b"%%\0",
        b"%d%%%d\0",
        b"%c%c\0",
        b"%+d % d\0",
        b"%016llx\0",
        b"%px\0",
        b"%q\0",
        b"%\0",
        b"no end",
        b"%d %d %d %d\0",
        b"%pz\0",
        b"%5\0",
        b"%l\0",
        b"%lld%\0",
        b"\x01\0",
        b"\xff\0",
        b"%08x:%4u\0",
        b"%-8x|\0",
        b"%hd\0",
        b"%5c|\0",
        b"%3%\0",
        b"%.3d\0",
    ];
    for format in formats {
        for (one, two) in [(1_u64, 2_u64), (u64::MAX, 0x1234_5678_9abc_def0), (0x8000_0000, 0x41), (1 << 40, 100)] {
            let length = u64::try_from(format.len()).expect("short");
            let calls = text(Calls::new(), 64, format).set(128, one).set(120, two).set(112, 7);
            let calls = calls.call(6, &[Stack(64), Number(length), Number(one), Number(two), Number(7)]);
            let calls = calls.call(177, &[Stack(64), Number(length), Stack(128), Number(24)]);
            let calls = calls.call(177, &[Stack(64), Number(length), Stack(128), Number(20)]);
            check(&format!("{:?} of {one:#x}, {two:#x}", String::from_utf8_lossy(format)), Hook::Xdp, &calls.end(), &[], &[ipv4()]);
        }
    }
}

/// Runs a program whose map 1 holds a constant text, in both.
fn check_with_text(test: &str, calls: Calls, constant: &[u8]) {
    let mut bytes = constant.to_vec();
    bytes.resize(64, 0);
    let maps = [cell(RESULTS), Shape { name: ".rodata".to_owned(), ..cell(64) }];
    let code = calls.end();
    let mut vm = load_with(Hook::Xdp, &code, &maps, &Options::default()).expect("loads");
    vm.map_mut(".rodata").and_then(|map| map.entry_mut(0)).expect("there").copy_from_slice(&bytes);
    let Some(kernel) = Kernel::load_with(test, Hook::Xdp, &code.0, &maps, &[(1, &bytes)]) else { return };
    vm.run(&ipv4(), 0).expect("runs");
    kernel.run(&ipv4());
    let ours = vm.map("Array").and_then(|map| map.entry(0)).map(<[u8]>::to_vec).unwrap_or_default();
    let difference = differing("results", &ours, &kernel.lookup(0, &[0; 4]).unwrap_or_default());
    assert!(difference.is_empty(), "{test}\n{}", difference.join("\n"));
}

#[test]
fn text_is_compared_and_formatted_as_the_kernels() {
    let texts: [&[u8]; 7] = [b"abc", b"abd", b"ab", b"", b"abcdefgh", b"\xffbc", b"abc\0x"];
    for one in texts {
        for other in texts {
            for length in [1, 2, 3, 4, 8] {
                let calls = text(Calls::new().set(64, 0), 64, one).call(182, &[Stack(64), Number(length), Value(1)]);
                check_with_text(&format!("{one:?} and {other:?} in {length}"), calls, other);
            }
        }
    }
    // The verifier reads the format, and refuses one that is wrong or has too few arguments.
    for format in
        ["plain", "%d and %x", "%llu", "%5d|%-5u|%05x", "%+d% i", "%X%%", "%pI4 %pi4", "%pI6", "%s.", "%c", "a longer text with %d in it"]
    {
        for size in [32, 8, 1] {
            let calls =
                text(Calls::new(), 200, b"stringstring").set(128, 77).set(120, 0xffff_fff0).set(112, 5).set(64, 0).set(56, 0).set(48, 0);
            // Addresses of the stack, for those that follow them.
            let calls = if format.contains('p') && format != "plain" || format.contains('s') {
                calls.asm("mov r1, r10\nadd r1, -200\nstxdw [r10-128], r1\nstxdw [r10-120], r1")
            } else {
                calls
            };
            let calls = calls.set(40, 0).call(165, &[Stack(64), Number(size), Value(1), Stack(128), Number(24)]).keep_stack(64, 32);
            check_with_text(&format!("{format} into {size}"), calls, format.as_bytes());
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
fn what_is_printed_is_kept() {
    let calls = text(Calls::new(), 64, b"%d of %s, %pI4\0").set(128, u64::from_le_bytes(*b"so far\0\0"));
    let calls = calls.call(6, &[Stack(64), Number(15), Number(7), Stack(128), Stack(128)]);
    let mut vm = load_with(Hook::Xdp, &calls.end(), &[cell(RESULTS)], &Options::default()).expect("loads");
    vm.run(&ipv4(), 0).expect("runs");
    assert_eq!(vm.lines(), ["7 of so far, 115.111.32.102"]);
    vm.run(&ipv4(), 0).expect("runs");
    assert_eq!(vm.lines().len(), 1);
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
    let (state, first) = treeline_sim::vm::random::step(1);
    let (_, second) = treeline_sim::vm::random::step(state);
    assert_eq!(draw(1), [u64::from(first).to_le_bytes(), u64::from(second).to_le_bytes()].concat());
}

#[test]
fn what_the_vm_cannot_know_is_named() {
    let calls = Calls::new().call(34, &[Context]).end();
    let error = load_with(Hook::Tc, &calls, &[cell(RESULTS)], &Options::default()).expect("loads").run(&ipv4(), 0);
    assert!(matches!(error, Err(VmError::Fault { fault: Fault::Absent { .. }, .. })), "{error:?}");
}
