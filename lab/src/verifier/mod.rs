//! The kernel's verifier: what it says of a program, as numbers, and as an explanation where it says no.
//!
//! ```text
//! Program -> kernel::Loaded::load, with its log -> statistic, diagnosis, path, state, loss, rule -> Report
//! ```
//!
//! Not here: how a report is shown.

mod diagnosis;
mod effect;
mod job;
mod loss;
mod path;
mod place;
mod refusal;
mod rule;
mod state;
mod statistic;

pub use diagnosis::Diagnosis;
pub use job::{Job, Row, Unloaded};
pub use path::{Source, Step};
pub use refusal::{Cause, Refusal};
pub use rule::{Rule, find, rules};
pub use statistic::Statistics;

use crate::bpf::{Object, Program};
use crate::kernel::{KernelError, Loader, Log, syscall};
use serde::{Deserialize, Serialize};

use std::os::fd::AsFd;

/// What the verifier said of one program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The program.
    pub program: String,
    /// Its section.
    pub section: String,
    /// Its length in 8-byte slots.
    pub program_instructions: usize,
    /// Whether the kernel took it.
    pub accepted: bool,
    /// The verifier's statistics, as far as its log has them.
    pub statistics: Statistics,
    /// Name and bytes of stack of each function, as the verifier numbers them.
    pub stacks: Vec<(String, u32)>,
    /// The whole system call in microseconds, the verifier and the compiler in it.
    pub load_us: u64,
    /// Bytes of machine code, 0 without a compiler.
    pub jited_bytes: u32,
    /// Bytes of instructions as the kernel rewrote them.
    pub xlated_bytes: u32,
    /// Instructions on the longest path that the full log shows, of those the verifier walked: a path that met a state already seen ends there.
    pub longest_path: Option<usize>,
    /// Why not.
    pub refusal: Option<Refusal>,
    /// What was changed in the program for this kernel.
    pub notices: Vec<String>,
    /// The log, where it was asked for or the program was refused.
    pub log: Option<String>,
}

/// What CO-RE did not find, of a program that the verifier refused for it; `None` for another refusal. `log` may be the message alone.
#[must_use]
pub fn unrelocated(program: &Program, log: &str) -> Option<String> {
    let is_it = rule::find(log).is_some_and(|rule| rule.name == CORE_RELOCATION) && !program.unrelocated.is_empty();
    let missing = program.unrelocated.iter().map(|(instruction, missing)| format!("instruction {instruction}, {missing}"));
    is_it.then(|| format!("an invalid CO-RE relocation: {}", missing.collect::<Vec<_>>().join("; ")))
}

/// The name of its rule.
const CORE_RELOCATION: &str = "core-relocation";

/// Log for each instruction verified, as a guess.
const INSTRUCTION_LOG_BYTES: usize = 256;
/// The log of a refused program, where the whole was not asked for: since 6.4 the kernel keeps the end, which tells most.
const LOG_BYTES_MAX: usize = 1 << 24;

/// Loads a program, over maps of its own, and reports. `full`: with the whole log and the longest path, which costs time.
pub fn verify(object: &Object, program: &Program, full: bool) -> Result<Report, KernelError> {
    let loaded = Loader::new(object).allow_lost_exclusion(true).create_for(program)?;
    let level = if full { Log::Full } else { Log::Statistics };
    let mut report = Report {
        program: program.name.clone(),
        section: program.section.clone(),
        program_instructions: program.instructions.len(),
        accepted: true,
        statistics: Statistics::default(),
        stacks: Vec::new(),
        load_us: 0,
        jited_bytes: 0,
        xlated_bytes: 0,
        longest_path: None,
        refusal: None,
        notices: Vec::new(),
        log: None,
    };
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match loaded.load(program, level)? {
        Ok(accepted) => {
            report.load_us = micros(accepted.load_time);
            if let Ok(info) = syscall::program_info(accepted.fd.as_fd()) {
                (report.jited_bytes, report.xlated_bytes) = (info.jited_prog_len, info.xlated_prog_len);
            }
            report.read(program, &accepted.log);
            report.notices = accepted.notices;
            if full {
                report.longest_path = Some(path::walk(&accepted.log).longest);
                report.log = Some(accepted.log);
            }
        }
        Err(first) => {
            report.load_us = micros(first.load_time);
            // Statistics alone come with the message, too.
            let message = path::walk(&first.log).message;
            let (statistics, _) = statistic::read(&first.log);
            let bytes = usize::try_from(statistics.instructions).unwrap_or(usize::MAX).saturating_mul(INSTRUCTION_LOG_BYTES);
            let bytes = bytes.clamp(1 << 18, LOG_BYTES_MAX);
            let again = if full { None } else { loaded.load_within(program, Log::Full, bytes, LOG_BYTES_MAX)?.err() };
            let rejection = again.unwrap_or(first);
            report.accepted = false;
            report.read(program, &rejection.log);
            let walk = path::walk(&rejection.log);
            report.longest_path = Some(walk.longest);
            report.refusal = Some(Refusal::new(program, &rejection, walk, &message));
            report.notices = rejection.notices;
            report.log = Some(rejection.log);
        }
    }
    Ok(report)
}

impl Report {
    fn read(&mut self, program: &Program, log: &str) {
        let (statistics, stacks) = statistic::read(log);
        self.statistics = statistics;
        let name =
            |index: usize| program.functions.get(index).map_or_else(|| format!("function {index}"), |function| function.name.clone());
        self.stacks = stacks.into_iter().enumerate().map(|(index, bytes)| (name(index), bytes)).collect();
    }
}
