//! What can go wrong in the VM: an object it cannot take, an instruction it will not run, a run that did what the kernel forbids.

use super::MapKind;
use super::spot::{Extent, Spot};
use crate::bpf::{ObjectError, Program};
use thiserror::Error;

/// Why the VM did not load or did not finish a program.
#[derive(Debug, Error)]
pub enum VmError {
    /// The object cannot be read, or the program of that name cannot be had from it.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The program's type has no context here (XDP, TC and socket filters do).
    #[error("program `{program}` (section `{section}`): the VM runs XDP, TC and socket filter programs")]
    ProgramType {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
    /// A map of a kind or shape that the VM does not have.
    #[error("map `{map}`: {reason}")]
    MapShape {
        /// The map.
        map: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The VM does not run this instruction, because rbpf would run it wrongly.
    #[error("program `{program}`, instruction {instruction} `{text}`: {reason}")]
    Refused {
        /// The program.
        program: String,
        /// Index in the relocated program, in 8-byte slots, as the verifier's log counts.
        instruction: usize,
        /// The instruction, disassembled.
        text: String,
        /// Why it is refused.
        reason: String,
    },
    /// Lowering the instruction takes a register, and none is free; nor are eight bytes of stack to free one.
    #[error(
        "program `{program}`, instruction {instruction} `{text}`: to lower it a register is needed, and none is free, nor eight bytes of stack"
    )]
    NoRegister {
        /// The program.
        program: String,
        /// Index in the relocated program, in 8-byte slots.
        instruction: usize,
        /// The instruction, disassembled.
        text: String,
    },
    /// The program as a whole does not fit the engine.
    #[error("program `{program}`: {reason}")]
    Program {
        /// The program.
        program: String,
        /// Why it is refused.
        reason: String,
    },
    /// The run did what the kernel's verifier would have forbidden, or exceeded a limit.
    #[error("program `{program}`, instruction {instruction} `{text}`: {fault}")]
    Fault {
        /// The program.
        program: String,
        /// Index in the relocated program, in 8-byte slots.
        instruction: usize,
        /// The instruction, disassembled.
        text: String,
        /// What it did.
        fault: Fault,
    },
    /// The packet does not fit the VM's packet buffer.
    #[error("a packet of {length} bytes, the VM was made for at most {length_max}")]
    PacketLength {
        /// Bytes given.
        length: usize,
        /// Bytes possible, see [`Options::packet_length_max`](super::Options::packet_length_max).
        length_max: usize,
    },
    /// The context given says that more metadata lies before the packet than XDP allows or than there are bytes.
    #[error("{length} bytes of metadata before the packet: at most 252 and a multiple of four, and no more than there are bytes")]
    Metadata {
        /// Bytes asked for.
        length: usize,
    },
    /// The system gave no memory where the program needs it.
    #[error("no {length} bytes of memory {place}: {text}")]
    Memory {
        /// Bytes asked for.
        length: usize,
        /// Where it has to lie.
        place: &'static str,
        /// The system's words.
        text: String,
    },
    /// A map operation from the host that the map answered with an error number, as the kernel would.
    #[error("map `{map}`: error {errno}")]
    MapOperation {
        /// The map.
        map: String,
        /// Linux's error number, positive.
        errno: i32,
    },
}

impl VmError {
    /// Why an instruction of this program was refused that CO-RE could not relocate.
    pub(super) fn explained(mut self, program: &Program) -> Self {
        if let Self::Refused { instruction, reason, .. } = &mut self
            && let Some(missing) = program.unrelocated.get(instruction)
        {
            *reason = format!("an invalid CO-RE relocation: {missing}");
        }
        self
    }
}

/// What a run did wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A load or store of at least one byte that is not the program's.
    #[error("out of bounds {access} at {spot}, {size} bytes{}", Extent(spot))]
    OutOfBounds {
        /// `load`, `store` or `atomic operation`.
        access: &'static str,
        /// Where it starts.
        spot: Spot,
        /// Its bytes.
        size: usize,
    },
    /// A write to the frame pointer, in code that the kernel's verifier took for dead.
    #[error("r10 is read-only")]
    FramePointer,
    /// An access to the context that the kernel lets no program of this hook make.
    #[error("the kernel does not let such a program touch its context in this place and width")]
    Context,
    /// A load of, or a helper's pointer to, bytes of the stack of which one was never written since its frame began.
    #[error("{} {size} bytes of which the stack byte at fp{offset}{} was never written; Linux before 6.3 refuses such a program, and what a later one reads there was left by whatever ran before",
        match argument { Some(argument) => format!("helper argument {argument} points to"), None => "a load reads".to_owned() },
        match frame { 0 => String::new(), frame => format!(" of the frame {frame} calls deep") })]
    Unwritten {
        /// 1 for r1; none where the instruction itself reads.
        argument: Option<u8>,
        /// Of that byte, from its frame's pointer (r10).
        offset: i32,
        /// How many calls deep that frame is; 0 is the main program's.
        frame: u32,
        /// Bytes that would be read.
        size: usize,
    },
    /// A pointer given to a helper that does not hold so many bytes.
    #[error("helper argument {argument} points to {spot}, where {size} bytes are not the program's{}", Extent(spot))]
    Pointer {
        /// 1 for r1.
        argument: u8,
        /// Where it points to.
        spot: Spot,
        /// Bytes the helper would have touched.
        size: usize,
    },
    /// A helper wants a map and got something else.
    #[error("a helper's argument is {spot}, no map")]
    NoMap {
        /// What the register holds.
        spot: Spot,
    },
    /// A helper wants another kind of map.
    #[error("helper argument {argument} is map number {map}, a {kind:?}, which the kernel does not give to this helper")]
    MapKind {
        /// 1 for r1.
        argument: u8,
        /// Position of the map.
        map: usize,
        /// Its kind.
        kind: MapKind,
    },
    /// A helper was asked for something that the VM does not have.
    #[error("{what}, which the VM does not have")]
    Absent {
        /// What it was asked for.
        what: &'static str,
    },
    /// The packet would not fit its room.
    #[error("the packet would grow to {length} bytes, its room has {length_max}")]
    Room {
        /// Bytes it would have.
        length: usize,
        /// Bytes there are.
        length_max: usize,
    },
    /// The program ran longer than [`Options::instructions_max`](super::Options::instructions_max).
    #[error("more than {limit} instructions")]
    InstructionLimit {
        /// The limit.
        limit: u64,
    },
    /// The run looked up more different entries of one map than it has windows.
    #[error("more than {windows} entries of map number {map} open in one run; raise `Options::windows`")]
    Windows {
        /// Position of the map by name.
        map: usize,
        /// Windows of that map.
        windows: usize,
    },
    /// rbpf stopped for a reason of its own.
    #[error("the interpreter stopped here")]
    Interpreter,
}
