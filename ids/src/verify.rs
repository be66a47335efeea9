//! `treeline verify`: what the kernel's verifier says of an object's programs. Not here: asking it, which is `treeline_sim::verifier`.

mod baseline;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use treeline_model::Model;
use treeline_model::link::link;
use treeline_sim::cause::explain;
use treeline_sim::object::OBJECT;
use treeline_sim::verifier::{Report, verify};

use crate::arguments;
use crate::object::object;

/// Load each program of a BPF object into the kernel, and say what the verifier says.
///
/// Accepted programs come with the verifier's numbers; a refused one with the instruction, the source line, the registers, the branches that led
/// there, the rule and the usual remedy (docs/verify.md). Nothing is attached. Needs root, or `CAP_BPF` and `CAP_NET_ADMIN`.
///
/// Exit code: 0 all accepted and within the baseline, 1 not, 2 bad input.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Verify {
    /// The object, by clang and libbpf or by aya. Without one, Treeline's own.
    #[arg(value_name = "FILE", required_unless_present = "model")]
    pub file: Option<PathBuf>,

    /// Link this model into Treeline's own object, and verify that.
    #[arg(short, long, value_name = "MODEL", conflicts_with = "file")]
    pub model: Option<PathBuf>,

    /// Only this program.
    #[arg(short, long, value_name = "NAME")]
    pub program: Option<String>,

    /// What a program is whose section's name does not say it.
    #[arg(long = "type", value_enum)]
    pub kind: Option<arguments::Hook>,

    /// Set a global variable before loading: a number, or bytes like 0a:00:00:01. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// Show the verifier's whole log, and the longest path that it shows.
    #[arg(long)]
    pub log: bool,

    /// text for people, json and csv with veristat's column names.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    /// Compare with an earlier `--format csv` or `json`, and fail where a number grew by more than `--growth`.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,

    /// By how much numbers may grow over the baseline's.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, requires = "baseline")]
    pub growth: f64,
}

const EXAMPLES: &str = "\
Examples:
  treeline verify filter.bpf.o
  treeline verify --model model.json --format csv > cost.csv
  treeline verify --model model.json --baseline cost.csv --growth 5";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Csv,
}

/// What a program came to, or why it could not be asked about.
pub(super) type Row = Result<Report, (String, String)>;

/// Verifies, prints, compares.
pub fn run(options: &Verify) -> Result<ExitCode, String> {
    let (name, elf) = file(options)?;
    let object = object(&elf, &options.set, options.kind).map_err(|error| format!("{name}: {error}"))?;
    let mut rows: Vec<Row> = Vec::new();
    for program in object.programs().iter().filter(|program| options.program.as_ref().is_none_or(|name| *name == program.name)) {
        rows.push(Ok(verify(&object, program, options.log).map_err(|error| format!("{name}: {}", explain(&error)))?));
    }
    for refused in object.refused().iter().filter(|refused| options.program.as_deref().is_none_or(|name| refused.program() == Some(name))) {
        rows.push(Err((refused.program().unwrap_or_default().to_owned(), refused.to_string())));
    }
    if let Some(program) = options.program.as_ref().filter(|_| rows.is_empty()) {
        object.program(program).map_err(|error| format!("{name}: {error}"))?;
    }
    let records: Vec<Map<String, Value>> = rows.iter().map(|row| record(&name, row)).collect();
    match options.format {
        Format::Text => text::print(&name, &rows, options.log),
        Format::Json => println!("{}", serde_json::to_string_pretty(&records).map_err(|error| error.to_string())?),
        Format::Csv => csv(&records),
    }
    let mut fine = rows.iter().all(|row| row.as_ref().is_ok_and(|report| report.accepted));
    if let Some(path) = &options.baseline {
        for grown in baseline::compare(path, &records, options.growth)? {
            eprintln!("treeline: {grown}");
            fine = false;
        }
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn file(options: &Verify) -> Result<(String, Vec<u8>), String> {
    if let Some(path) = &options.model {
        let model = Model::read(path).map_err(|error| explain(&error))?;
        return Ok(("treeline.bpf.o".to_owned(), link(OBJECT, &model).map_err(|error| explain(&error))?.object));
    }
    let path = options.file.as_deref().unwrap_or(Path::new(""));
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok((name, fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?))
}

/// One program under veristat's column names, and some it does not have.
fn record(file: &str, row: &Row) -> Map<String, Value> {
    let value = match row {
        Err((program, reason)) => json!({"file_name": file, "prog_name": program, "verdict": "failure", "reason": reason}),
        Ok(report) => json!({
            "file_name": file,
            "prog_name": report.program,
            "verdict": if report.accepted { "success" } else { "failure" },
            "duration": report.statistics.duration_us,
            "total_insns": report.statistics.instructions,
            "total_states": report.statistics.states,
            "peak_states": report.statistics.peak_states,
            "max_states_per_insn": report.statistics.states_per_instruction,
            "mark_read": report.statistics.mark_read,
            "prog_size": report.program_instructions,
            "jited_size": report.jited_bytes,
            "xlated_size": report.xlated_bytes,
            "stack_depth": report.stacks.iter().map(|(_, bytes)| bytes.to_string()).collect::<Vec<_>>().join("+"),
            "load_time": report.load_us,
            "longest_path": report.longest_path,
            "reason": report.refusal.as_ref().map(|refusal| refusal.message.clone()),
        }),
    };
    value.as_object().cloned().unwrap_or_default()
}

const COLUMNS: [&str; 16] = [
    "file_name",
    "prog_name",
    "verdict",
    "duration",
    "total_insns",
    "total_states",
    "peak_states",
    "max_states_per_insn",
    "mark_read",
    "prog_size",
    "jited_size",
    "xlated_size",
    "stack_depth",
    "load_time",
    "longest_path",
    "reason",
];

fn csv(records: &[Map<String, Value>]) {
    println!("{}", COLUMNS.join(","));
    for record in records {
        let cell = |column: &&str| match record.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) if text.contains([',', '"', '\n']) => format!("\"{}\"", text.replace('"', "\"\"")),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        println!("{}", COLUMNS.iter().map(cell).collect::<Vec<_>>().join(","));
    }
}

/// A time of `us` microseconds for people.
fn time(us: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1e3)
}
