//! Any program in a guest's kernel, as an engine of the lab like the others: `kernel@6.1`.
//!
//! A packet crosses with one message and comes back with what is compared after every packet. Not here: the classifier there (`engine`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::message::{ProgramReply, ProgramRequest, Ran, Reply, Request};
use super::{GuestError, Machine};
use crate::Frame;
use crate::bpf::Job;
use crate::cause::explain;
use crate::kernel::run::takes;
use crate::lab::{Engine, Entry, LabError, Outcome, kernel};
use crate::vm::Hook;

/// The engine.
pub struct Program {
    name: String,
    hook: Hook,
    machine: Rc<RefCell<Machine>>,
    /// What came with the last run.
    entries: HashMap<usize, Vec<Entry>>,
    next: HashMap<usize, Option<Vec<u8>>>,
}

impl Program {
    /// Loads a program in a guest, with fresh maps. It takes the place of one that was loaded there before, whose engine is then of no more use.
    pub fn new(machine: Rc<RefCell<Machine>>, hook: Hook, job: &Job) -> Result<Self, LabError> {
        let name = format!("{}@{}", kernel::NAME, machine.borrow().line());
        let mut program = Self { name, hook, machine, entries: HashMap::new(), next: HashMap::new() };
        program.done(ProgramRequest::Open(job.clone()))?;
        Ok(program)
    }

    fn ask(&mut self, request: ProgramRequest) -> Result<ProgramReply, LabError> {
        let reply = self.machine.borrow_mut().ask(&Request::Program(request));
        match reply {
            Ok(Reply::Program(reply)) => Ok(reply),
            Ok(_) => Err(self.odd()),
            Err(GuestError::Refused { reason, .. }) => Err(LabError::Refused { engine: self.name.clone(), reason }),
            Err(error) => Err(LabError::Unavailable { engine: self.name.clone(), reason: explain(&error) }),
        }
    }

    fn done(&mut self, request: ProgramRequest) -> Result<(), LabError> {
        match self.ask(request)? {
            ProgramReply::Done => Ok(()),
            _ => Err(self.odd()),
        }
    }

    fn odd(&self) -> LabError {
        LabError::Unavailable { engine: self.name.clone(), reason: "it answered something else".to_owned() }
    }
}

impl Engine for Program {
    fn name(&self) -> &str {
        &self.name
    }

    fn refuses(&self, frame: &Frame) -> Option<&'static str> {
        takes(self.hook, &frame.bytes)
    }

    fn run(&mut self, frame: &Frame) -> Result<Outcome, LabError> {
        let ProgramReply::Ran(ran) = self.ask(ProgramRequest::Run { time_ns: frame.time_ns, bytes: frame.bytes.clone() })? else {
            return Err(self.odd());
        };
        let Ran { outcome, entries, next } = *ran;
        self.entries = entries.into_iter().collect();
        self.next = next.into_iter().collect();
        Ok(outcome)
    }

    fn value(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, LabError> {
        if let Some(next) = self.next.get(&map).filter(|_| key.is_empty()) {
            return Ok(next.clone());
        }
        match self.ask(ProgramRequest::Value { map, key: key.to_vec() })? {
            ProgramReply::Value(value) => Ok(value),
            _ => Err(self.odd()),
        }
    }

    fn entries(&mut self, map: usize) -> Result<Vec<Entry>, LabError> {
        if let Some(entries) = self.entries.get(&map) {
            return Ok(entries.clone());
        }
        match self.ask(ProgramRequest::Entries { map })? {
            ProgramReply::Entries(entries) => Ok(entries),
            _ => Err(self.odd()),
        }
    }

    fn fill(&mut self, map: usize, key: &[u8], value: &[u8]) -> Result<(), LabError> {
        self.entries.remove(&map);
        self.next.remove(&map);
        self.done(ProgramRequest::Fill { map, entry: (key.to_vec(), value.to_vec()) })
    }
}
