//! Request -> reply: the jobs.

use treeline_lab::Frame;
use treeline_lab::cause::explain;
use treeline_lab::guest::message::{Reply, Request};
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::remote::message::{self, Verdict};
use treeline_sim::engine::{Engine, EngineError, Settings};

use crate::program::Program;

/// The first release with atomic operations that return something.
const FETCHING: (u32, u32) = (5, 12);

/// What lasts from one job to the next.
pub struct Session {
    classifier: Option<Kernel>,
    /// Frames judged since it was loaded: the next one's index.
    frames: u64,
    unlocked: bool,
    program: Program,
}

impl Session {
    /// One on the kernel of this release.
    pub fn new(release: &str) -> Self {
        let mut numbers = release.split('.').map(|number| number.parse().unwrap_or_default());
        let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        Self { classifier: None, frames: 0, unlocked: version < FETCHING, program: Program::default() }
    }

    /// Does a job.
    pub fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Other(bytes) => match message::Request::from_bytes(&bytes) {
                Ok(request) => self.classifier(request).map_or_else(Reply::Refused, |reply| Reply::Other(reply.to_bytes())),
                Err(error) => Reply::Refused(error.to_string()),
            },
            Request::Program(request) => self.program.answer(request).map_or_else(Reply::Refused, Reply::Program),
            Request::Verify(job) => job.run().map_or_else(Reply::Refused, Reply::Verified),
        }
    }

    fn classifier(&mut self, request: message::Request) -> Result<message::Reply, String> {
        match request {
            message::Request::Open(settings) => self.open(&settings),
            message::Request::Swap(settings) => {
                let classifier = self.classifier.as_mut().ok_or("no classifier is loaded")?;
                classifier.swap(&Settings { unlocked: self.unlocked, ..settings }).map_err(|error| refused(&error))?;
                Ok(message::Reply::Opened { notices: vec![] })
            }
            message::Request::Frames(frames) => {
                let classifier = self.classifier.as_mut().ok_or("no classifier is loaded")?;
                Ok(message::Reply::Judged(judge(classifier, &mut self.frames, frames)))
            }
        }
    }

    fn open(&mut self, settings: &Settings) -> Result<message::Reply, String> {
        // The memory of the one before, first.
        self.classifier = None;
        self.frames = 0;
        let classifier = Kernel::new(&Settings { unlocked: self.unlocked, ..settings.clone() }).map_err(|error| refused(&error))?;
        self.classifier = Some(classifier);
        let notice =
            "this kernel has no compare-and-exchange: the object is loaded without its flow lock, right on the guest's one CPU only";
        Ok(message::Reply::Opened { notices: if self.unlocked { vec![notice.to_owned()] } else { vec![] } })
    }
}

fn judge(classifier: &mut Kernel, index: &mut u64, frames: Vec<(u64, Vec<u8>)>) -> Vec<Verdict> {
    let one = |(time_ns, bytes)| {
        let frame = Frame { index: *index, time_ns, bytes, ..Frame::default() };
        *index += 1;
        match classifier.judge(&frame) {
            Ok(observation) => Verdict::Seen(Box::new(observation)),
            Err(EngineError::Untaken { reason, .. }) => Verdict::Untaken(reason.to_owned()),
            Err(error) => Verdict::Failed(explain(&error)),
        }
    };
    frames.into_iter().map(one).collect()
}

fn refused(error: &EngineError) -> String {
    match error {
        EngineError::Unavailable { reason, .. } => reason.clone(),
        error => explain(error),
    }
}
