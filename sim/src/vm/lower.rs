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
//! What is not here: single arithmetic rewrites (`arithmetic`), stack frames (`function`).

use super::arithmetic;
use super::callback::is_callback;
use super::emit::{Emitter, Scratch, goto};
use super::field::{self, Store};
use super::function::{self, Frame};
use super::guard::{Guard, moves_packet};
use super::helper::{self, Meter};
use super::inline;
use super::instruction::{
    ADD, ALU, ALU64, CALL, EXIT, FRAME, JA, JCOND, JMP, JMP32, LD, LD_IMM64, LDX, MODE_ABS, MODE_ATOMIC, MODE_IND, MODE_MEM, MODE_MEMSX,
    MOV, Registers, ST, STX, X, class, is_jump, mode, only, operation, size, target, text, wide,
};
use super::liveness::live_before;
use super::provenance::{Access, Provenance};
use super::synonym;
use super::trace::{self, Point, is_conditional};
use super::{Hook, VmError, follow, stack};
use rbpf::ebpf::{self, Insn};
use std::ops::Range;

/// How a program refers to its maps: per map the size of a value and, for single-entry arrays, its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapView {
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
    /// It runs on the VM's own stack.
    pub(super) has_own_stack: bool,
    /// What each meter charges.
    pub(super) meters: Vec<Meter>,
    /// What each guard tests.
    pub(super) guards: Vec<Guard>,
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

/// Makes errors that name the program and the instruction.
pub(super) struct Refusal<'a> {
    pub(super) program: &'a str,
    pub(super) instructions: &'a [Insn],
}

impl Refusal<'_> {
    pub(super) fn at(&self, index: usize, reason: &str) -> VmError {
        let (program, text) = (self.program.to_owned(), text(self.instructions, index));
        VmError::Refused { program, instruction: index, text, reason: reason.to_owned() }
    }

    pub(super) fn whole(&self, reason: String) -> VmError {
        VmError::Program { program: self.program.to_owned(), reason }
    }
}

/// Where a program runs.
pub(super) struct Place<'a> {
    pub(super) hook: Hook,
    /// Address of the context.
    pub(super) context: u64,
    /// The end of the VM's own stack.
    pub(super) stack: u64,
    pub(super) maps: &'a [MapView],
    /// It counts what it executes.
    pub(super) is_traced: bool,
    /// It shows its registers.
    pub(super) is_walked: bool,
}

/// Lowers a relocated program: for rbpf's stack if it fits there, else for the VM's own.
pub(super) fn lower(refuse: &Refusal, place: &Place) -> Result<Lowered, VmError> {
    match lower_for(refuse, place, place.is_traced || place.is_walked) {
        Err(VmError::Refused { reason, .. }) if reason == NO_ROOM => lower_for(refuse, place, true),
        done => done,
    }
}

const NO_ROOM: &str = "to lower it a register is needed, and none is free, nor eight bytes of stack";

fn lower_for(refuse: &Refusal, place: &Place, is_own_stack: bool) -> Result<Lowered, VmError> {
    let program = refuse.instructions;
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
    let provenance = Provenance::of(program, &functions, place.hook);
    let is_open = provenance.depths.iter().any(|depth| depth.is_open);
    let (frames, nesting, has_own_stack) = match function::frames(program, &functions, &provenance.depths, refuse) {
        Ok((frames, nesting)) if !is_own_stack => (frames, nesting, false),
        Err(refusal) if !is_open => return Err(refusal),
        _ => (vec![stack::FRAME; functions.len()], function::nesting(program, &functions, refuse)?, true),
    };
    let live = live_before(program, &functions);
    let charges = charges(program, &functions);
    let mut lowering = Lowering {
        program,
        refuse,
        hook: place.hook,
        maps: place.maps,
        main: functions[0].clone(),
        live,
        provenance,
        frame: Frame { used: 0, spare: 0 },
        out: Emitter::new(program.len()),
        meters: Vec::new(),
        is_guarded: program.iter().any(moves_packet),
        guards: Vec::new(),
        points: place.is_traced.then(Vec::new),
        steps: place.is_walked.then(Vec::new),
    };
    let leaders = trace::leaders(program, &functions);
    lowering.out.begin(0);
    lowering.descend(ebpf::MAX_CALL_DEPTH + 1 - nesting);
    let mut ranges = Vec::with_capacity(functions.len());
    for (function, frame) in functions.iter().zip(&frames) {
        let start = lowering.out.code.len();
        lowering.frame = *frame;
        let mut index = function.start;
        while index < function.end {
            lowering.out.begin(index);
            if index == 0 {
                if has_own_stack {
                    lowering.out.wide(FRAME, place.stack);
                }
                lowering.out.reg(ebpf::MOV64_IMM, 5, FRAME);
                lowering.out.helper(helper::ENTER);
                lowering.out.wide(1, place.context);
            }
            if leaders[index] {
                lowering.count(Point::Block(index));
            }
            if leaders[index] || follow::is_point(&program[index]) {
                lowering.show(index);
            }
            if charges[index] > 0 {
                lowering.meter(index, charges[index])?;
            }
            lowering.one(index)?;
            if is_conditional(&program[index]) {
                lowering.count(Point::Fall(index));
            }
            index += if program[index].opc == LD_IMM64 { 2 } else { 1 };
        }
        let bytes = u16::try_from(frame.used + frame.spare).expect("a frame has at most 576 bytes");
        ranges.push((start..lowering.out.code.len(), bytes));
    }
    lowering.out.finish(refuse)?;
    let bytecode = lowering.out.code.iter().flat_map(Insn::to_array).collect();
    Ok(Lowered {
        bytecode,
        origin: lowering.out.origin,
        frames: ranges,
        has_own_stack,
        meters: lowering.meters,
        guards: lowering.guards,
        points: lowering.points,
        steps: lowering.steps,
    })
}

/// What each instruction charges before it runs: a loop's head the loop's length, a called function's entry the function's.
fn charges(program: &[Insn], functions: &[Range<usize>]) -> Vec<usize> {
    let mut charges = vec![0; program.len()];
    for (number, function) in functions.iter().enumerate() {
        if number > 0 {
            charges[function.start] = function.len();
        }
        for index in function.clone() {
            if is_jump(&program[index])
                && let Some(head) = target(index, &program[index])
                && head <= index
            {
                charges[head] = charges[head].max(index - head + 1);
            }
        }
    }
    charges
}

/// The state of one program's lowering.
pub(super) struct Lowering<'a> {
    program: &'a [Insn],
    pub(super) refuse: &'a Refusal<'a>,
    hook: Hook,
    maps: &'a [MapView],
    /// Where the main program lies.
    main: Range<usize>,
    pub(super) live: Vec<Registers>,
    pub(super) provenance: Provenance,
    frame: Frame,
    pub(super) out: Emitter,
    meters: Vec<Meter>,
    /// The packet may change under the program, so that accesses to it are tested against its current ends.
    pub(super) is_guarded: bool,
    pub(super) guards: Vec<Guard>,
    /// Where it counts, if it is traced.
    pub(super) points: Option<Vec<Point>>,
    /// Where it shows its registers, if it is walked.
    pub(super) steps: Option<Vec<usize>>,
}

impl Lowering<'_> {
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
            return Err(self.refuse.at(index, "r10 is read-only"));
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

    /// A packet load of classic BPF: like a call that ends r1 to r5, and beyond the packet the function ends with 0.
    fn classic(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        let helper = match (self.hook, mode(insn), size(insn)) {
            (Hook::Xdp, MODE_ABS | MODE_IND, _) => return Err(self.refuse.at(index, "XDP has no packet loads of classic BPF")),
            (_, MODE_ABS | MODE_IND, size @ (1 | 2 | 4)) => helper::CLASSIC + i32::from(size),
            _ => return Err(self.refuse.at(index, "an unknown instruction")),
        };
        if mode(insn) == MODE_ABS {
            self.out.imm(ALU | MOV, 1, insn.imm);
        } else {
            self.out.reg(ALU | MOV, 1, insn.src);
            self.out.imm(ALU | ADD, 1, insn.imm);
        }
        self.out.reg(ALU64 | MOV, 2, 6);
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(helper);
        self.out.skip(&Insn { opc: ebpf::JSGE_IMM, dst: 0, src: 0, off: 0, imm: 0 }, 2);
        self.out.imm(ebpf::MOV64_IMM, 0, 0);
        self.out.push(Insn { opc: EXIT, dst: 0, src: 0, off: 0, imm: 0 });
        Ok(())
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

    pub(super) fn access(&self, index: usize, insn: &Insn) -> Access {
        self.provenance.access(index, insn, |map| self.maps.get(map).map_or(0, |map| map.value_size))
    }

    /// Offset of the last byte of an access.
    pub(super) fn last(&self, index: usize, insn: &Insn) -> Result<i16, VmError> {
        insn.off.checked_add(i16::from(size(insn)) - 1).ok_or_else(|| self.refuse.at(index, "its last byte is beyond an offset of 32767"))
    }

    pub(super) fn trap(&mut self, index: usize) {
        self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
        self.out.helper(helper::TRAP);
    }

    pub(super) fn scratch(&mut self, index: usize, busy: Registers) -> Result<Scratch, VmError> {
        let spare = (self.frame.spare > 0).then(|| -(self.frame.used + self.frame.spare)).and_then(|slot| i16::try_from(slot).ok());
        Scratch::borrow(&mut self.out, self.live[index], busy, spare).ok_or_else(|| self.refuse.at(index, NO_ROOM))
    }

    fn load(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        if let Some(offset) = self.provenance.context_offset(index, insn) {
            let sign = mode(insn) == MODE_MEMSX;
            let done = if sign {
                Err("the context is not loaded with its sign".to_owned())
            } else {
                field::load(self.hook, offset, size(insn).into())
            };
            done.map_err(|reason| self.refuse.at(index, &reason))?;
            if insn.off >= 2 && field::is_lower_half(self.hook, offset, size(insn).into()) {
                self.out.push(Insn { off: insn.off - 2, ..insn.clone() });
                return Ok(());
            }
        }
        self.guard(index, insn, insn.src)?;
        match self.access(index, insn) {
            Access::OutOfStack => {
                self.trap(index);
                return Ok(());
            }
            Access::Probe if insn.dst != insn.src => {
                let last = self.last(index, insn)?;
                self.out.memory(ebpf::LD_B_REG, insn.dst, insn.src, last);
            }
            Access::Probe => {
                let last = self.last(index, insn)?;
                let scratch = self.scratch(index, only(insn.src))?;
                self.out.memory(ebpf::LD_B_REG, scratch.register, insn.src, last);
                scratch.give_back(&mut self.out);
            }
            Access::Exact => {}
        }
        let plain = Insn { opc: LDX | MODE_MEM | insn.opc & 0x18, ..insn.clone() };
        self.out.push(plain);
        if mode(insn) == MODE_MEMSX {
            if size(insn) == 8 {
                return Err(self.refuse.at(index, "eight bytes have no sign to extend"));
            }
            arithmetic::extend(&mut self.out, ALU64, insn.dst, 64 - 8 * i32::from(size(insn)));
        }
        Ok(())
    }

    fn store(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        if let Some(offset) = self.provenance.context_offset(index, insn) {
            let how = field::store(self.hook, offset, size(insn).into()).map_err(|reason| self.refuse.at(index, &reason))?;
            self.store_field(insn, how);
            return Ok(());
        }
        self.guard(index, insn, insn.dst)?;
        match self.access(index, insn) {
            Access::OutOfStack => {
                self.trap(index);
                return Ok(());
            }
            // The one-byte store is overwritten at once, and needs no register.
            Access::Probe => {
                let off = self.last(index, insn)?;
                self.out.push(Insn { opc: insn.opc & !0x18 | 0x10, off, ..insn.clone() });
            }
            Access::Exact => {}
        }
        self.out.push(insn.clone());
        Ok(())
    }

    /// A store to a field of the context, which some fields take but half of.
    fn store_field(&mut self, insn: &Insn, how: Store) {
        const HALF: u8 = 0x08;
        const FITS: i32 = 0xffff;
        let half = Insn { opc: insn.opc & !0x18 | HALF, ..insn.clone() };
        match (how, class(insn)) {
            (Store::Plain, _) => self.out.push(insn.clone()),
            (Store::HalfIfItFits, STX) => {
                self.out.skip(&Insn { opc: ebpf::JGE_IMM, dst: insn.src, src: 0, off: 0, imm: FITS }, 1);
                self.out.push(half);
            }
            (Store::HalfIfItFits, _) if !(0..FITS).contains(&insn.imm) => self.out.push(goto()),
            (Store::Half | Store::HalfIfItFits, _) => self.out.push(half),
        }
    }

    fn call(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        match insn.src {
            0 => {
                let called = helper::allowed(insn.imm, self.hook).map_err(|reason| self.refuse.at(index, &reason))?;
                if called.number == helper::TAIL_CALL && !self.main.contains(&index) {
                    return Err(self.refuse.at(
                        index,
                        "a tail call in a function would return to the function's caller; the VM has those of the main program",
                    ));
                }
                if is_callback(called.number) {
                    return self.callback(index, called.number);
                }
                if called.arguments.len() == 5 {
                    self.out.helper(helper::FIFTH);
                }
                // r5 ends with the call.
                self.out.imm(ebpf::MOV64_IMM, 5, i32::try_from(index).unwrap_or(i32::MAX));
                self.out.helper(insn.imm);
                Ok(())
            }
            1 => {
                let target = target(index, insn).ok_or_else(|| self.refuse.at(index, "the call leaves the program"))?;
                self.out.jump(insn.clone(), target);
                Ok(())
            }
            _ => Err(self.refuse.at(index, "kernel functions are not there")),
        }
    }

    fn branch(&mut self, index: usize, insn: &Insn) -> Result<(), VmError> {
        if operation(insn) == JCOND || insn.opc == JMP32 | 0x80 || insn.opc == JMP32 | 0x90 || insn.opc & X != 0 && operation(insn) == 0 {
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

    /// Charges `instructions` against the limit; only r0 is lost by it, so that is kept if it is live.
    fn meter(&mut self, index: usize, instructions: usize) -> Result<(), VmError> {
        let place = self.meters.len().min(helper::METERS - 1);
        match self.meters.get_mut(place) {
            Some(shared) => *shared = Meter { instructions: shared.instructions.max(instructions), site: None },
            None => self.meters.push(Meter { instructions, site: Some(index) }),
        }
        let number = helper::METER + i32::try_from(place).expect("below 64");
        if self.live[index] & only(0) == 0 {
            self.out.helper(number);
            return Ok(());
        }
        let scratch = self.scratch(index, only(0))?;
        self.out.reg(ebpf::MOV64_IMM, scratch.register, 0);
        self.out.helper(number);
        self.out.reg(ebpf::MOV64_IMM, 0, scratch.register);
        scratch.give_back(&mut self.out);
        Ok(())
    }
}
