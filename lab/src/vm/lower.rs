//! Lowering: rewrites a program into one that rbpf 0.4.1 runs as the kernel runs the original, or refuses an instruction by name.
//!
//! Rewritten, because rbpf does otherwise (each has a regression test):
//! - 64-bit compares with a negative immediate (rbpf zero-extends it) become two compares that it does right;
//! - `mod32` by zero leaves the upper half (RFC 9669: cleared): a `mov32` follows; `neg64` of the least integer panics in debug
//!   builds: `xor -1`, `add 1`; `movsx`, loads with sign extension, `bswap`, `gotol`, `sdiv`, `smod` (cpu v4) become cpu v1 instructions;
//! - packet loads of classic BPF become calls of a helper of the VM's own, after which the function may end;
//! - atomics become load, compute, store: one run is one thread (`atomic`);
//! - of a wide access outside the stack rbpf tests only the first byte: a one-byte access to the last byte goes before it;
//! - a call to a helper leaves its index in r5; loop heads and function entries charge the instruction limit.
//!
//! Here are the whole and what is short; accesses to memory are in `access`, calls in `call`, single arithmetic rewrites in `arithmetic`, stack
//! frames in `function`, what keeps and asks which bytes of the stack were written in `shadow`.

use super::arithmetic;
use super::call::charges;
use super::emit::{Emitter, LENGTH_MAX, Scratch, goto};
use super::function::{self, Frame};
use super::guard::{Guard, moves_packet};
use super::helper::{self, Meter};
use super::inline;
use super::instruction::{
    ALU, ALU64, CALL, EXIT, FRAME, JA, JCOND, JMP, JMP32, LD, LD_IMM64, LDX, MODE_ATOMIC, MODE_MEM, MODE_MEMSX, Registers, ST, STX, X,
    class, is_jump, mode, only, operation, target, wide,
};
use super::liveness::live_before;
use super::provenance::Provenance;
use super::refusal::Refusal;
use super::synonym;
use super::trace::{self, Point, is_conditional};
use super::{Hook, VmError, follow, stack};
use rbpf::ebpf::{self, Insn};
use std::ops::Range;

/// How a program refers to its maps: per map the size of a key and of a value and, for single-entry arrays, its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapView {
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    pub(super) address: Option<u64>,
}

/// A program that rbpf runs rightly.
#[derive(Debug)]
pub(super) struct Lowered {
    /// Eight bytes an instruction.
    pub(super) bytecode: Vec<u8>,
    /// Original index of each lowered instruction.
    pub(super) origin: Vec<usize>,
    /// Bytes of stack of each function, by its lowered range.
    pub(super) frames: Vec<(Range<usize>, u16)>,
    /// It runs on the VM's own stack, of such frames.
    pub(super) own_stack: Option<Frame>,
    /// What each meter charges.
    pub(super) meters: Vec<Meter>,
    /// What each guard tests.
    pub(super) guards: Vec<Guard>,
    /// Its functions may run other programs, which may move the packet.
    pub(super) goes_aside: bool,
    /// Where it counts, if it is traced.
    pub(super) points: Option<Vec<Point>>,
    /// Where it shows its registers, ascending, if it is walked.
    pub(super) steps: Option<Vec<usize>>,
}

impl Lowered {
    /// Puts one opcode in another's place.
    pub(super) fn mutate(&mut self, right: u8, wrong: u8) {
        let mut is_second_half = false;
        for insn in self.bytecode.chunks_exact_mut(ebpf::INSN_SIZE) {
            if !is_second_half && insn[0] == right {
                insn[0] = wrong;
            }
            is_second_half = !is_second_half && insn[0] == LD_IMM64;
        }
    }
}

/// Where a program runs.
pub(super) struct Place<'a> {
    pub(super) hook: Hook,
    /// Address of the context, which lies below 4 GiB.
    pub(super) context: u32,
    /// The end of the VM's own stack.
    pub(super) stack: u64,
    pub(super) maps: &'a [MapView],
    /// It runs on the VM's own stack in any case.
    pub(super) has_own_stack: bool,
    /// It counts what it executes; on the VM's own stack.
    pub(super) is_traced: bool,
    /// It shows its registers.
    pub(super) is_walked: bool,
}

/// Lowers a relocated program: for rbpf's stack if it fits there, else for the VM's own.
pub(super) fn lower(refuse: &Refusal, place: &Place) -> Result<Lowered, VmError> {
    match lower_for(refuse, place, place.is_traced || place.is_walked || place.has_own_stack) {
        Err(VmError::NoRegister { .. }) => lower_for(refuse, place, true),
        done => done,
    }
}

fn lower_for(refuse: &Refusal, place: &Place, is_own_stack: bool) -> Result<Lowered, VmError> {
    let program = refuse.instructions;
    if program.len() > LENGTH_MAX {
        return Err(refuse.too_long(program.len()));
    }
    for (index, insn) in program.iter().enumerate() {
        if insn.dst > FRAME || insn.src > FRAME {
            return Err(refuse.at(index, "there are eleven registers"));
        }
    }
    let program = synonym::replaced(program);
    let functions = function::split(&program, refuse)?;
    let inlined = inline::inlined(&program, &functions);
    let program = inlined.as_slice();
    let functions = function::split(program, refuse)?;
    function::nesting(program, &functions, refuse)?;
    let provenance = Provenance::of(program, &functions, place.hook, place.maps);
    let provenance = provenance.ok_or_else(|| refuse.whole("it has more ways than the VM follows".to_owned()))?;
    function::check_tail_calls(program, &functions, &provenance.depths, refuse)?;
    let is_shadowed = provenance.may_read_unwritten;
    let is_open = provenance.depths.iter().any(|depth| depth.is_open);
    let own = if is_shadowed { stack::SHADOWED } else { stack::FRAME };
    let (frames, nesting, own_stack) = match function::frames(program, &functions, &provenance.depths, refuse) {
        Ok((frames, nesting)) if !is_own_stack && !is_shadowed => (frames, nesting, None),
        Err(refusal) if !is_open => return Err(refusal),
        _ => (vec![own; functions.len()], function::nesting(program, &functions, refuse)?, Some(own)),
    };
    let mut lowering = Lowering {
        program,
        refuse,
        hook: place.hook,
        maps: place.maps,
        main: functions[0].clone(),
        live: live_before(program, &functions),
        leaders: trace::leaders(program, &functions),
        charges: charges(program, &functions),
        provenance,
        frame: Frame::default(),
        context: place.context,
        stack_end: place.stack,
        is_shadowed,
        out: Emitter::new(program.len()),
        meters: Vec::new(),
        is_guarded: program.iter().any(moves_packet) || function::goes_aside(program, &functions),
        goes_aside: false,
        guards: Vec::new(),
        points: place.is_traced.then(Vec::new),
        steps: place.is_walked.then(Vec::new),
    };
    lowering.out.begin(0);
    lowering.descend(ebpf::MAX_CALL_DEPTH + 1 - nesting);
    let mut ranges = Vec::with_capacity(functions.len());
    for (function, frame) in functions.iter().zip(&frames) {
        let start = lowering.out.code.len();
        lowering.frame = *frame;
        lowering.enter(function.start, own_stack.is_some());
        lowering.function(function)?;
        let bytes = u16::try_from(frame.length()).expect("a frame has at most 1088 bytes");
        ranges.push((start..lowering.out.code.len(), bytes));
    }
    lowering.out.finish(refuse)?;
    let bytecode = lowering.out.code.iter().flat_map(Insn::to_array).collect();
    Ok(Lowered {
        bytecode,
        origin: lowering.out.origin,
        frames: ranges,
        own_stack,
        meters: lowering.meters,
        guards: lowering.guards,
        goes_aside: lowering.goes_aside,
        points: lowering.points,
        steps: lowering.steps,
    })
}

/// The state of one program's lowering.
pub(super) struct Lowering<'a> {
    program: &'a [Insn],
    pub(super) refuse: &'a Refusal<'a>,
    pub(super) hook: Hook,
    pub(super) maps: &'a [MapView],
    /// Where the main program lies.
    pub(super) main: Range<usize>,
    pub(super) live: Vec<Registers>,
    /// Where blocks begin, and what each instruction charges before it runs.
    leaders: Vec<bool>,
    charges: Vec<usize>,
    pub(super) provenance: Provenance,
    frame: Frame,
    /// Address of the context.
    pub(super) context: u32,
    /// The end of the VM's own stack.
    pub(super) stack_end: u64,
    /// Which bytes of the stack were written is kept and asked.
    pub(super) is_shadowed: bool,
    pub(super) out: Emitter,
    pub(super) meters: Vec<Meter>,
    /// The packet may change under the program, so that accesses to it are tested against its current ends.
    pub(super) is_guarded: bool,
    /// A function makes a tail call.
    pub(super) goes_aside: bool,
    pub(super) guards: Vec<Guard>,
    /// Where it counts, if it is traced.
    pub(super) points: Option<Vec<Point>>,
    /// Where it shows its registers, if it is walked.
    pub(super) steps: Option<Vec<usize>>,
}

impl Lowering<'_> {
    /// What is done once when a function is called.
    fn enter(&mut self, start: usize, has_own_stack: bool) {
        self.out.enter(start);
        if start == 0 {
            if has_own_stack {
                self.out.wide(FRAME, self.stack_end);
            }
            self.out.reg(ebpf::MOV64_IMM, 5, FRAME);
            self.out.helper(helper::ENTER);
        }
        if self.is_shadowed {
            self.enter_frame(start);
        }
        if start == 0 {
            self.out.wide(1, self.context.into());
        }
    }

    fn function(&mut self, function: &Range<usize>) -> Result<(), VmError> {
        let mut index = function.start;
        while index < function.end {
            self.out.begin(index);
            if self.leaders[index] {
                self.count(Point::Block(index));
            }
            if self.leaders[index] || follow::is_point(&self.program[index]) {
                self.show(index);
            }
            if self.charges[index] > 0 {
                self.meter(index, self.charges[index])?;
            }
            self.one(index)?;
            if is_conditional(&self.program[index]) {
                self.count(Point::Fall(index));
            }
            index += if self.program[index].opc == LD_IMM64 { 2 } else { 1 };
        }
        Ok(())
    }

    /// Before every instruction rbpf looks up whether a function starts there, in a hash table, except at its deepest level of
    /// calls. So programs start as deep as they can: those that call no functions run a fifth faster, others in their leaves.
    fn descend(&mut self, levels: usize) {
        for _ in 0..levels {
            self.out.push(Insn { opc: CALL, dst: 0, src: 1, off: 0, imm: 1 });
            self.out.push(Insn { opc: EXIT, dst: 0, src: 0, off: 0, imm: 0 });
        }
    }

    fn one(&mut self, index: usize) -> Result<(), VmError> {
        let insn = self.program[index].clone();
        if matches!(class(&insn), LD | LDX | ALU | ALU64) && insn.dst == FRAME {
            // The kernel's verifier takes such code where it is dead.
            self.end(index, helper::READ_ONLY);
            return Ok(());
        }
        match class(&insn) {
            LD if insn.opc == LD_IMM64 => self.constant(index, &insn),
            LD => self.classic(index, &insn),
            LDX if matches!(mode(&insn), MODE_MEM | MODE_MEMSX) => self.load(index, &insn),
            ST | STX if mode(&insn) == MODE_MEM => self.store(index, &insn),
            STX if mode(&insn) == MODE_ATOMIC => self.atomic(index, &insn),
            ALU | ALU64 => {
                if arithmetic::is_signed_division(&insn) {
                    let scratch = self.scratch(index, only(insn.dst) | if insn.opc & X != 0 { only(insn.src) } else { 0 })?;
                    arithmetic::divide(&mut self.out, &insn, scratch.register);
                    scratch.give_back(&mut self.out);
                    return Ok(());
                }
                arithmetic::compute(&mut self.out, &insn).map_err(|reason| self.refuse.at(index, reason))
            }
            JMP if insn.opc == CALL => self.call(index, &insn),
            JMP if insn.opc == EXIT => {
                self.out.push(insn);
                Ok(())
            }
            JMP | JMP32 => self.branch(index, &insn),
            _ => Err(self.refuse.at(index, "an unknown instruction")),
        }
    }

    fn constant(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        let next = self.program.get(index + 1);
        let map = usize::try_from(insn.imm).ok();
        let value = match insn.src {
            0 => wide(insn, next),
            1 => map.filter(|map| *map < self.maps.len()).map(helper::handle).ok_or_else(|| self.refuse.at(index, "no such map"))?,
            2 => {
                let address = map.and_then(|map| self.maps.get(map)).and_then(|map| map.address);
                let address = address.ok_or_else(|| self.refuse.at(index, "not a map with a fixed address"))?;
                address.wrapping_add(i64::from(next.map_or(0, |next| next.imm)).cast_unsigned())
            }
            // Nobody but a helper that calls it takes it, and that knows it already.
            4 => 0,
            _ => return Err(self.refuse.at(index, "only maps, their values and functions can be loaded by reference")),
        };
        self.out.wide(insn.dst, value);
        Ok(())
    }

    pub(super) fn scratch(&mut self, index: usize, busy: Registers) -> Result<Scratch, VmError> {
        let spare = (self.frame.spare > 0).then(|| -(self.frame.used + self.frame.spare)).and_then(|slot| i16::try_from(slot).ok());
        Scratch::borrow(&mut self.out, self.live[index], busy, spare).ok_or_else(|| self.refuse.no_register(index))
    }

    fn branch(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        if operation(insn) >= JCOND || insn.opc == JMP32 | 0x80 || insn.opc == JMP32 | 0x90 || insn.opc & X != 0 && operation(insn) == 0 {
            return Err(self.refuse.at(index, "an unknown instruction"));
        }
        if !is_jump(insn) {
            return Err(self.refuse.at(index, "an unknown kind of call or exit"));
        }
        let target = target(index, insn).ok_or_else(|| self.refuse.at(index, "the jump leaves the program"))?;
        if operation(insn) == 0 {
            debug_assert!(matches!(insn.opc, JA | super::instruction::GOTOL));
            self.out.jump(goto(), target);
        } else {
            arithmetic::compare(&mut self.out, insn, target);
        }
        Ok(())
    }
}
