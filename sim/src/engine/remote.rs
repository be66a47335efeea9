//! The classifier in a guest's kernel, as an engine like the others: `kernel@6.1`.
//!
//! A replay's batch crosses at once; frames that were not announced cross one by one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use treeline_lab::guest::{GuestError, Machine};
use treeline_lab::{Frame, cause};

use self::message::{Reply, Request, Verdict};
use super::{Engine, EngineError, Observation, Settings, clipped, kernel};

pub mod message;
mod wire;

/// The engine.
#[derive(Debug)]
pub struct Remote {
    name: &'static str,
    machine: Rc<RefCell<Machine>>,
    /// Verdicts that came with a batch, with their frames' indices.
    ready: VecDeque<(u64, Verdict)>,
    notices: Vec<String>,
}

impl Remote {
    /// Loads the classifier in a guest. It takes the place of one that was loaded there before, whose engine is then of no more use.
    pub fn new(machine: Rc<RefCell<Machine>>, settings: &Settings) -> Result<Self, EngineError> {
        let name = interned(format!("{}@{}", kernel::NAME, machine.borrow().line()));
        let mut engine = Self { name, machine, ready: VecDeque::new(), notices: vec![] };
        let reply = engine.ask(&Request::Open(settings.clone()));
        match reply.map_err(|error| EngineError::Unavailable { engine: name, reason: cause::explain(&error) })? {
            Reply::Opened { notices } => engine.notices = notices,
            Reply::Judged(_) => return Err(EngineError::Unavailable { engine: name, reason: "it answered something else".to_owned() }),
        }
        Ok(engine)
    }

    /// A line for each thing that is otherwise than on a newer kernel.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    fn ask(&self, request: &Request) -> Result<Reply, GuestError> {
        use treeline_lab::guest::message::{Reply as Carrier, Request as Carried};
        let mut machine = self.machine.borrow_mut();
        let odd = |reason: String| GuestError::Refused { kernel: self.name.to_owned(), reason };
        match machine.ask(&Carried::Other(request.to_bytes()))? {
            Carrier::Other(bytes) => Reply::from_bytes(&bytes).map_err(|error| odd(error.to_string())),
            _ => Err(odd("it answered something else".to_owned())),
        }
    }

    fn send(&mut self, frames: &[Frame]) -> Result<(), EngineError> {
        let first = frames.first().map_or(0, |frame| frame.index);
        let failed = |reason| EngineError::Failed { engine: self.name, frame: first, reason };
        let sent = frames.iter().map(|frame| (frame.time_ns, clipped(frame).to_vec())).collect();
        let reply = self.ask(&Request::Frames(sent)).map_err(|error| failed(cause::explain(&error)))?;
        match reply {
            Reply::Judged(verdicts) if verdicts.len() == frames.len() => {
                self.ready.extend(frames.iter().map(|frame| frame.index).zip(verdicts));
                Ok(())
            }
            _ => Err(failed("it answered something else".to_owned())),
        }
    }
}

impl Engine for Remote {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self, frames: &[Frame]) -> Result<(), EngineError> {
        if frames.is_empty() { Ok(()) } else { self.send(frames) }
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        if self.ready.is_empty() {
            self.send(std::slice::from_ref(frame))?;
        }
        let (engine, frame) = (self.name, frame.index);
        match self.ready.pop_front() {
            Some((index, Verdict::Seen(observation))) if index == frame => Ok(*observation),
            Some((index, Verdict::Untaken(reason))) if index == frame => {
                Err(EngineError::Untaken { engine, frame, reason: interned(reason) })
            }
            Some((index, Verdict::Failed(reason))) if index == frame => Err(EngineError::Failed { engine, frame, reason }),
            _ => Err(EngineError::Failed { engine, frame, reason: "frames came in another order than announced".to_owned() }),
        }
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        assert!(self.ready.is_empty(), "{} announced frames are still to be judged", self.ready.len());
        let reply = self.ask(&Request::Swap(settings.clone()));
        reply.map(drop).map_err(|error| EngineError::Unavailable { engine: self.name, reason: cause::explain(&error) })
    }
}

/// The text, for as long as the program runs: there are as many as lines of kernels and reasons for which a frame is not taken.
fn interned(text: String) -> &'static str {
    thread_local! {
        static TEXTS: RefCell<Vec<&'static str>> = const { RefCell::new(vec![]) };
    }
    TEXTS.with_borrow_mut(|texts| {
        texts.iter().find(|known| **known == text).copied().unwrap_or_else(|| {
            texts.push(text.leak());
            texts[texts.len() - 1]
        })
    })
}
