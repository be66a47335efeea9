//! Any program in this kernel: question -> answer.

use treeline_lab::Frame;
use treeline_lab::guest::message::{ProgramReply, ProgramRequest, Ran};
use treeline_lab::lab::map::{Map, Way};
use treeline_lab::lab::{self, Engine, LabError, kernel};

/// The program that is loaded.
#[derive(Default)]
pub struct Program {
    machine: Option<kernel::Machine>,
    maps: Vec<Map>,
}

impl Program {
    /// Does what is asked; the error is the reason why not.
    pub fn answer(&mut self, request: ProgramRequest) -> Result<ProgramReply, String> {
        if let ProgramRequest::Open(job) = request {
            // The memory of the one before, first.
            self.machine = None;
            let (object, machine) = kernel::Machine::of(&job).map_err(|error| reason(&error))?;
            self.maps = lab::Machine::maps(&object);
            self.machine = Some(machine);
            return Ok(ProgramReply::Done);
        }
        let machine = self.machine.as_mut().ok_or("no program is loaded")?;
        let is_there = |map: usize| if map < self.maps.len() { Ok(map) } else { Err(format!("there is no map {map}")) };
        match request {
            ProgramRequest::Open(_) => Ok(ProgramReply::Done),
            ProgramRequest::Fill { map, entry: (key, value) } => {
                machine.fill(is_there(map)?, &key, &value).map(|()| ProgramReply::Done).map_err(|error| reason(&error))
            }
            ProgramRequest::Run { time_ns, bytes } => {
                let ran = run(machine, &self.maps, time_ns, bytes).map_err(|error| reason(&error))?;
                Ok(ProgramReply::Ran(Box::new(ran)))
            }
            ProgramRequest::Value { map, key } => {
                machine.value(is_there(map)?, &key).map(ProgramReply::Value).map_err(|error| reason(&error))
            }
            ProgramRequest::Entries { map } => machine.entries(is_there(map)?).map(ProgramReply::Entries).map_err(|error| reason(&error)),
        }
    }
}

fn run(machine: &mut kernel::Machine, maps: &[Map], time_ns: u64, bytes: Vec<u8>) -> Result<Ran, LabError> {
    let frame = Frame { time_ns, bytes, ..Frame::default() };
    let mut ran = Ran { outcome: machine.run(&frame)?, ..Ran::default() };
    for (position, map) in maps.iter().enumerate() {
        match map.way() {
            Way::Entries if map.is_small() => ran.entries.push((position, machine.entries(position)?)),
            Way::Queue => ran.next.push((position, machine.value(position, &[])?)),
            _ => {}
        }
    }
    Ok(ran)
}

fn reason(error: &LabError) -> String {
    match error {
        LabError::Unavailable { reason, .. } | LabError::Refused { reason, .. } => reason.clone(),
        error => error.to_string(),
    }
}
