//! `treeline verify`: what the kernel's verifier says of an object's programs. Not here: asking it, which is `treeline_lab::verifier`.

mod baseline;
mod text;

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use treeline_lab::bpf::Object;
use treeline_lab::cause::explain;
use treeline_lab::guest::message::{Reply, Request};
use treeline_lab::guest::{Line, Machine};
use treeline_lab::verifier::{Job, Row};
use treeline_model::Model;
use treeline_model::link::link;
use treeline_sim::object::OBJECT;

use self::baseline::Asked;
use crate::options::{self, Engine};
use crate::output::print;
use crate::read;

/// Verify each program: its cost, or why and where it is rejected.
///
/// Accepted programs come with the verifier's numbers; a refused one with the instruction, the source line, the registers, the branches that led
/// there, the rule and the usual remedy (docs/verify.md). Nothing is attached. Needs root, or `CAP_BPF` and `CAP_NET_ADMIN`;
/// with `--engine kernel@SERIES` no privileges at all.
///
/// Exit code: 0 all accepted and within the baseline, 1 not (a program refused or not to be read, a number grown), 2 bad input or no
/// kernel to ask.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Verify {
    /// The object, by clang and libbpf or by aya. Without one, Treeline's own.
    #[arg(value_name = "OBJECT")]
    pub file: Option<PathBuf>,

    /// Link this model into Treeline's own object, and verify that.
    #[arg(short, long, value_name = "MODEL", conflicts_with = "file")]
    pub model: Option<PathBuf>,

    /// Only this program.
    #[arg(short, long, value_name = "NAME")]
    pub program: Option<String>,

    /// What a program is whose section's name does not say it.
    #[arg(long, value_enum)]
    pub hook: Option<options::Hook>,

    /// Set a global variable before loading: a number, or bytes like 0a:00:00:01. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// Whose verifiers, comma-separated: kernel, and kernel@SERIES, the newest of a series of Debian's kernels in QEMU, which needs no privileges:
    /// kernel@5.10, kernel@6.1, kernel@7.x (docs/kernels.md).
    #[arg(short, long, value_delimiter = ',', default_value = "kernel")]
    pub engine: Vec<Engine>,

    /// The guest init for kernel@SERIES. Default: as for `treeline test`.
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,

    /// Show the verifier's whole log, and the longest path that it shows.
    #[arg(long)]
    pub log: bool,

    /// text for people, json and csv with veristat's column names.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    /// Compare with an earlier `--format csv` or `json`, or with veristat's csv, and fail where a number grew by more than `--growth`, where a program
    /// was accepted and is refused, and where one is gone. Programs that are new are told, and fine.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,

    /// By how much numbers may grow over the baseline's.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, requires = "baseline", value_parser = percent)]
    pub growth: f64,
}

const EXAMPLES: &str = "\
Examples:
  treeline verify filter.bpf.o
  treeline verify filter.bpf.o --engine kernel@5.10,kernel@6.1,kernel@7.x
  treeline verify --model model.json --format csv > cost.csv
  treeline verify --model model.json --baseline cost.csv --growth 5";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Csv,
}

/// A number of percent, from 0.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "give a number from 0".to_owned())
}

/// What one kernel said; its line and package where it is not the running one.
type Answer = (Option<(Line, String)>, Vec<Row>);

/// Verifies, prints, compares.
pub fn run(options: &Verify) -> Result<ExitCode, String> {
    let (name, elf) = file(options)?;
    let in_file = |error: String| format!("{name}: {error}");
    let loading = read::options(&elf, &options.set, options.hook).map_err(in_file)?;
    // What is no object, or has no program, wants no kernel.
    Object::parse(&elf, &loading).map_err(|error| in_file(explain(&error)))?;
    let job = Job { elf, options: loading, program: options.program.clone(), full: options.log };
    if options.engine.iter().any(|engine| !matches!(engine, Engine::Kernel | Engine::Guest(_))) {
        return Err("--engine: verifiers are the kernels'; give kernel or kernel@SERIES".to_owned());
    }
    let mut answers: Vec<Answer> = Vec::new();
    if options.engine.contains(&Engine::Kernel) {
        answers.push((None, job.run().map_err(in_file)?));
    }
    answers.extend(elsewhere(options, &job)?);
    let of =
        |(kernel, rows): &Answer| rows.iter().map(|row| record(&name, kernel.as_ref().map(|(line, _)| *line), row)).collect::<Vec<_>>();
    let records: Vec<Map<String, Value>> = answers.iter().flat_map(of).collect();
    match options.format {
        Format::Text => {
            let of = |(kernel, rows): &Answer| {
                let head = kernel.as_ref().map_or_else(String::new, |(line, package)| format!("kernel {line}: {package}\n\n"));
                head + &text::text(&name, rows, options.log)
            };
            print(&answers.iter().map(of).collect::<String>())?;
        }
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&records).map_err(|error| error.to_string())?))?,
        Format::Csv => print(&csv(&records, answers.iter().any(|(kernel, _)| kernel.is_some())))?,
    }
    let mut fine = answers.iter().flat_map(|(_, rows)| rows).all(|row| row.as_ref().is_ok_and(|report| report.accepted));
    if let Some(path) = &options.baseline {
        let kernels = options.engine.iter().map(kernel_of).collect();
        let asked = Asked { file: &name, program: options.program.as_deref(), kernels };
        let comparison = baseline::compare(path, &asked, &records, options.growth)?;
        for sentence in comparison.failures.iter().chain(&comparison.notes) {
            eprintln!("treeline: {sentence}");
        }
        fine &= comparison.failures.is_empty();
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The job in each of the other kernels asked for.
fn elsewhere(options: &Verify, job: &Job) -> Result<Vec<Answer>, String> {
    let fleet = options::guests(&options.engine, options.guest.as_deref())?;
    for reason in &fleet.skipped {
        eprintln!("treeline: left out: {reason}");
    }
    let ask = |machine: &Rc<RefCell<Machine>>| {
        let mut machine = machine.borrow_mut();
        match machine.ask(&Request::Verify(job.clone())).map_err(|error| explain(&error))? {
            Reply::Verified(rows) => Ok((Some((machine.line(), machine.package().to_owned())), rows)),
            _ => Err(format!("{}: an answer to another question", machine.package())),
        }
    };
    fleet.machines.iter().map(ask).collect()
}

fn file(options: &Verify) -> Result<(String, Vec<u8>), String> {
    if let Some(path) = &options.model {
        let model = Model::read_tree(path).map_err(|error| explain(&error))?;
        return Ok(("treeline.bpf.o".to_owned(), link(OBJECT, &model).map_err(|error| explain(&error))?.object));
    }
    let Some(path) = &options.file else { return Ok(("treeline.bpf.o".to_owned(), OBJECT.to_vec())) };
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok((name, fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?))
}

/// One program under veristat's column names, and some it does not have.
fn record(file: &str, kernel: Option<Line>, row: &Row) -> Map<String, Value> {
    let value = match row {
        Err(unloaded) => json!({
            "file_name": file,
            "prog_name": unloaded.program,
            "verdict": "failure",
            "rule": unloaded.rule,
            "reason": unloaded.reason,
            "instruction": unloaded.place.as_ref().map(|place| place.instruction),
            "source_file": unloaded.place.as_ref().and_then(|place| Some(&place.source.as_ref()?.0)),
            "source_line": unloaded.place.as_ref().and_then(|place| Some(place.source.as_ref()?.1)),
        }),
        Ok(report) => json!({
            "file_name": file,
            "prog_name": report.program,
            "verdict": if report.accepted { "success" } else { "failure" },
            "duration": report.statistics.duration_us,
            "total_insns": report.statistics.instructions,
            "total_states": report.statistics.states,
            "peak_states": report.statistics.peak_states,
            "max_states_per_insn": report.statistics.states_per_instruction,
            "max_mark_read_len": report.statistics.mark_read,
            "prog_size": report.program_instructions,
            "prog_size_jited": report.jited_bytes,
            "xlated_size": report.xlated_bytes,
            "stack_depth": report.stacks.iter().map(|(_, bytes)| bytes.to_string()).collect::<Vec<_>>().join("+"),
            "load_time": report.load_us,
            "longest_path": report.longest_path,
            "rule": report.refusal.as_ref().and_then(|refusal| refusal.name.clone()),
            "reason": report.refusal.as_ref().map(|refusal| refusal.message.clone()),
            "instruction": report.refusal.as_ref().and_then(|refusal| refusal.instruction),
            "source_file": report.refusal.as_ref().and_then(|refusal| Some(&refusal.source.as_ref()?.0)),
            "source_line": report.refusal.as_ref().and_then(|refusal| Some(refusal.source.as_ref()?.1)),
            "cause": report.refusal.as_ref().and_then(|refusal| Some(&refusal.cause.as_ref()?.text)),
            "cause_line": report.refusal.as_ref().and_then(|refusal| Some(refusal.cause.as_ref()?.source.as_ref()?.1)),
        }),
    };
    let mut record = value.as_object().cloned().unwrap_or_default();
    if let Some(kernel) = kernel {
        record.insert(KERNEL.to_owned(), kernel.to_string().into());
    }
    record
}

/// What the column of kernels has for an engine: a series, or nothing for the running kernel.
fn kernel_of(engine: &Engine) -> String {
    if let Engine::Guest(line) = engine { line.to_string() } else { String::new() }
}

/// The column of the kernel's series, where other kernels were asked.
const KERNEL: &str = "kernel";

const COLUMNS: [&str; 22] = [
    "file_name",
    "prog_name",
    "verdict",
    "duration",
    "total_insns",
    "total_states",
    "peak_states",
    "max_states_per_insn",
    "max_mark_read_len",
    "prog_size",
    "prog_size_jited",
    "xlated_size",
    "stack_depth",
    "load_time",
    "longest_path",
    "rule",
    "reason",
    "instruction",
    "source_file",
    "source_line",
    "cause",
    "cause_line",
];

fn csv(records: &[Map<String, Value>], has_kernels: bool) -> String {
    let columns: Vec<&str> = has_kernels.then_some(KERNEL).into_iter().chain(COLUMNS).collect();
    let mut lines = vec![columns.join(",")];
    for record in records {
        let cell = |column: &&str| match record.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) if text.contains([',', '"', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        lines.push(columns.iter().map(cell).collect::<Vec<_>>().join(","));
    }
    lines.join("\n") + "\n"
}

/// A time of `us` microseconds for people.
fn time(us: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1e3)
}
