//! The vm as an engine of the lab.

use super::map::Map;
use super::outcome::{self, split};
use super::{Engine, Entry, LabError, Outcome, Record};
use crate::Frame;
use crate::vm::{Hook, MapKind, Object, Trace, Vm, VmError};

/// The engine's name.
pub const NAME: &str = "vm";

/// A program in the vm.
pub struct Machine {
    vm: Vm,
    hook: Hook,
    /// Those loaded, in their order.
    programs: Vec<String>,
}

impl Machine {
    /// Loads a program of an object; its perf event arrays take records. [`LabError::Refused`] with the vm's words, which name the
    /// instruction or the map.
    pub fn new(object: &Object, program: &str) -> Result<Self, LabError> {
        let programs = object.reachable(program);
        let mut vm = Vm::load_all(object, &programs).map_err(|error| refused(&error))?;
        let hook = object.programs().iter().find(|known| known.name == program).and_then(|program| program.hook).unwrap_or(Hook::Xdp);
        for position in 0..vm.maps().count() {
            if let Some(map) = vm.map_at_mut(position)
                && map.shape().kind == MapKind::PerfEventArray
            {
                map.update(&[0; 4], &[0; 4], crate::vm::ANY).map_err(|error| refused(&error))?;
            }
        }
        Ok(Self { vm, hook, programs: programs.into_iter().map(str::to_owned).collect() })
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
        let returned = self.vm.run(&frame.bytes, frame.time_ns).map_err(|error| refused(&error))?;
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
            redirect: self.vm.redirect().cloned(),
            printed: self.vm.lines().to_vec(),
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

fn refused(error: &VmError) -> LabError {
    LabError::Refused { engine: NAME.to_owned(), reason: crate::cause::explain(error) }
}
