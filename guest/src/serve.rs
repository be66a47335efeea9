//! Request -> reply: the jobs.

use treeline_lab::guest::message::{Reply, Request};
use treeline_lab::kernel::instance::{Host, Local};

use crate::program::Program;

/// What lasts from one job to the next.
#[derive(Default)]
pub struct Session {
    instance: Local,
    program: Program,
}

impl Session {
    /// Does a job.
    pub fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Instance(request) => {
                self.instance.ask(&request).map_or_else(|error| Reply::Refused(error.to_string()), Reply::Instance)
            }
            Request::Program(request) => self.program.answer(request).map_or_else(Reply::Refused, Reply::Program),
            Request::Verify(job) => job.run().map_or_else(Reply::Refused, Reply::Verified),
        }
    }
}
