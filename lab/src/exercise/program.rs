//! Random programs in the VM, and in the kernel where that is allowed: what they return, the packet and every map afterwards.
//!
//! The bytes draw a program that the verifier accepts by construction, two packets and the values that maps begin with
//! ([`Case::draw`]). Rejected programs are no finding; who calls counts them. Not here: maps and helpers beyond a few, whose own tests
//! are elsewhere, and bytecode that no verifier would take ([`raw`] runs it, in the VM alone).

mod code;
mod draw;
mod kernel;
mod statement;
mod unwritten;

use arbitrary::Unstructured;
use rbpf::ebpf::Insn;

use super::Finding;
use crate::kernel::KernelError;
use crate::vm::{Fault, Hook, MapKind, Object, Options, Shape, Vm, VmError};
pub use kernel::Kernel;
pub use unwritten::unwritten;

/// The maps of every program, in the order in which instructions name them.
const CELL_MAP: i32 = 0;
const ARRAY_MAP: i32 = 1;
const HASH_MAP: i32 = 2;
/// Keys that programs use, 0 and up, in the array and the hash.
const KEYS_COUNT: i32 = 8;
/// Bytes of the cell: what statements reach, and ten registers.
const CELL_LENGTH: usize = draw::CELL_REACH as usize + 80;
const VALUE_LENGTH: usize = 16;

/// A program with what it runs over.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where it is attached.
    pub hook: Hook,
    /// The program; maps by position, calls by distance.
    pub instructions: Vec<Insn>,
    /// Where its functions start, main first.
    pub functions: Vec<usize>,
    /// The cell before the first run.
    pub cell: Vec<u8>,
    /// What it runs over, one after another.
    pub packets: Vec<Vec<u8>>,
}

/// All that a run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The lower half of r0.
    pub returned: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// The cell, the array's entries, the hash's by key.
    pub values: Vec<Option<Vec<u8>>>,
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Both did the same.
    Equal,
    /// The verifier rejected it.
    Rejected,
    /// There is no right to ask the kernel: the VM alone ran it.
    Alone,
}

impl Case {
    /// Draws a case; only an empty input gives none.
    #[must_use]
    pub fn draw(bytes: &[u8]) -> Option<Self> {
        Self::drawn(&mut Unstructured::new(bytes)).ok()
    }

    fn drawn(bytes: &mut Unstructured) -> arbitrary::Result<Self> {
        let choice: u8 = bytes.arbitrary()?;
        let hook = [Hook::Xdp, Hook::Tc, Hook::Socket][usize::from(choice) % 3];
        let mut cell = vec![0; CELL_LENGTH];
        for word in cell[..64].chunks_exact_mut(8) {
            word.copy_from_slice(&number(bytes)?.to_le_bytes());
        }
        let mut packets = Vec::new();
        for _ in 0..2 {
            // The kernel's test run wants an Ethernet header, and looks at nothing else of it.
            let mut packet = vec![0x5a; 60 + usize::from(bytes.arbitrary::<u8>()? % 64)];
            for byte in &mut packet[14..34] {
                *byte = bytes.arbitrary()?;
            }
            packets.push(packet);
        }
        let (instructions, functions) = code::join(draw::Draw::new(bytes, hook).main()?);
        Ok(Self { hook, instructions, functions, cell, packets })
    }

    /// The program's bytes.
    #[must_use]
    pub fn bytecode(&self) -> Vec<u8> {
        self.instructions.iter().flat_map(Insn::to_array).collect()
    }

    /// The packet as the hook sees it: a socket filter's test run begins at the network header.
    fn seen<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        if self.hook == Hook::Socket { &packet[14..] } else { packet }
    }

    /// What the VM makes of it.
    pub fn in_vm(&self, options: &Options) -> Result<Vec<Outcome>, VmError> {
        let object = Object::from_bytecode("program", self.hook, &self.bytecode(), &maps())?;
        let mut vm = Vm::load_with(&object, &["program"], options)?;
        vm.map_mut("cell").and_then(|map| map.entry_mut(0)).expect("the cell").copy_from_slice(&self.cell);
        let mut outcomes = Vec::new();
        for packet in &self.packets {
            let returned = vm.run(self.seen(packet), 0)?;
            let mut values = Vec::new();
            for (name, keys) in PLACES {
                let map = vm.map(name).expect("one of the maps");
                values.extend((0..keys).map(|key: u32| map.lookup(&key.to_le_bytes()).map(<[u8]>::to_vec)));
            }
            let returned = u32::try_from(returned & u64::from(u32::MAX)).expect("masked");
            outcomes.push(Outcome { returned, packet: vm.packet().to_vec(), values });
        }
        Ok(outcomes)
    }

    /// What the kernel makes of it.
    pub fn in_kernel(&self, kernel: &Kernel) -> Result<Vec<Outcome>, KernelError> {
        let mut program = kernel.load(self)?;
        let mut outcomes = Vec::new();
        for packet in &self.packets {
            let (returned, after) = program.run(packet);
            let mut values = Vec::new();
            for (map, (_, keys)) in PLACES.iter().enumerate() {
                values.extend((0..*keys).map(|key: u32| program.lookup(map, key)));
            }
            outcomes.push(Outcome { returned, packet: self.seen(&after).to_vec(), values });
        }
        Ok(outcomes)
    }

    /// The program in assembly, an instruction a line.
    #[must_use]
    pub fn listing(&self) -> String {
        crate::vm::listing(&self.instructions)
    }
}

/// Names of the maps, and how many keys each is asked for.
const PLACES: [(&str, u32); 3] = [("cell", 1), ("array", 4), ("hash", KEYS_COUNT.unsigned_abs())];

/// The maps' shapes.
fn maps() -> [Shape; 3] {
    let shape =
        |name: &str, kind, value_size, max_entries| Shape { name: name.to_owned(), kind, key_size: 4, value_size, max_entries, flags: 0 };
    [
        shape("cell", MapKind::Array, CELL_LENGTH, 1),
        shape("array", MapKind::Array, VALUE_LENGTH, 4),
        shape("hash", MapKind::Hash, VALUE_LENGTH, 6),
    ]
}

/// Numbers that programs stumble over.
fn number(bytes: &mut Unstructured) -> arbitrary::Result<u64> {
    Ok(match bytes.arbitrary::<u8>()? {
        kind @ 0..96 => u64::from(kind),
        96..112 => u64::MAX,
        112..128 => 1 << 63,
        128..144 => u64::from(u32::MAX),
        144..160 => 1 << 31,
        160..200 => i64::from(bytes.arbitrary::<i8>()?).cast_unsigned(),
        _ => bytes.arbitrary()?,
    })
}

/// How the kernel and the VM differ over a case, if the kernel takes it.
pub fn compare(case: &Case, kernel: &Kernel, options: &Options) -> Result<Verdict, Finding> {
    let wrong = |what: String| Finding::Program { what, listing: case.listing() };
    let expected = match case.in_kernel(kernel) {
        Ok(expected) => expected,
        Err(KernelError::Rejected { .. }) => return Ok(Verdict::Rejected),
        Err(error) => return Err(wrong(format!("the kernel was not asked: {error}"))),
    };
    let found = case.in_vm(options).map_err(|error| wrong(format!("the kernel runs it, the VM does not: {error}")))?;
    match expected.iter().zip(&found).position(|(expected, found)| expected != found) {
        None => Ok(Verdict::Equal),
        Some(run) => Err(wrong(format!("run {run}: {}", difference(&expected[run], &found[run])))),
    }
}

/// A case over which they differ with as many instructions as can be replaced by jumps to the next one.
#[must_use]
pub fn reduced(mut case: Case, kernel: &Kernel, options: &Options) -> Case {
    // What reads bytes that were never written is another finding than what does not.
    let is_unwritten = |case: &Case| matches!(case.in_vm(options), Err(VmError::Fault { fault: Fault::Unwritten { .. }, .. }));
    let kind = is_unwritten(&case);
    let differs = |case: &Case| compare(case, kernel, options).is_err() && is_unwritten(case) == kind;
    for index in (0..case.instructions.len()).rev() {
        let kept = case.clone();
        let insn = &mut case.instructions[index];
        // Without a store to the stack the program may read what was never written, which is another matter.
        let is_stack_store = matches!(insn.opc & 0x07, 0x02 | 0x03) && insn.dst == 10;
        if matches!(insn.opc, 0 | 0x05 | 0x95) || is_stack_store {
            continue;
        }
        let is_wide = insn.opc == 0x18;
        *insn = NOTHING;
        if is_wide {
            case.instructions[index + 1] = NOTHING;
        }
        if !differs(&case) {
            case = kept;
        }
    }
    case
}

const NOTHING: Insn = Insn { opc: 0x05, dst: 0, src: 0, off: 0, imm: 0 };

/// The exercise on drawn bytes, with the kernel if there is one.
pub fn program(bytes: &[u8], kernel: Option<&Kernel>) -> Result<Verdict, Finding> {
    let Some(case) = Case::draw(bytes) else { return Ok(Verdict::Rejected) };
    let options = Options { instructions_max: 1 << 24, ..Options::default() };
    let Some(kernel) = kernel else {
        // Nobody says whether the verifier takes it: a fault may be right, a panic is not.
        let _ = case.in_vm(&options);
        return Ok(Verdict::Alone);
    };
    compare(&case, kernel, &options)
}

/// Any bytes as bytecode, in the VM alone: it is refused, runs or faults, and ends.
pub fn raw(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let hook = [Hook::Xdp, Hook::Tc, Hook::Socket][usize::from(*first) % 3];
    let options = Options { instructions_max: 5_000, ..Options::default() };
    let rest = &rest[..rest.len() / 8 * 8];
    let loaded = Object::from_bytecode("program", hook, rest, &maps())
        .map_err(VmError::from)
        .and_then(|object| Vm::load_with(&object, &["program"], &options));
    if let Ok(mut vm) = loaded {
        for packet in [&[0x5a; 64][..], &[]] {
            let _ = vm.run(packet, 0);
        }
    }
}

/// The first difference in words.
fn difference(kernel: &Outcome, vm: &Outcome) -> String {
    if kernel.returned != vm.returned {
        return format!("the kernel returns {:#x}, the VM {:#x}", kernel.returned, vm.returned);
    }
    if kernel.packet != vm.packet {
        return format!("the packet is\n{:02x?}\nin the kernel and in the VM\n{:02x?}", kernel.packet, vm.packet);
    }
    for (place, (kernel, vm)) in kernel.values.iter().zip(&vm.values).enumerate() {
        if kernel != vm {
            let word = kernel.iter().flatten().zip(vm.iter().flatten()).position(|(one, other)| one != other).map(|byte| byte / 8 * 8);
            return format!("value {place} is, from byte {word:?} on,\n{kernel:02x?}\nin the kernel and in the VM\n{vm:02x?}");
        }
    }
    "none".to_owned()
}
