//! `treeline bench table1`: the paper's table 1, each alternative in turn within each round.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, thread};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::alternative::{ALL, Alternative, Files, Refusal};
use super::flood::{self, Flood};
use super::lab::{Lab, RECEIVING};
use super::row::{self, Row, Run};
use super::traffic::{self, Server};
use super::{machine, plot};
use crate::output::print;
use crate::read::MODEL;

/// Measure the paper's table 1 again, in network namespaces of its own (needs root, iperf3 and ethtool).
///
/// Hosts h0 and h1 on a switch; iperf3 sends TCP without limit from h0 to h1, and each alternative inspects what arrives at h1's interface:
/// nothing, user space, and the kernel's hooks. They take turns in each round, in another order each time. CPU seconds are the whole
/// machine's (/proc/stat), so leave it alone meanwhile. Ratios to "no IDS" are medians over pairs of the same round. An alternative that
/// cannot run here has a row that says why. XDP on veth switches segmentation offload off in front of it.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// Seconds of traffic a run.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,

    /// One run of 1 s each: to see that it works.
    #[arg(long, conflicts_with_all = ["runs", "seconds"])]
    pub quick: bool,

    /// Segmentation offload: on as in the paper, off for real packets.
    #[arg(long, value_enum, default_value = "both")]
    pub offload: Offload,

    /// Then small packets of so many flows from a generator on one CPU; as 1,100,10000,100000.
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub flows: Vec<u32>,

    /// The model, a JSON file. Default: the one built in.
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<PathBuf>,

    /// Also write every run as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Also draw a plot.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  treeline bench table1 --quick
  treeline bench table1 --offload off --json table1.json --svg table1.svg
  treeline bench table1 --runs 3 --seconds 3 --flows 1,100,10000,100000
  taskset -c 0 treeline bench table1 --offload off                            everything on one processor

It removes its namespaces at the end and on SIGINT and SIGTERM; after kill -9: ip netns list, ip netns del treeline-PID-h0 (-h1, -s).";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Offload {
    /// tso, gso and gro on.
    On,
    /// tso, gso and gro off.
    Off,
    /// One after the other.
    Both,
}

/// A busier machine is warned of.
const LOAD_MAX: f64 = 0.05;
/// After a run, before counters are read.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(100);

/// Measures and prints.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    machine::check()?;
    let (runs, seconds) = if options.quick { (1, 1) } else { (options.runs, options.seconds) };
    for path in [&options.json, &options.svg].into_iter().flatten() {
        write(path, "")?;
    }
    let load = machine::load()?;
    if load > LOAD_MAX {
        eprintln!("treeline: the machine is {:.0} % busy with other things, which CPU seconds and goodput will show", load * 100.0);
    }
    let lab = Lab::new()?;
    let folder = Folder::new()?;
    let files = folder.files(options)?;
    let mut rows = vec![];
    for offload in options.offload.settings() {
        rows.extend(table(&lab, *offload, runs, seconds, &files)?);
    }
    let floods = floods(&lab, options, seconds, &files)?;
    let machine = machine::describe();
    print(&format!(
        "{runs} runs of {seconds} s, alternatives in turn within each; Linux {}, {} x {}; before the first {:.0} % busy with other things\n{}",
        machine["kernel"].as_str().unwrap_or_default(),
        machine["processors"],
        machine["processor"].as_str().unwrap_or_default(),
        load * 100.0,
        row::markdown(&rows)
    ))?;
    if !floods.is_empty() {
        print(&format!("\n### Small packets of many flows, one run of {seconds} s each\n\n{}", flood::markdown(&floods)))?;
    }
    if let Some(path) = &options.json {
        let floods: Vec<_> = floods.iter().map(flood::to_json).collect();
        let report = json!({ "machine": machine, "busy_before": load, "runs": runs, "seconds": seconds, "rows": row::to_json(&rows), "flows": floods });
        write(path, &format!("{report:#}\n"))?;
    }
    if let Some(path) = &options.svg {
        write(path, &plot::svg(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Offload {
    fn settings(self) -> &'static [bool] {
        match self {
            Self::On => &[true],
            Self::Off => &[false],
            Self::Both => &[true, false],
        }
    }
}

/// All alternatives under one setting of offload.
fn table(lab: &Lab, offload: bool, runs: u32, seconds: u32, files: &Files) -> Result<Vec<Row>, String> {
    lab.offload(offload)?;
    let _server = Server::start(lab)?;
    let named = if offload { "on" } else { "off" };
    // Warm-up: not counted.
    traffic::send(lab, 1, false)?;
    let mut rows = ALL.map(|alternative| Row { alternative, offload, runs: vec![], not_available: None });
    for round in 0..runs {
        for turn in 0..rows.len() {
            let index = (turn + round as usize) % rows.len();
            let row = &mut rows[index];
            if row.not_available.is_some() {
                continue;
            }
            eprintln!("treeline: offload {named}, run {} of {runs}: {}", round + 1, row.alternative.name);
            match measure(lab, row.alternative, round, seconds, files) {
                Ok(run) => row.runs.push(run),
                Err(Refusal::NotAvailable(reason)) => row.not_available = Some(reason),
                Err(Refusal::Failed(error)) => return Err(format!("{}: {error}", row.alternative.name)),
            }
        }
    }
    Ok(rows.into())
}

fn measure(lab: &Lab, alternative: Alternative, round: u32, seconds: u32, files: &Files) -> Result<Run, Refusal> {
    let running = alternative.start(lab, RECEIVING, None, files)?;
    let failed = Refusal::Failed;
    let arrived = lab.received(RECEIVING).map_err(failed)?;
    let busy_seconds = machine::busy_seconds().map_err(failed)?;
    let sent = traffic::send(lab, seconds, false).map_err(failed)?;
    let busy_seconds = machine::busy_seconds().map_err(failed)? - busy_seconds;
    thread::sleep(SETTLE);
    let arrived = lab.received(RECEIVING).map_err(failed)? - arrived;
    let inspected = running.stop(lab).map_err(failed)?.unwrap_or_default();
    Ok(Run { round, inspected, arrived, seconds: sent.seconds, busy_seconds, goodput: sent.goodput })
}

fn floods(lab: &Lab, options: &Options, seconds: u32, files: &Files) -> Result<Vec<Flood>, String> {
    let mut floods = vec![];
    for &flows in &options.flows {
        for alternative in flood::ALTERNATIVES {
            eprintln!("treeline: {flows} flows: {}", alternative.name);
            floods.push(flood::measure(lab, alternative, flows, seconds, files)?);
        }
    }
    Ok(floods)
}

/// A folder for the children, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("treeline-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn files(&self, options: &Options) -> Result<Files, String> {
        let model = self.0.join("model.json");
        match &options.model {
            Some(given) => fs::copy(given, &model).map(|_| ()).map_err(|error| format!("{}: {error}", given.display()))?,
            None => write(&model, MODEL)?,
        }
        Ok(Files { model, state: self.0.join("state") })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies where temporary files are removed in any case.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
