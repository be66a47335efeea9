//! The walk: follows a program from its entry over all its ways, into the functions it calls, and finds what is known before each
//! instruction.
//!
//! What one instruction does to that is in `step`, what becomes of it in `provenance`.

use super::Hook;
use super::function::is_tail_call;
use super::instruction::{EXIT, LD, LD_IMM64, class, is_end, is_jump, target};
use super::known::{Known, State};
use super::lower::MapView;
use super::provenance::Provenance;
use rbpf::ebpf::Insn;
use std::collections::BTreeMap;
use std::ops::Range;

/// What was found out about a function's stack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Depth {
    /// Bytes of stack it uses, as far as its pointers say.
    pub(super) bytes: i32,
    /// It does arithmetic on the bare frame pointer that hides how deep it goes.
    pub(super) is_open: bool,
}

/// What is known of r1 to r5, each at its own index.
pub(super) type Arguments = [Known; 6];

/// What a program is given.
const ENTERED: Arguments = {
    let mut arguments = [Known::NOTHING; 6];
    arguments[1] = Known::Context(0);
    arguments
};

/// What a function is given whose address somebody takes: a loop's turn or a map with key and value, and what was handed on.
const CALLED_BACK: Arguments = {
    let mut arguments = [Known::NOTHING; 6];
    (arguments[2], arguments[4]) = (Known::ANYTHING, Known::ANYTHING);
    arguments
};

/// A program under way.
pub(super) struct Walk<'a> {
    pub(super) program: &'a [Insn],
    /// In call order.
    pub(super) functions: &'a [Range<usize>],
    pub(super) hook: Hook,
    pub(super) maps: &'a [MapView],
    pub(super) found: Provenance,
    /// The functions by their first instructions.
    numbers: BTreeMap<usize, usize>,
    /// What functions are given; without, they are followed from each call.
    opaque: Option<BTreeMap<usize, Arguments>>,
    /// How many steps may still be made.
    steps_left: usize,
    /// Which function each frame belongs to, the innermost last.
    pub(super) owners: Vec<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(program: &'a [Insn], functions: &'a [Range<usize>], hook: Hook, maps: &'a [MapView]) -> Self {
        let numbers = functions.iter().enumerate().map(|(number, function)| (function.start, number)).collect();
        let found = Provenance::new(program.len(), functions.len(), hook);
        Self { program, functions, hook, maps, found, numbers, opaque: None, steps_left: 0, owners: Vec::new() }
    }

    /// Follows the program and from each call the function called. `None`: that took more steps than these.
    pub(super) fn followed(mut self, steps_max: usize) -> Option<Provenance> {
        self.steps_left = steps_max;
        self.function(0, &State::new(ENTERED));
        (self.steps_left > 0).then_some(self.found)
    }

    /// Follows each function once, with what all its calls pass alike; what it does to its caller's frame is not known.
    /// `None` as above.
    pub(super) fn one_by_one(mut self, taken: impl Iterator<Item = usize>, steps_max: usize) -> Option<Provenance> {
        let mut entries: BTreeMap<usize, Arguments> = taken.map(|entry| (entry, CALLED_BACK)).collect();
        entries.insert(0, ENTERED);
        self.opaque = Some(entries);
        self.steps_left = steps_max;
        for (number, function) in self.functions.iter().enumerate() {
            let arguments = self.opaque.as_ref().and_then(|entries| entries.get(&function.start)).copied();
            self.function(number, &State::new(arguments.unwrap_or([Known::NOTHING; 6])));
        }
        (self.steps_left > 0).then_some(self.found)
    }

    /// Whether functions are followed one by one, so that what lies in their callers' frames is not known.
    pub(super) fn is_one_by_one(&self) -> bool {
        self.opaque.is_some()
    }

    /// The number of the function that starts at an instruction.
    pub(super) fn number(&self, entry: usize) -> Option<usize> {
        self.numbers.get(&entry).copied()
    }

    /// Follows a function over all its ways; what is known when it returns, if it does.
    fn function(&mut self, number: usize, entry: &State) -> Option<State> {
        let function = self.functions[number].clone();
        self.owners.push(number);
        let mut states = vec![None; function.len()];
        self.steps_left = self.steps_left.saturating_sub(function.len() / 16);
        let (mut end, mut pending) = (None, Vec::new());
        let reach = |states: &mut Vec<Option<State>>, pending: &mut Vec<usize>, index: usize, state: &State| {
            if let Some(place) = index.checked_sub(function.start).and_then(|at| states.get_mut(at))
                && meet(place, state)
            {
                pending.push(index);
            }
        };
        reach(&mut states, &mut pending, function.start, entry);
        while let Some(index) = pending.pop().filter(|_| self.steps_left > 0) {
            self.steps_left -= 1;
            let Some(mut state) = states[index - function.start].clone() else { continue };
            let insn = &self.program[index];
            // A packet load of classic BPF beyond the packet ends the function too, and a program in its place.
            if insn.opc == EXIT || is_tail_call(insn) || class(insn) == LD && insn.opc != LD_IMM64 {
                meet(&mut end, &state);
            }
            if !self.step(index, &mut state) {
                continue;
            }
            if is_jump(insn)
                && let Some(target) = target(index, insn)
            {
                let mut taken = state.clone();
                Self::compare(insn, true, &mut taken);
                reach(&mut states, &mut pending, target, &taken);
            }
            if !is_end(insn) {
                Self::compare(insn, false, &mut state);
                reach(&mut states, &mut pending, index + if insn.opc == LD_IMM64 { 2 } else { 1 }, &state);
            }
        }
        for (index, state) in function.zip(&states) {
            if let Some(state) = state {
                self.take(index, state);
            }
        }
        self.owners.pop();
        end
    }

    /// A call of a function; whether it comes back.
    pub(super) fn enter(&mut self, entry: usize, state: &mut State) -> bool {
        let mut given = [Known::NOTHING; 6];
        given[1..].copy_from_slice(&state.registers[1..6]);
        if let Some(entries) = &mut self.opaque {
            pass(entries, entry, &given);
            // It may write whatever it has to what it has addresses of.
            if given.iter().any(|known| known.may_be_stack()) {
                state.blur(Known::ANYTHING);
            }
            state.registers[..6].fill(Known::NOTHING);
            // The verifier lets it answer any address but one of its own frame.
            state.registers[0] = Known::ANYTHING;
            return true;
        }
        let Some(end) = self.number(entry).and_then(|number| self.function(number, &state.entered(given))) else { return false };
        state.left(&end);
        true
    }

    /// A call of a helper that calls the function whose address r2 is, any number of times.
    pub(super) fn turn(&mut self, arguments: Arguments, state: &mut State) {
        let function = match state.registers[2] {
            Known::Function(entry) if self.opaque.is_none() => self.number(entry),
            _ => None,
        };
        let Some(number) = function else {
            if state.registers[1..6].iter().any(|known| known.may_be_stack()) {
                state.blur(Known::ANYTHING);
            }
            return;
        };
        while let Some(end) = self.function(number, &state.entered(arguments)) {
            let mut turned = state.clone();
            turned.left(&end);
            if !state.meet(&turned) {
                break;
            }
        }
    }
}

/// Notes that control comes to a place with this too; whether that is news.
fn meet(place: &mut Option<State>, state: &State) -> bool {
    if let Some(there) = place {
        return there.meet(state);
    }
    *place = Some(state.clone());
    true
}

/// Notes what a call passes to the function that starts at `entry`: what lies in the caller's frame lies nowhere in the callee's.
fn pass(entries: &mut BTreeMap<usize, Arguments>, entry: usize, given: &Arguments) {
    let mut given = *given;
    for known in given.iter_mut().filter(|known| known.may_be_stack()) {
        *known = known.weakened();
    }
    let known = entries.entry(entry).or_insert(given);
    for (known, given) in known.iter_mut().zip(given) {
        *known = known.met(given);
    }
}
