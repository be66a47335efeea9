//! The kernel's verifier: what it says of a program, as numbers, and as an explanation where it says no.
//!
//! ```text
//! Program -> kernel::Loaded::load, with its log -> statistic, path, rule -> Report
//! ```
//!
//! Not here: how a report is shown.

mod job;
mod path;
mod rule;
mod statistic;

pub use job::{Job, Row};
pub use path::Step;
pub use rule::{RULES, Rule};
pub use statistic::Statistics;

use crate::bpf::{Object, Program};
use crate::kernel::{KernelError, Loader, Log, Rejection, syscall};
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

/// Why the kernel did not take a program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// The kernel's error number.
    pub errno: i32,
    /// The verifier's message, as it stands in the log.
    pub message: String,
    /// The rule that was broken, in a sentence; `None` for a message not in [`RULES`].
    pub rule: Option<String>,
    /// What usually helps.
    pub remedy: Option<String>,
    /// The instruction it stopped at.
    pub instruction: Option<usize>,
    /// That instruction as the log shows it.
    pub text: String,
    /// The source line: file, line, column, text.
    pub source: Option<(String, u32, u32, String)>,
    /// What the registers that the instruction names held, in words.
    pub registers: Vec<(String, String)>,
    /// The branches that led there, from the program's start.
    pub branches: Vec<Step>,
}

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
        Err(mut rejection) => {
            report.load_us = micros(rejection.load_time);
            if !full && let Err(again) = loaded.load(program, Log::Full)? {
                rejection = again;
            }
            report.accepted = false;
            report.read(program, &rejection.log);
            report.refusal = Some(refusal(program, &rejection));
            report.longest_path = Some(path::walk(&rejection.log).longest);
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

fn refusal(program: &Program, rejection: &Rejection) -> Refusal {
    let walk = path::walk(&rejection.log);
    let message = walk.message.clone();
    let rule = rule::find(&rejection.log, &message);
    let source = walk.instruction.and_then(|instruction| program.line(instruction));
    Refusal {
        errno: rejection.error.raw_os_error().unwrap_or(0),
        rule: rule.map(|rule| rule.rule.to_owned()),
        remedy: rule.map(|rule| rule.remedy.to_owned()),
        registers: walk.registers(),
        branches: walk.branches(program),
        instruction: walk.instruction,
        text: walk.text.clone(),
        source: source.map(|line| (line.file.clone(), line.line, line.column, line.text.clone())),
        message,
    }
}
