//! Request -> reply: the jobs.

use treeline_sim::Frame;
use treeline_sim::cause::explain;
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::{Engine, EngineError, Settings};
use treeline_sim::guest::message::{Reply, Request, Verdict};

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
            Request::Open(settings) => self.open(&settings),
            Request::Swap(settings) => match &mut self.classifier {
                Some(classifier) => {
                    let swapped = classifier.swap(&Settings { unlocked: self.unlocked, ..settings });
                    swapped.map_or_else(|error| refused(&error), |()| Reply::Opened { notices: vec![] })
                }
                None => Reply::Refused("no classifier is loaded".to_owned()),
            },
            Request::Frames(frames) => match &mut self.classifier {
                Some(classifier) => Reply::Judged(judge(classifier, &mut self.frames, frames)),
                None => Reply::Refused("no classifier is loaded".to_owned()),
            },
            Request::Program(request) => self.program.answer(request).map_or_else(Reply::Refused, Reply::Program),
            Request::Verify(job) => job.run().map_or_else(Reply::Refused, Reply::Verified),
        }
    }

    fn open(&mut self, settings: &Settings) -> Reply {
        // The memory of the one before, first.
        self.classifier = None;
        self.frames = 0;
        match Kernel::new(&Settings { unlocked: self.unlocked, ..settings.clone() }) {
            Ok(classifier) => self.classifier = Some(classifier),
            Err(error) => return refused(&error),
        }
        let notice =
            "this kernel has no compare-and-exchange: the object is loaded without its flow lock, right on the guest's one CPU only";
        Reply::Opened { notices: if self.unlocked { vec![notice.to_owned()] } else { vec![] } }
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

fn refused(error: &EngineError) -> Reply {
    Reply::Refused(match error {
        EngineError::Unavailable { reason, .. } => reason.clone(),
        error => explain(error),
    })
}
