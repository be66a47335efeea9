//! The vm as an engine of the lab.

use super::map::Map;
use super::outcome::{self, split};
use super::{Engine, Entry, LabError, Outcome, Place, Record, Shown};
use crate::Frame;
use crate::vm::{Hook, Input, MapKind, Object, Options, Trace, Vm, VmError, Walk, Watch};

/// The engine's name.
pub const NAME: &str = "vm";

/// A program in the vm.
pub struct Machine {
    vm: Vm,
    hook: Hook,
    /// Those loaded, in their order.
    programs: Vec<String>,
    object: Object,
    options: Options,
}

impl Machine {
    /// Loads a program of an object; its perf event arrays take records. [`LabError::Refused`] with the vm's words, which name the
    /// instruction or the map.
    pub fn new(object: &Object, program: &str) -> Result<Self, LabError> {
        Self::with(object, program, &Options::default())
    }

    /// Loads it as options say.
    pub fn with(object: &Object, program: &str, options: &Options) -> Result<Self, LabError> {
        Self::of(object, &object.reachable(program), options)
    }

    fn of(object: &Object, programs: &[&str], options: &Options) -> Result<Self, LabError> {
        let mut vm = Vm::load_with(object, programs, options).map_err(|error| refused(&error))?;
        let of_name = |name: &&str| object.programs().iter().find(|known| known.name == **name);
        let hook = programs.first().and_then(of_name).and_then(|program| program.hook).unwrap_or(Hook::Xdp);
        for position in 0..vm.maps().count() {
            if let Some(map) = vm.map_at_mut(position)
                && map.shape().kind == MapKind::PerfEventArray
            {
                map.update(&[0; 4], &[0; 4], crate::vm::ANY).map_err(|error| refused(&error))?;
            }
        }
        Ok(Self {
            vm,
            hook,
            programs: programs.iter().map(|name| (*name).to_owned()).collect(),
            object: object.clone(),
            options: options.clone(),
        })
    }

    /// The programs loaded: the one that runs first, and those that it can call.
    #[must_use]
    pub fn programs(&self) -> &[String] {
        &self.programs
    }

    /// A machine that can be followed, with what this one's maps hold and its generator.
    pub fn walked(mut self) -> Result<Self, LabError> {
        let options = Options { walk: true, trace: false, ..self.options.clone() };
        let programs: Vec<&str> = self.programs.iter().map(String::as_str).collect();
        let mut walked = Self::of(&self.object, &programs, &options)?;
        walked.vm.take_over(&mut self.vm).map_err(|error| refused(&error))?;
        Ok(walked)
    }

    /// Runs the program over a frame and follows it, see [`Vm::walk`].
    pub fn walk(&mut self, frame: &Frame, watches: Vec<Watch>) -> (Result<u64, LabError>, Walk) {
        let (result, walk) = self.vm.walk(0, &input(self.hook, frame), watches);
        (result.map_err(|error| self.broken(&error)), walk)
    }

    /// Why a run ended before its end.
    fn broken(&self, error: &VmError) -> LabError {
        if let VmError::Fault { program, instruction, fault, .. } = error
            && let Ok(program) = self.object.program(program)
        {
            let place = Box::new(Place::of(&self.object, program, *instruction));
            return LabError::Fault { engine: NAME.to_owned(), place, fault: fault.to_string() };
        }
        refused(error)
    }

    /// The maps that a replay compares.
    #[must_use]
    pub fn maps(object: &Object) -> Vec<Map> {
        crate::vm::shapes(object).iter().map(Map::of).collect()
    }
}

impl Engine for Machine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, frame: &Frame) -> Result<Outcome, LabError> {
        let returned = self.vm.run_input(0, &input(self.hook, frame)).map_err(|error| self.broken(&error))?;
        #[expect(clippy::cast_possible_truncation, reason = "a return code is 32 bits")]
        let returned = returned as u32;
        let context = self.vm.context();
        let (packet, meta) = split(self.hook, self.vm.packet(), Some(&context));
        let record = |record: &crate::vm::Record| Record { map: record.map.clone(), bytes: record.bytes.clone(), padded: false };
        Ok(Outcome {
            returned,
            packet,
            meta,
            context: outcome::fields(self.hook, &context),
            records: self.vm.records().iter().map(record).collect(),
            shown: Shown { redirect: self.vm.redirect().cloned(), printed: self.vm.lines().to_vec() },
        })
    }

    fn touched(&self) -> Option<Vec<(usize, Vec<u8>)>> {
        let keys =
            self.vm.maps().enumerate().flat_map(|(position, map)| map.touched().into_iter().map(move |key| (position, key.to_vec())));
        Some(keys.collect())
    }

    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError> {
        // Of a trie the longest prefix that holds the key, as the kernel answers the host.
        Ok(self.vm.map_at(map).and_then(|map| map.lookup(key)).map(<[u8]>::to_vec))
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        let entries = self.vm.map_at(map).into_iter().flat_map(crate::vm::Map::entries);
        let mut entries: Vec<_> = entries.map(|(key, value)| (key, value.to_vec())).collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn entries_count(&self, map: usize) -> Option<usize> {
        self.vm.map_at(map).map(crate::vm::Map::len)
    }

    fn traces(&self) -> Vec<(String, Trace)> {
        let traced = self.programs.iter().enumerate().filter_map(|(position, name)| Some((name.clone(), self.vm.trace(position)?)));
        traced.collect()
    }

    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        let map = self.vm.map_at_mut(map).expect("a map of the object");
        map.update(key, value, crate::vm::ANY).map_err(|error| refused(&error))
    }
}

/// What the kernel engine's test run gives: of a socket buffer a context of zeroes.
fn input(hook: Hook, frame: &Frame) -> Input<'_> {
    Input { packet: &frame.bytes, now_ns: frame.time_ns, context: (hook != Hook::Xdp).then_some(&[]) }
}

fn refused(error: &VmError) -> LabError {
    LabError::Refused { engine: NAME.to_owned(), reason: crate::cause::explain(error) }
}
