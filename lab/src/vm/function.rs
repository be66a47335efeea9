//! Functions: a program's subprograms, in an order in which no call goes backwards, and how far apart their frames lie.

use super::VmError;
use super::helper::TAIL_CALL;
use super::instruction::{CALL, LD_IMM64, is_end, is_jump, reference, target};
use super::known::STACK;
use super::refusal::Refusal;
use super::walk::Depth;
use rbpf::ebpf::Insn;
use std::collections::BTreeSet;
use std::ops::Range;

/// Splits a program into its functions, the main program first, every caller before those it calls.
pub(super) fn split(program: &[Insn], refuse: &Refusal) -> Result<Vec<Range<usize>>, VmError> {
    let mut entries = BTreeSet::from([0]);
    let mut starts = vec![false; program.len()];
    let mut index = 0;
    while let Some(insn) = program.get(index) {
        starts[index] = true;
        if insn.opc == CALL && insn.src == 1 {
            let entry = target(index, insn).filter(|entry| *entry < program.len());
            entries.insert(entry.ok_or_else(|| refuse.at(index, "the call leaves the program"))?);
        }
        if let Some(entry) = reference(index, insn) {
            if entry >= program.len() {
                return Err(refuse.at(index, "the function is not there"));
            }
            entries.insert(entry);
        }
        index += if insn.opc == LD_IMM64 { 2 } else { 1 };
    }
    if entries.len() > FUNCTIONS_MAX {
        return Err(refuse.whole(format!("{} functions, the kernel takes {FUNCTIONS_MAX}", entries.len())));
    }
    let bounds: Vec<usize> = entries.into_iter().chain([program.len()]).collect();
    let functions: Vec<Range<usize>> = bounds.windows(2).map(|pair| pair[0]..pair[1]).collect();
    for function in &functions {
        check_bounds(program, function, &starts, refuse)?;
    }
    order(program, &functions, refuse)
}

/// Every jump stays in its function and hits an instruction's start; control never falls out of the end.
fn check_bounds(program: &[Insn], function: &Range<usize>, starts: &[bool], refuse: &Refusal) -> Result<(), VmError> {
    let mut last = function.start;
    for index in function.clone().filter(|index| starts[*index]) {
        let insn = &program[index];
        last = index;
        if is_jump(insn) && !target(index, insn).is_some_and(|target| function.contains(&target) && starts[target]) {
            return Err(refuse.at(index, "the jump leaves its function or hits the middle of an instruction"));
        }
        if insn.opc == LD_IMM64 && (!function.contains(&(index + 1)) || program[index + 1].opc != 0) {
            return Err(refuse.at(index, "its second half is missing"));
        }
    }
    if !starts[function.start] {
        return Err(refuse.at(function.start, "a call hits the middle of an instruction"));
    }
    if !is_end(&program[last]) {
        return Err(refuse.at(last, "control falls out of the function's end"));
    }
    Ok(())
}

fn position(functions: &[Range<usize>], index: usize) -> usize {
    functions.iter().position(|function| function.start == index).expect("every call target starts a function")
}

/// The functions that `function` calls, or takes the address of to have them called, with the instruction.
pub(super) fn calls<'a>(
    program: &'a [Insn],
    functions: &'a [Range<usize>],
    function: &Range<usize>,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    function.clone().filter_map(move |index| {
        let insn = &program[index];
        let called = (insn.opc == CALL && insn.src == 1).then(|| target(index, insn).unwrap_or(0));
        let entry = called.or_else(|| reference(index, insn))?;
        Some((index, position(functions, entry)))
    })
}

/// Callers before callees: the reverse of the order in which a depth-first walk leaves the functions.
fn order(program: &[Insn], functions: &[Range<usize>], refuse: &Refusal) -> Result<Vec<Range<usize>>, VmError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; functions.len()];
    let mut left = Vec::new();
    let mut path = vec![(0, calls(program, functions, &functions[0]).collect::<Vec<_>>())];
    marks[0] = Mark::Open;
    while let Some((function, open_calls)) = path.last_mut() {
        let Some((site, callee)) = open_calls.pop() else {
            marks[*function] = Mark::Done;
            left.push(functions[*function].clone());
            path.pop();
            continue;
        };
        match marks[callee] {
            Mark::New => {
                marks[callee] = Mark::Open;
                path.push((callee, calls(program, functions, &functions[callee]).collect()));
            }
            Mark::Open => return Err(refuse.at(site, "recursion: rbpf cannot call backwards")),
            Mark::Done => {}
        }
    }
    left.reverse();
    Ok(left)
}

/// The kernel's limit on functions, the main program among them.
const FUNCTIONS_MAX: usize = 256;

/// The kernel's limit on nested frames, the main program's included.
const FRAMES_MAX: usize = 8;

/// How many bytes each function's frame takes, with eight to spare for `lower` where they fit, and how many frames nest at most;
/// refuses programs whose frames would overlap. `functions` are in call order.
pub(super) fn frames(
    program: &[Insn],
    functions: &[Range<usize>],
    depths: &[Depth],
    refuse: &Refusal,
) -> Result<(Vec<Frame>, usize), VmError> {
    let mut frames: Vec<Frame> = depths
        .iter()
        .map(|depth| {
            let used = if depth.is_open { STACK } else { depth.bytes.min(STACK) };
            Frame { used: (used + 7) / 8 * 8, ..Frame::default() }
        })
        .collect();
    // Two passes: without spare bytes it must fit; with them in every frame it may.
    let nesting = check_chain(program, functions, &frames, refuse)?;
    let mut roomy = frames.clone();
    for frame in &mut roomy {
        frame.spare = 8;
    }
    if check_chain(program, functions, &roomy, refuse).is_ok() {
        frames = roomy;
    }
    Ok((frames, nesting))
}

/// How many frames nest at most, the main program's included.
pub(super) fn nesting(program: &[Insn], functions: &[Range<usize>], refuse: &Refusal) -> Result<usize, VmError> {
    check_chain(program, functions, &vec![Frame::default(); functions.len()], refuse)
}

/// Bytes of stack above a function that makes tail calls at most: the kernel's, so that programs that call one another fit.
const TAIL_CALL_STACK: i32 = 256;
/// What the kernel rounds a frame up to.
const ROUNDED: i32 = 16;

/// Whether a function other than the main program makes a tail call.
pub(super) fn goes_aside(program: &[Insn], functions: &[Range<usize>]) -> bool {
    functions[1..].iter().any(|function| program[function.clone()].iter().any(is_tail_call))
}

/// Whether an instruction is a tail call.
pub(super) fn is_tail_call(insn: &Insn) -> bool {
    insn.opc == CALL && insn.src == 0 && insn.imm == TAIL_CALL
}

/// Refuses tail calls in functions whose callers use more stack than the kernel lets them.
pub(super) fn check_tail_calls(program: &[Insn], functions: &[Range<usize>], depths: &[Depth], refuse: &Refusal) -> Result<(), VmError> {
    let mut above = vec![0; functions.len()];
    for (number, function) in functions.iter().enumerate() {
        let tail_call = function.clone().find(|index| is_tail_call(&program[*index]));
        if let Some(index) = tail_call.filter(|_| above[number] >= TAIL_CALL_STACK) {
            let reason = format!("above a function with a tail call lie {} bytes of stack, the kernel allows 255", above[number]);
            return Err(refuse.at(index, &reason));
        }
        let below = above[number] + (depths[number].bytes.clamp(0, STACK) + ROUNDED - 1) / ROUNDED * ROUNDED;
        for (_, callee) in calls(program, functions, function) {
            above[callee] = above[callee].max(below);
        }
    }
    Ok(())
}

/// A function's part of the stack, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frame {
    /// What its own instructions use.
    pub(super) used: i32,
    /// Below that, for `lower`.
    pub(super) spare: i32,
    /// Below that, which bytes of `used` were written, see `shadow`.
    pub(super) shadow: i32,
}

impl Frame {
    /// All its bytes.
    pub(super) const fn length(&self) -> i32 {
        self.used + self.spare + self.shadow
    }
}

/// How many frames nest at most, the main program's included.
fn check_chain(program: &[Insn], functions: &[Range<usize>], frames: &[Frame], refuse: &Refusal) -> Result<usize, VmError> {
    // Bytes above each function's frame at most, and frames down to it: in call order every caller is final when it is reached.
    let mut above = vec![(0, 1); functions.len()];
    for (number, function) in functions.iter().enumerate() {
        let below = above[number].0 + frames[number].length();
        if below > STACK {
            return Err(refuse.at(function.start, &format!("the stack of the functions called needs {below} bytes, there are {STACK}")));
        }
        for (site, callee) in calls(program, functions, function) {
            above[callee] = (above[callee].0.max(below), above[callee].1.max(above[number].1 + 1));
            if above[callee].1 > FRAMES_MAX {
                return Err(refuse.at(site, "calls nest more than eight frames deep"));
            }
        }
    }
    Ok(above.iter().map(|(_, nesting)| *nesting).max().unwrap_or(1))
}
