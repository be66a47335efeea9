//! What a program did with one packet.

use crate::bpf::Hook;
use crate::lab::difference::hex;
use crate::lab::{Outcome, verdict};

/// What the program did with a packet, the same in every engine.
///
/// ```
/// # fn main() -> treeline_lab::Result {
/// # use treeline_lab::{Object, xdp};
/// let mut lab = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?.load()?;
/// let run = lab.run([0; 60])?.expect(xdp::PASS).unchanged();
/// assert_eq!((run.returned(), run.packet().len()), (xdp::PASS, 60));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Run {
    program: String,
    hook: Hook,
    given: Vec<u8>,
    outcome: Outcome,
}

impl Run {
    pub(super) fn new(program: &str, hook: Hook, given: &[u8], outcome: Outcome) -> Self {
        Self { program: program.to_owned(), hook, given: given.to_vec(), outcome }
    }

    /// Panics unless the program returned this: a constant of [`xdp`](crate::xdp) or [`tc`](crate::tc), of a socket filter the bytes that it
    /// keeps.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "an assertion")]
    pub fn expect(self, verdict: u32) -> Self {
        let name = |code| verdict::name(self.hook, code);
        let (returned, expected) = (name(self.outcome.returned), name(verdict));
        assert!(
            self.outcome.returned == verdict,
            "{} returned {returned}, expected {expected}\n  the packet: {}",
            self.program,
            hex(&self.given)
        );
        self
    }

    /// Panics if the program changed the packet.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "an assertion")]
    pub fn unchanged(self) -> Self {
        let (before, after) = (hex(&self.given), hex(&self.outcome.packet));
        assert!(self.given == self.outcome.packet, "{} changed the packet\n  before: {before}\n  after:  {after}", self.program);
        self
    }

    /// What the program returned.
    #[must_use]
    pub fn returned(&self) -> u32 {
        self.outcome.returned
    }

    /// The packet afterwards.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.outcome.packet
    }

    /// All that was compared: metadata, fields of the context, records sent; and what only the VM shows.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}
