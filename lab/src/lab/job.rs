//! A program to run, as it can be told to another kernel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LabError, kernel};
use crate::bpf::{Kind, Object};
use crate::vm::Options;

/// A program of an object. It is read where it runs: CO-RE wants that kernel's types.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// The ELF file's bytes.
    pub elf: Vec<u8>,
    /// Global variables to set, as in [`Options::globals`].
    pub globals: BTreeMap<String, Vec<u8>>,
    /// Numbers of entries to give to maps, as in [`Options::map_max_entries`].
    pub map_max_entries: BTreeMap<String, u32>,
    /// As [`Options::kind`].
    pub kind: Option<Kind>,
    /// The program's name.
    pub program: String,
}

impl Job {
    /// Loads it into the running kernel.
    pub fn load(&self) -> Result<(Object, kernel::Machine), LabError> {
        let (globals, map_max_entries) = (self.globals.clone(), self.map_max_entries.clone());
        let options = Options { globals, map_max_entries, kind: self.kind, ..Options::default() };
        let object = Object::parse(&self.elf, &options);
        let object = object.map_err(|error| LabError::Refused { engine: kernel::NAME.to_owned(), reason: error.to_string() })?;
        let machine = kernel::Machine::new(&object, &self.program)?;
        Ok((object, machine))
    }
}
