//! Programs that call helpers, and their run in the VM and in the kernel: answers, packet and context are compared.

use crate::code::{Code, cell, load_with};
use crate::kernel::{Kernel, Outcome};
use treeline_lab::vm::{Fault, Hook, Input, Options, Shape, VmError};

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
pub fn context(hook: Hook) -> Vec<u8> {
    vec![0; if hook == Hook::Xdp { 24 } else { 192 }]
}

pub fn context_for(hook: Hook, packet: &[u8]) -> Vec<u8> {
    let mut context = context(hook);
    if hook == Hook::Xdp {
        context[4..8].copy_from_slice(&u32::try_from(packet.len()).expect("short").to_ne_bytes());
    }
    context
}

/// Runs over each packet in both and compares; maps other than the results' are the caller's.
pub fn check_context(test: &str, hook: Hook, code: &Code, maps: &[Shape], inputs: &[(Vec<u8>, Vec<u8>)]) {
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
pub fn differing(what: &str, ours: &[u8], theirs: &[u8]) -> Vec<String> {
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

pub fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(rest);
    packet
}

pub fn ipv4() -> Vec<u8> {
    let mut header = vec![0x45, 1, 0, 46, 1, 2, 0x40, 0, 64, 17, 0x12, 0x34, 10, 0, 0, 1, 10, 0, 0, 2];
    header.extend_from_slice(&[0, 53, 1, 2, 0, 26, 0x55, 0xaa]);
    header.extend((0..18).map(|byte| byte * 7));
    ethernet(0x0800, &header)
}

pub fn ipv6() -> Vec<u8> {
    let mut header = vec![0x60, 0x20, 0, 0, 0, 20, 6, 64];
    header.extend([0x20; 32]);
    header.extend((0..20).map(|byte| byte * 5));
    ethernet(0x86dd, &header)
}

pub fn tagged(count: usize) -> Vec<u8> {
    let mut rest: Vec<u8> = Vec::new();
    for number in 0..count {
        rest.extend_from_slice(&[0x20, u8::try_from(number).expect("few") + 5]);
        let next: u16 = if number + 1 < count { 0x8100 } else { 0x0800 };
        rest.extend_from_slice(&next.to_be_bytes());
    }
    rest.extend_from_slice(&ipv4()[14..]);
    ethernet(if count > 1 { 0x88a8 } else { 0x8100 }, &rest)
}

pub fn packets() -> Vec<Vec<u8>> {
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

pub fn shown(calls: Calls) -> Calls {
    [0, 4, 16, 20, 24, 28, 68].into_iter().fold(calls, |calls, offset| calls.field(4, offset))
}
