//! Programs of one object over one set of maps, loaded by name, run and timed: what a bench or a test holds.

use std::os::fd::AsFd;
use std::time::Duration;

use super::map::Entries;
use super::run::repeated;
use super::{KernelError, Loaded, LoadedProgram, Loader, Log};
use crate::bpf::Object;

/// An object's maps, and those of its programs that were loaded.
#[derive(Debug)]
pub struct Programs {
    object: Object,
    loaded: Loaded,
    ready: Vec<LoadedProgram>,
}

impl Programs {
    /// Creates the object's maps.
    pub fn new(object: Object) -> Result<Self, KernelError> {
        let loaded = Loader::new(&object).allow_lost_exclusion(true).create()?;
        Ok(Self { object, loaded, ready: Vec::new() })
    }

    /// Loads a program, unless it is. What the verifier refuses is a [`KernelError::Rejected`], with the log of that.
    pub fn load(&mut self, name: &str) -> Result<&LoadedProgram, KernelError> {
        self.load_logged(name, Log::Statistics)
    }

    /// The same with a log of this kind of a program that is refused; one that is not has none, which saves time.
    pub fn load_logged(&mut self, name: &str, log: Log) -> Result<&LoadedProgram, KernelError> {
        if let Some(place) = self.ready.iter().position(|program| program.name == name) {
            return Ok(&self.ready[place]);
        }
        let program = self.object.program(name)?;
        let loaded = match self.loaded.load(program, Log::None)? {
            Ok(loaded) => Ok(loaded),
            Err(_) => self.loaded.load(program, log)?,
        };
        self.ready.push(loaded.map_err(|rejection| KernelError::Rejected { program: name.to_owned(), rejection: Box::new(rejection) })?);
        Ok(&self.ready[self.ready.len() - 1])
    }

    /// A loaded program.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&LoadedProgram> {
        self.ready.iter().find(|program| program.name == name)
    }

    /// A map's entries, of a per-CPU map those of CPU 0.
    pub fn entries(&self, map: &str) -> Result<Entries, KernelError> {
        let missing = || KernelError::Definition { map: map.to_owned(), reason: "the object has no such map".to_owned() };
        let found = self.loaded.map(map).ok_or_else(missing)?;
        found.entries().map_err(|error| KernelError::map(map, "read its entries", error))
    }

    /// The object's maps.
    #[must_use]
    pub fn maps(&self) -> &Loaded {
        &self.loaded
    }

    /// Runs a loaded program `repeat` times over the same bytes: what it returned at last, and the mean time of a run.
    pub fn run(&self, name: &str, bytes: &[u8], repeat: u32) -> Result<(u32, Duration), KernelError> {
        let program = self.program(name).ok_or_else(|| KernelError::NotLoaded { program: name.to_owned() })?;
        repeated(program.fd.as_fd(), bytes, repeat).map_err(|source| KernelError::Run { program: name.to_owned(), source })
    }
}
