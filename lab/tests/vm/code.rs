//! Programs for tests: rbpf's assembler for what it knows, plain fields for the rest.

use rbpf::ebpf::Insn;
use treeline_lab::vm::{Hook, MapKind, Object, Options, Shape, Vm, VmError};

/// Bytecode under construction.
#[derive(Debug, Clone, Default)]
pub struct Code(pub Vec<u8>);

impl Code {
    /// Lines in rbpf's assembly.
    pub fn asm(mut self, source: &str) -> Self {
        self.0.extend(rbpf::assembler::assemble(source).unwrap_or_else(|error| panic!("{error}\n{source}")));
        self
    }

    /// One instruction by its fields.
    pub fn raw(mut self, opc: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        self.0.extend(Insn { opc, dst, src, off, imm }.to_array());
        self
    }

    /// The handle of a map into a register.
    pub fn map(self, dst: u8, map: i32) -> Self {
        self.raw(0x18, dst, 1, 0, map).raw(0, 0, 0, 0, 0)
    }

    /// The address of a byte of a single-entry array's value into a register.
    pub fn value(self, dst: u8, map: i32, offset: i32) -> Self {
        self.raw(0x18, dst, 2, 0, map).raw(0, 0, 0, 0, offset)
    }

    /// A 64-bit atomic operation.
    pub fn atomic64(self, operation: i32, dst: u8, off: i16, src: u8) -> Self {
        self.raw(0xdb, dst, src, off, operation)
    }

    /// A 32-bit atomic operation.
    pub fn atomic32(self, operation: i32, dst: u8, off: i16, src: u8) -> Self {
        self.raw(0xc3, dst, src, off, operation)
    }
}

/// A map's shape.
pub fn shape(kind: MapKind, key_size: usize, value_size: usize, max_entries: u32) -> Shape {
    Shape { name: format!("{kind:?}"), kind, key_size, value_size, max_entries, flags: 0 }
}

/// An array of one entry, by default what tests write results to.
pub fn cell(value_size: usize) -> Shape {
    shape(MapKind::Array, 4, value_size, 1)
}

/// Loads bytecode as a program called `test`.
pub fn load(hook: Hook, code: &Code, maps: &[Shape]) -> Result<Vm, VmError> {
    load_with(hook, code, maps, &Options::default())
}

/// The same with options.
pub fn load_with(hook: Hook, code: &Code, maps: &[Shape], options: &Options) -> Result<Vm, VmError> {
    Vm::load_with(&Object::from_bytecode("test", hook, &code.0, maps)?, &["test"], options)
}

/// Runs XDP bytecode over a packet of 64 zero bytes.
pub fn run(code: &Code, maps: &[Shape]) -> Result<u64, VmError> {
    load(Hook::Xdp, code, maps)?.run(&[0; 64], 0)
}
