//! A program to load, as it can be told to another kernel.

use serde::{Deserialize, Serialize};

use super::{Object, ObjectError, ReadOptions};

/// A program of an object. It is read where it is loaded: CO-RE wants that kernel's types.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// The ELF file's bytes.
    pub elf: Vec<u8>,
    /// How it is read.
    pub options: ReadOptions,
    /// The program's name.
    pub program: String,
}

impl Job {
    /// Reads the object.
    pub fn read(&self) -> Result<Object, ObjectError> {
        Object::parse(&self.elf, &self.options)
    }
}
