//! Map operations out of a fuzzer's bytes: what a program does to one map in one run, and what the host does between two.
//!
//! [`program`] turns the operations into bytecode that writes what it saw into a results map, so that the VM and a kernel can be asked
//! the same. Nothing here compares.

use super::Finding;
use crate::vm::{Hook, MapKind, NO_COMMON_LRU, NO_PREALLOC, Object, Shape, Vm, VmError};
use arbitrary::{Arbitrary, Unstructured};
use rbpf::ebpf::Insn;

/// One operation of the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Looks up; what is there gives its first byte, and takes the byte given.
    Lookup {
        /// The key's number.
        key: u8,
        /// What is written to the first byte.
        write: u8,
    },
    /// Updates.
    Update {
        /// The key's number.
        key: u8,
        /// Each byte of the value.
        value: u8,
        /// The flags, 0 to 3.
        flags: u8,
    },
    /// Deletes.
    Delete {
        /// The key's number.
        key: u8,
    },
    /// Looks up, changes the map by another operation upon the same key, and looks again through the old pointer.
    Stale {
        /// The key's number.
        key: u8,
        /// Updates, or deletes.
        is_update: bool,
        /// Each byte of the value.
        value: u8,
    },
    /// Looks up; what is there is held on to: a holder points to it until it holds something else.
    Hold {
        /// Which holder.
        holder: u8,
        /// The key's number.
        key: u8,
    },
    /// Reads the first and the last byte of what a holder points to, whatever became of it, and writes the first.
    Through {
        /// Which holder.
        holder: u8,
        /// What is written.
        write: u8,
    },
    /// Pushes onto a queue, a stack or a Bloom filter.
    Push {
        /// Each byte of the value.
        value: u8,
        /// The flags, 0 to 3.
        flags: u8,
    },
    /// Pops, or (`is_kept`) peeks.
    Pop {
        /// Leaves it there.
        is_kept: bool,
    },
}

/// Keys have numbers below this.
pub const KEYS: u8 = 8;
/// Operations in one program at most.
pub const OPERATIONS_MAX: usize = 48;
/// Bytes of results of an operation.
pub const RESULT: usize = 8;
/// Pointers that a program holds at a time.
pub const HOLDERS: u8 = 3;
/// Bytes of a value at most; what a holder points to before it holds anything.
const VALUE_MAX: u8 = 24;

/// The kinds that are exercised, and the flags they are created with.
pub const KINDS: [(MapKind, u32); 14] = [
    (MapKind::Hash, 0),
    (MapKind::Hash, NO_PREALLOC),
    (MapKind::Array, 0),
    (MapKind::PerCpuHash, 0),
    (MapKind::PerCpuHash, NO_PREALLOC),
    (MapKind::PerCpuArray, 0),
    (MapKind::LruHash, 0),
    (MapKind::LruHash, NO_COMMON_LRU),
    (MapKind::LruPerCpuHash, 0),
    (MapKind::LruPerCpuHash, NO_COMMON_LRU),
    (MapKind::LpmTrie, NO_PREALLOC),
    (MapKind::Queue, 0),
    (MapKind::Stack, 0),
    (MapKind::Bloom, 0),
];

/// A map and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exercise {
    /// The map; its keys have eight bytes, those of arrays four.
    pub shape: Shape,
    /// The program's operations.
    pub operations: Vec<Operation>,
}

impl<'a> Arbitrary<'a> for Exercise {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let (kind, flags) = *bytes.choose(&KINDS)?;
        let value_size = usize::from(bytes.int_in_range(1..=VALUE_MAX)?);
        let (key_size, max_entries) = match kind {
            MapKind::Queue | MapKind::Stack => (0, bytes.int_in_range(1..=4)?),
            // So big that the kernel's does not err.
            MapKind::Bloom => (0, 100_000),
            MapKind::Array | MapKind::PerCpuArray => (4, bytes.int_in_range(1..=12)?),
            // One that is never full now and then.
            MapKind::LruHash | MapKind::LruPerCpuHash => (8, if bytes.ratio(1, 8)? { 1000 } else { bytes.int_in_range(1..=9)? }),
            // Of more the kernel puts freed values aside until a time of its own.
            MapKind::PerCpuHash if flags == NO_PREALLOC => (8, bytes.int_in_range(1..=2)?),
            _ => (8, bytes.int_in_range(1..=6)?),
        };
        let shape = Shape { name: "target".to_owned(), kind, key_size, value_size, max_entries, flags };
        let count = bytes.int_in_range(1..=OPERATIONS_MAX)?;
        let operations = (0..count).map(|_| operation(kind, bytes)).collect::<arbitrary::Result<_>>()?;
        Ok(Self { shape, operations })
    }
}

fn operation(kind: MapKind, bytes: &mut Unstructured) -> arbitrary::Result<Operation> {
    let value = bytes.int_in_range(1..=5)?;
    let flags = if bytes.ratio(3, 4)? { 0 } else { bytes.int_in_range(0..=3)? };
    if matches!(kind, MapKind::Queue | MapKind::Stack | MapKind::Bloom) {
        // Nobody pops a filter.
        return Ok(match bytes.int_in_range(0..=2_u8)? {
            0 | 1 => Operation::Push { value, flags },
            _ => Operation::Pop { is_kept: kind == MapKind::Bloom || bytes.arbitrary()? },
        });
    }
    let key = bytes.int_in_range(0..=KEYS - 1)?;
    let holder = bytes.int_in_range(0..=HOLDERS - 1)?;
    Ok(match bytes.int_in_range(0..=11_u8)? {
        0..=1 => Operation::Lookup { key, write: value },
        2..=4 => Operation::Update { key, value, flags },
        5..=6 => Operation::Delete { key },
        7..=8 => Operation::Hold { holder, key },
        9..=10 => Operation::Through { holder, write: value },
        _ => Operation::Stale { key, is_update: bytes.arbitrary()?, value },
    })
}

/// Runs what the bytes say in the VM, three times over.
pub fn map(bytes: &[u8]) -> Result<(), Finding> {
    let Ok(exercise) = Exercise::arbitrary(&mut Unstructured::new(bytes)) else { return Ok(()) };
    let finding = |what: String| Finding::Map { what, exercise: format!("{exercise:?}") };
    let mut vm = load(&exercise).map_err(|error| finding(error.to_string()))?;
    for _ in 0..3 {
        vm.run(&[0; 64], 0).map_err(|error| finding(error.to_string()))?;
        let target = vm.map(&exercise.shape.name).map_or(0, |map| map.entries().count());
        if target > exercise.shape.max_entries as usize && exercise.shape.kind != MapKind::Bloom {
            return Err(finding(format!("{target} entries")));
        }
    }
    Ok(())
}

/// The exercise's two maps: where results go, and the one that is exercised.
#[must_use]
pub fn shapes(exercise: &Exercise) -> [Shape; 2] {
    let value_size = RESULT * OPERATIONS_MAX + usize::from(VALUE_MAX);
    let results = Shape { name: "results".to_owned(), kind: MapKind::Array, key_size: 4, value_size, max_entries: 1, flags: 0 };
    [results, exercise.shape.clone()]
}

/// The exercise's program in the VM.
pub fn load(exercise: &Exercise) -> Result<Vm, VmError> {
    let object = Object::from_bytecode("exercise", Hook::Xdp, &program(exercise), &shapes(exercise))?;
    Vm::load(&object, "exercise")
}

/// The bytes of a key by its number; in a trie they say prefixes of one another.
#[must_use]
pub fn key(shape: &Shape, number: u8) -> Vec<u8> {
    match (shape.kind, shape.key_size) {
        (MapKind::LpmTrie, _) => {
            // 10.0.0.0/8, 10.1.0.0/16, 10.1.128.0/17 and so on, and one that is no prefix.
            let bits = [0_u32, 8, 16, 17, 24, 32, 31, 33][usize::from(number % KEYS)];
            [&bits.to_ne_bytes()[..], &[10, 1, 128 + number, number]].concat()
        }
        (_, 0) => Vec::new(),
        (_, size) => {
            let mut key = vec![0; size];
            key[0] = number;
            key
        }
    }
}

/// Bytecode that does the operations upon map 1 and writes a result of eight bytes for each into map 0, an array of one entry, behind whose
/// results lies what holders point to at first.
#[must_use]
pub fn program(exercise: &Exercise) -> Vec<u8> {
    let mut code = Assembler::default();
    code.value(6, 0);
    for holder in 0..HOLDERS {
        code.raw(0xbf, HOLDER + holder, 6, 0, 0);
        code.raw(0x07, HOLDER + holder, 0, 0, i32::try_from(RESULT * OPERATIONS_MAX).expect("few"));
    }
    // The frame: the key at -8 (8 bytes), the value at -40 (24 bytes).
    for offset in (8..=48).step_by(8) {
        code.raw(0x7a, 10, 0, -offset, 0);
    }
    for (position, operation) in (0..).step_by(RESULT).zip(&exercise.operations) {
        code.operation(&exercise.shape, *operation);
        code.raw(0x7b, 6, 0, position, 0);
    }
    code.raw(0xb7, 0, 0, 0, 2);
    code.raw(0x95, 0, 0, 0, 0);
    code.0
}

#[derive(Default)]
struct Assembler(Vec<u8>);

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const PUSH: i32 = 87;
const POP: i32 = 88;
const PEEK: i32 = 89;
/// The register of the first holder.
const HOLDER: u8 = 7;
const KEY: i16 = -8;
const VALUE: i16 = -40;

impl Assembler {
    fn raw(&mut self, opc: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.0.extend(Insn { opc, dst, src, off, imm }.to_array());
    }

    fn value(&mut self, dst: u8, map: i32) {
        self.raw(0x18, dst, 2, 0, map);
        self.raw(0, 0, 0, 0, 0);
    }

    /// r1 is the map.
    fn target(&mut self) {
        self.raw(0x18, 1, 1, 0, 1);
        self.raw(0, 0, 0, 0, 0);
    }

    /// A register points into the frame.
    fn frame(&mut self, dst: u8, offset: i16) {
        self.raw(0xbf, dst, 10, 0, 0);
        self.raw(0x07, dst, 0, 0, offset.into());
    }

    fn set(&mut self, offset: i16, bytes: &[u8]) {
        for (place, byte) in (offset..).zip(bytes) {
            self.raw(0x72, 10, 0, place, (*byte).into());
        }
    }

    fn by_key(&mut self, helper: i32) {
        self.target();
        self.frame(2, KEY);
        self.raw(0x85, 0, 0, 0, helper);
    }

    fn update(&mut self, shape: &Shape, value: u8, flags: u8) {
        self.set(VALUE, &vec![value; shape.value_size]);
        self.frame(3, VALUE);
        self.raw(0xb7, 4, 0, 0, flags.into());
        self.by_key(UPDATE);
    }

    /// Jumps over what `inside` writes if r0 is null.
    fn unless_null(&mut self, inside: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.raw(0x15, 0, 0, 0, 0);
        let start = self.0.len();
        inside(self);
        let count = i16::try_from((self.0.len() - start) / 8).expect("a few instructions");
        self.0[at + 2..at + 4].copy_from_slice(&count.to_le_bytes());
    }

    fn operation(&mut self, shape: &Shape, operation: Operation) {
        let last = i16::try_from(shape.value_size - 1).expect("values are small");
        match operation {
            Operation::Lookup { key: number, write } => {
                self.set(KEY, &key(shape, number));
                self.by_key(LOOKUP);
                self.unless_null(|code| {
                    code.raw(0x71, 1, 0, last, 0);
                    code.raw(0x72, 0, 0, 0, write.into());
                    code.raw(0xbf, 0, 1, 0, 0);
                });
            }
            Operation::Update { key: number, value, flags } => {
                self.set(KEY, &key(shape, number));
                self.update(shape, value, flags);
            }
            Operation::Delete { key: number } => {
                self.set(KEY, &key(shape, number));
                self.by_key(DELETE);
            }
            Operation::Stale { key: number, is_update, value } => {
                self.set(KEY, &key(shape, number));
                self.by_key(LOOKUP);
                self.unless_null(|code| {
                    code.raw(0xbf, HOLDER, 0, 0, 0);
                    if is_update {
                        code.update(shape, value, 0);
                    } else {
                        code.by_key(DELETE);
                    }
                    code.raw(0x71, 1, HOLDER, last, 0);
                    code.raw(0x72, HOLDER, 0, 0, 9);
                    code.raw(0x67, 1, 0, 0, 8);
                    code.raw(0x4f, 0, 1, 0, 0);
                });
            }
            Operation::Hold { holder, key: number } => {
                self.set(KEY, &key(shape, number));
                self.by_key(LOOKUP);
                self.unless_null(|code| {
                    code.raw(0xbf, HOLDER + holder, 0, 0, 0);
                    code.raw(0xb7, 0, 0, 0, 1);
                });
            }
            Operation::Through { holder, write } => {
                self.raw(0x71, 0, HOLDER + holder, 0, 0);
                self.raw(0x71, 1, HOLDER + holder, last, 0);
                self.raw(0x67, 1, 0, 0, 8);
                self.raw(0x4f, 0, 1, 0, 0);
                self.raw(0x72, HOLDER + holder, 0, 0, write.into());
            }
            Operation::Push { value, flags } => {
                self.set(VALUE, &vec![value; shape.value_size]);
                self.target();
                self.frame(2, VALUE);
                self.raw(0xb7, 3, 0, 0, flags.into());
                self.raw(0x85, 0, 0, 0, PUSH);
            }
            Operation::Pop { is_kept } => {
                self.target();
                self.frame(2, VALUE);
                self.raw(0x85, 0, 0, 0, if is_kept { PEEK } else { POP });
                self.raw(0x71, 1, 10, VALUE + last, 0);
                self.raw(0x67, 1, 0, 0, 8);
                self.raw(0x4f, 0, 1, 0, 0);
            }
        }
    }
}
