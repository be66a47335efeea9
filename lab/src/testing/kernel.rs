//! Kernels: the one that runs, and Debian's in QEMU.

use std::cell::RefCell;
use std::rc::Rc;

use super::lab::left_out;
use super::{Error, Result};
use crate::bpf::{Hook, Job};
use crate::guest::message::{Reply, Request};
use crate::guest::program::Program;
use crate::guest::{Fleet, GuestError, Line, Machine};
use crate::lab::Engine;
use crate::verifier::{self, Report};

/// A kernel to run and verify programs in: the [running](Self::running) one, or one of those that [`kernels`] boots.
///
/// ```
/// assert_eq!(treeline_lab::Kernel::running().name(), "kernel");
/// ```
#[derive(Debug, Clone)]
pub struct Kernel(Option<Rc<RefCell<Machine>>>);

/// Boots the newest of each of these series of Debian's kernels in QEMU, which needs no privileges (docs/kernels.md). One that cannot be had is
/// left out and told of; where the environment has `CI`, it is an error.
///
/// ```no_run
/// # fn main() -> treeline_lab::Result {
/// for kernel in treeline_lab::kernels(&["5.10", "6.12", "7.x"])? {
///     println!("{}", kernel.name());
/// }
/// # Ok(())
/// # }
/// ```
pub fn kernels(series: &[&str]) -> Result<Vec<Kernel>> {
    let lines: Vec<Line> = series.iter().map(|series| series.parse()).collect::<std::result::Result<_, GuestError>>()?;
    let fleet = match Fleet::boot(&lines, None, &mut |step| eprintln!("treeline-lab: {step}")) {
        Ok(fleet) => fleet,
        Err(error) => {
            left_out(&error.to_string())?;
            return Ok(Vec::new());
        }
    };
    fleet.skipped.iter().try_for_each(|reason| left_out(reason))?;
    Ok(fleet.machines.into_iter().map(|machine| Kernel(Some(machine))).collect())
}

impl Kernel {
    /// The kernel that runs, which wants the right to load programs.
    #[must_use]
    pub fn running() -> Self {
        Self(None)
    }

    /// Its name in reports: `kernel`, `kernel@6.1`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0 {
            Some(machine) => format!("{}@{}", crate::kernel::NAME, machine.borrow().line()),
            None => crate::kernel::NAME.to_owned(),
        }
    }

    /// The program in it; a lab has the running one's anyway.
    pub(super) fn engine(&self, hook: Hook, job: &Job) -> Result<Option<Box<dyn Engine>>> {
        match &self.0 {
            Some(machine) => Ok(Some(Box::new(Program::new(machine.clone(), hook, job)?))),
            None => Ok(None),
        }
    }

    pub(super) fn verify(&self, job: &Job) -> Result<Verification> {
        let failed = |reason: String| Error::Verifier { kernel: self.name(), reason };
        let Job { elf, options, program } = job.clone();
        let job = verifier::Job { elf, options, program: Some(program), full: false };
        let rows = match &self.0 {
            None => job.run().map_err(failed)?,
            Some(machine) => match machine.borrow_mut().ask(&Request::Verify(job))? {
                Reply::Verified(rows) => rows,
                _ => return Err(failed("it answered something else".to_owned())),
            },
        };
        match rows.into_iter().next() {
            Some(Ok(report)) => Ok(Verification(report)),
            Some(Err(unloaded)) => Err(failed(unloaded.reason)),
            None => Err(failed("it answered nothing".to_owned())),
        }
    }
}

/// What a verifier said of a program.
///
/// ```no_run
/// # fn main() -> treeline_lab::Result {
/// # use treeline_lab::{Kernel, Object};
/// let lab = Object::open("filter.bpf.o")?.program("filter")?.load()?;
/// println!("{}", lab.verify(&Kernel::running())?.accepted().cost());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Verification(Report);

impl Verification {
    /// Panics if the program was rejected, with the verifier's message, the instruction and the source line.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "an assertion")]
    pub fn accepted(self) -> Self {
        assert!(self.0.accepted, "{}", self.cost());
        self
    }

    /// What verification took, in one line that is the same in every run: for a snapshot.
    #[must_use]
    pub fn cost(&self) -> String {
        let Report { program, statistics, stacks, refusal, .. } = &self.0;
        if let Some(refusal) = refusal {
            let rule = refusal.name.as_deref().unwrap_or("unknown");
            let place = refusal.source.as_ref().map(|(file, line, _, text)| format!("\n  {file}:{line}: {}", text.trim()));
            let instruction = refusal.instruction.map(|at| format!(", instruction {at}")).unwrap_or_default();
            return format!("{program}: rejected [{rule}]{instruction}: {}{}", refusal.message, place.unwrap_or_default());
        }
        let stack: u32 = stacks.iter().map(|(_, bytes)| bytes).sum();
        let (instructions, states, peak) = (statistics.instructions, statistics.states, statistics.peak_states);
        format!("{program}: {instructions} instructions processed, {states} total states, {peak} peak states, {stack} bytes of stack")
    }

    /// All of it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0
    }
}
