//! A whole object verified: what is asked, so that it can be asked of another kernel, and the answer.

use super::{Report, rule, verify};
use crate::bpf::{InstructionPlace, Object, ObjectError, ReadOptions};
use crate::cause::explain;
use crate::kernel::KernelError;

use serde::{Deserialize, Serialize};

/// One program's report, or why it could not be loaded.
pub type Row = Result<Report, Unloaded>;

/// A program that the verifier never saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unloaded {
    /// Its name.
    pub program: String,
    /// Its section.
    pub section: String,
    /// Why.
    pub reason: String,
    /// The name of the rule that the verifier would have named.
    pub rule: Option<String>,
    /// The instruction, where it is one.
    pub place: Option<InstructionPlace>,
}

impl Unloaded {
    fn of(error: &ObjectError) -> Self {
        let (section, reason, place) = match error {
            ObjectError::Program { section, reason, .. } => (section.clone(), reason.clone(), None),
            ObjectError::Instruction { section, reason, place, .. } => (section.clone(), reason.clone(), Some((**place).clone())),
            other => (String::new(), other.to_string(), None),
        };
        let rule = rule::find(&reason).filter(|_| place.is_some()).map(|rule| rule.name.to_owned());
        Self { program: error.program().unwrap_or_default().to_owned(), section, reason, rule, place }
    }
}

/// An object to verify. It is read where it is verified: CO-RE wants that kernel's types.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// The ELF file's bytes.
    pub elf: Vec<u8>,
    /// How it is read.
    pub options: ReadOptions,
    /// Only this program.
    pub program: Option<String>,
    /// With the whole log and the longest path.
    pub full: bool,
}

impl Job {
    /// Has the running kernel do it. The error says why nothing was verified.
    pub fn run(&self) -> Result<Vec<Row>, String> {
        let object = Object::parse(&self.elf, &self.options).map_err(|error| explain(&error))?;
        let is_asked = |name: Option<&str>| self.program.is_none() || name == self.program.as_deref();
        let mut rows: Vec<Row> = Vec::new();
        for program in object.programs().iter().filter(|program| is_asked(Some(&program.name))) {
            rows.push(match verify(&object, program, self.full) {
                Ok(report) => Ok(report),
                // Nothing else would go better.
                Err(error @ KernelError::Right { .. }) => {
                    return Err(format!("{}; other kernels need no privileges: --engine kernel@6.1,kernel@7.x", explain(&error)));
                }
                Err(error) => Err(Unloaded {
                    program: program.name.clone(),
                    section: program.section.clone(),
                    reason: explain(&error),
                    rule: None,
                    place: None,
                }),
            });
        }
        for refused in object.refused().iter().filter(|refused| is_asked(refused.program())) {
            rows.push(Err(Unloaded::of(refused)));
        }
        if let Some(program) = self.program.as_ref().filter(|_| rows.is_empty()) {
            object.program(program).map_err(|error| explain(&error))?;
        }
        Ok(rows)
    }
}
