//! The vm as an engine of the lab.

use super::map::Map;
use super::{Engine, Entry, LabError, Outcome};
use crate::Frame;
use crate::vm::{Object, Vm};

/// The engine's name.
pub const NAME: &str = "vm";

/// A program in the vm.
pub struct Machine {
    vm: Vm,
    maps: Vec<Map>,
}

impl Machine {
    /// Loads a program of an object. [`LabError::Refused`] with the vm's words, which name the instruction or the map.
    pub fn new(object: &Object, program: &str, maps: &[Map]) -> Result<Self, LabError> {
        let vm = Vm::load(object, program).map_err(refused)?;
        Ok(Self { vm, maps: maps.to_vec() })
    }
}

impl Machine {
    fn map(&self, position: usize) -> Option<&crate::vm::Map> {
        self.vm.map(&self.maps[position].name)
    }
}

impl Engine for Machine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, frame: &Frame) -> Result<Outcome, LabError> {
        let returned = self.vm.run(&frame.bytes, frame.time_ns).map_err(refused)?;
        #[expect(clippy::cast_possible_truncation, reason = "a return code is 32 bits")]
        let returned = returned as u32;
        Ok(Outcome { returned, packet: self.vm.packet().to_vec(), ..Outcome::default() })
    }

    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError> {
        Ok(self.map(map).and_then(|map| map.lookup(key)).map(<[u8]>::to_vec))
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        let entries = self.map(map).into_iter().flat_map(crate::vm::Map::entries);
        let mut entries: Vec<_> = entries.map(|(key, value)| (key, value.to_vec())).collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn entries_count(&self, map: usize) -> Option<usize> {
        self.map(map).map(crate::vm::Map::len)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: crate::vm::VmError) -> LabError {
    LabError::Refused { engine: NAME.to_owned(), reason: error.to_string() }
}
