//! Where a difference comes from: the vm's run of the packet once more, followed, and the instructions that made what differs.
//!
//! The maps before the packet are had again by running the capture's packets before it. Not here: following ([`crate::vm::Walk`]); the
//! kernel's way, of which a test run shows nothing.

use super::difference::{self, EntryDifference};
use super::outcome::CONTEXT_FIELDS;
use super::summary::{Divergence, Stop};
use super::{Entry, LabError, Machine, Outcome, Place, finding, slice};
use crate::Frame;
use crate::bpf::{Object, Program};
use crate::vm::{Step, Walk, Watch};

/// Ranges of bytes whose origin is looked for.
const RANGES_MAX: usize = 4;

/// What made one of the things that differ, in the vm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What differs, named as in the difference.
    pub what: String,
    /// What the instruction did with it.
    pub role: Role,
    /// The instruction; `None`: the vm's run did not write it.
    pub place: Option<Place>,
    /// Registers that it uses and their values in words, where they are known.
    pub registers: Vec<(u8, String)>,
    /// The last branch before it; of a returned value, before the end.
    pub branch: Option<Decision>,
    /// Where the program ended, of a returned value.
    pub exit: Option<Place>,
    /// A fault of Linux's that it may come from, where the kernel is one of the two.
    pub note: Option<String>,
}

/// What an instruction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It made the value that was returned.
    Returned,
    /// It wrote there last.
    Wrote,
    /// The run ended there.
    Stopped,
}

/// A conditional jump and which way it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The jump.
    pub place: Place,
    /// Whether it jumped.
    pub is_taken: bool,
    /// The registers compared and their values in words.
    pub registers: Vec<(u8, String)>,
}

/// A packet whose run is to be followed, and how to come there.
pub struct Origins<'a> {
    /// The object.
    pub object: &'a Object,
    /// The program.
    pub program: &'a str,
    /// What maps were filled with: position, entries.
    pub fills: &'a [(usize, Vec<Entry>)],
    /// Whether the replay ran a frame.
    pub runs: &'a dyn Fn(&Frame) -> bool,
}

/// What is asked about a run.
enum Subject {
    Returned,
    Written(Watch),
}

impl Origins<'_> {
    /// Where each difference of a divergence comes from. `frames` are the replay's, from its first on.
    pub fn of(&self, frames: impl IntoIterator<Item = Frame>, divergence: &Divergence) -> Result<Vec<Origin>, LabError> {
        let subjects = self.subjects(divergence);
        let mut machine = self.machine_before(frames, &divergence.frame)?;
        let watches =
            subjects.iter().filter_map(|(_, subject)| if let Subject::Written(watch) = subject { Some(watch.clone()) } else { None });
        let (_, walk) = machine.walk(&divergence.frame, watches.collect());
        let is_kernel = divergence.engines.iter().any(|engine| engine.starts_with(super::kernel::NAME));
        let story = Story { object: self.object, programs: self.programs(&machine)?, walk: &walk, is_kernel };
        let mut writers = walk.writers.iter();
        let origin = |(what, subject): (String, Subject)| match subject {
            Subject::Returned => story.returned(what),
            Subject::Written(_) => story.written(what, writers.next().copied().flatten()),
        };
        Ok(subjects.into_iter().map(origin).collect())
    }

    /// How the vm came to where it stopped. `frames` are the replay's, from its first on.
    pub fn of_stop(&self, frames: impl IntoIterator<Item = Frame>, stop: &Stop) -> Result<Vec<Origin>, LabError> {
        let mut machine = self.machine_before(frames, &stop.frame)?;
        let (result, walk) = machine.walk(&stop.frame, Vec::new());
        let Err(LabError::Fault { place, .. }) = result else { return Ok(Vec::new()) };
        let story = Story { object: self.object, programs: self.programs(&machine)?, walk: &walk, is_kernel: false };
        let last = walk.steps.iter().rposition(|step| step.instruction == place.instruction);
        let registers = last.map_or_else(Vec::new, |last| story.registers(&walk.steps[last]));
        let branch = last.and_then(|last| story.decision(last));
        Ok(vec![Origin { what: "stopped".to_owned(), role: Role::Stopped, place: Some(*place), registers, branch, exit: None, note: None }])
    }

    fn programs<'o>(&'o self, machine: &Machine) -> Result<Vec<&'o Program>, LabError> {
        let found = machine.programs().iter().map(|name| self.object.program(name));
        found.collect::<Result<_, _>>().map_err(|error| LabError::Refused { engine: super::vm::NAME.to_owned(), reason: error.to_string() })
    }

    /// A machine that can be followed, as it is before a frame.
    fn machine_before(&self, frames: impl IntoIterator<Item = Frame>, last: &Frame) -> Result<Machine, LabError> {
        let mut machine = Machine::new(self.object, self.program)?;
        for (map, entries) in self.fills {
            for (key, value) in entries {
                super::Engine::fill(&mut machine, *map, key, value)?;
            }
        }
        for frame in frames.into_iter().take_while(|frame| frame.index < last.index).filter(|frame| (self.runs)(frame)) {
            super::Engine::run(&mut machine, &frame)?;
        }
        machine.walked()
    }

    fn subjects(&self, divergence: &Divergence) -> Vec<(String, Subject)> {
        let [first, second] = &divergence.outcomes;
        let mut subjects = Vec::new();
        let mut watch = |what: String, watch: Watch| subjects.push((what, Subject::Written(watch)));
        let metadata = first.meta.as_ref().map_or(0, Vec::len);
        if first.packet.len() != second.packet.len() {
            watch("packet length".to_owned(), Watch::Length);
        }
        for range in difference::differing(&first.packet, &second.packet).into_iter().take(RANGES_MAX) {
            watch(format!("packet[{}..{}]", range.start, range.end), Watch::Packet(metadata + range.start));
        }
        if let (Some(one), Some(two)) = (&first.meta, &second.meta) {
            for range in difference::differing(one, two).into_iter().take(RANGES_MAX) {
                watch(format!("metadata[{}..{}]", range.start, range.end), Watch::Packet(range.start));
            }
        }
        for (name, bytes) in CONTEXT_FIELDS {
            if let (Some(one), Some(two)) = (first.context.get(name), second.context.get(name))
                && one != two
            {
                watch(name.to_owned(), Watch::Context(bytes));
            }
        }
        for (map, number) in records(first, second) {
            watch(format!("{map}: record {number}"), Watch::Record { map, number });
        }
        for entry in divergence.entries.iter().take(RANGES_MAX) {
            if let Some(map) = Machine::maps(self.object).iter().position(|map| map.name == entry.map) {
                watch(
                    format!("map {}, key {}", entry.map, difference::hex(&entry.key)),
                    Watch::Value { map, key: entry.key.clone(), bytes: differing(entry) },
                );
            }
        }
        if first.returned != second.returned {
            subjects.insert(0, ("returned".to_owned(), Subject::Returned));
        }
        subjects
    }
}

/// The first record of each map that differs.
fn records(first: &Outcome, second: &Outcome) -> Vec<(String, usize)> {
    let mut maps: Vec<&String> = first.records.iter().chain(&second.records).map(|record| &record.map).collect();
    maps.sort_unstable();
    maps.dedup();
    let of = |outcome: &Outcome, map: &str| outcome.records.iter().filter(|record| record.map == map).cloned().collect::<Vec<_>>();
    let differing = maps.into_iter().filter_map(|map| {
        let (one, two) = (of(first, map), of(second, map));
        let number = one.iter().zip(&two).position(|(one, two)| !one.agrees(two));
        let number = number.or_else(|| (one.len() != two.len()).then_some(one.len().min(two.len())))?;
        Some((map.clone(), number))
    });
    differing.collect()
}

/// The first bytes that differ; all, where one has no entry.
fn differing(entry: &EntryDifference) -> std::ops::Range<usize> {
    match (&entry.first, &entry.second) {
        (Some(one), Some(two)) => difference::differing(one, two).into_iter().next().unwrap_or(0..one.len()),
        (one, two) => 0..one.as_ref().or(two.as_ref()).map_or(0, Vec::len),
    }
}

/// A followed run, to be told.
struct Story<'a> {
    object: &'a Object,
    programs: Vec<&'a Program>,
    walk: &'a Walk,
    /// The kernel is one of those that differ.
    is_kernel: bool,
}

impl Story<'_> {
    fn place(&self, step: &Step) -> Place {
        Place::of(self.object, self.programs[step.program], step.instruction)
    }

    fn returned(&self, what: String) -> Origin {
        let steps = &self.walk.steps;
        let at = slice::returned(steps, &self.programs);
        let made = at.map(|at| &steps[at]);
        Origin {
            what,
            role: Role::Returned,
            place: made.map(|step| self.place(step)),
            registers: made.map_or_else(Vec::new, |step| self.registers(step)),
            branch: steps.len().checked_sub(1).and_then(|last| self.decision(last)),
            exit: steps.last().map(|step| self.place(step)),
            note: at.and_then(|at| self.note(at)),
        }
    }

    fn written(&self, what: String, writer: Option<usize>) -> Origin {
        let step = writer.map(|writer| &self.walk.steps[writer]);
        Origin {
            what,
            role: Role::Wrote,
            place: step.map(|step| self.place(step)),
            registers: step.map_or_else(Vec::new, |step| self.registers(step)),
            branch: writer.and_then(|writer| self.decision(writer)),
            exit: None,
            note: writer.and_then(|writer| self.note(writer)),
        }
    }

    /// What of Linux's faults a step may show.
    fn note(&self, at: usize) -> Option<String> {
        let found = finding::compare_and_exchange(&self.walk.steps, &self.programs, at).filter(|_| self.is_kernel)?;
        Some(format!(
            "{} is a 32-bit compare-and-exchange, after which Linux's verifier may forget to clear the upper half of r0: a bug of the kernel's (docs/rbpf-findings.md)",
            self.place(&self.walk.steps[found])
        ))
    }

    /// The last conditional jump before a step.
    fn decision(&self, before: usize) -> Option<Decision> {
        let steps = &self.walk.steps;
        let at = (0..before).rev().find(|at| {
            let insn = &self.programs[steps[*at].program].instructions[steps[*at].instruction];
            crate::vm::is_conditional(insn)
        })?;
        let is_taken = steps.get(at + 1).is_some_and(|next| next.instruction != steps[at].instruction + 1);
        Some(Decision { place: self.place(&steps[at]), is_taken, registers: self.registers(&steps[at]) })
    }

    /// The registers that an instruction names, with what they held before it.
    fn registers(&self, step: &Step) -> Vec<(u8, String)> {
        let Some(values) = step.registers else { return Vec::new() };
        let insn = &self.programs[step.program].instructions[step.instruction];
        crate::vm::operands(insn)
            .into_iter()
            .map(|register| (register, self.walk.word(values[usize::from(register)], values[10])))
            .collect()
    }
}
