//! `treeline evaluate`: what a model is worth on labelled captures, as text, JSON and a page.

mod json;

mod text;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use treeline_data::Labels;
use treeline_data::evaluate::{Evaluator, Score};
use treeline_data::row::Options;
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_model::Draft;

use crate::options::{Format, captures_help, distinct};
use crate::output::print;
use crate::page::subject::Subject;
use crate::report::number;
use crate::{EXIT_BAD_INPUT, page, read};

/// Evaluate a model on labelled captures.
///
/// Every packet gets its verdict as the kernel would give it, and every flow the first malicious one of its packets. docs/evaluation.md defines
/// the figures. Each capture starts with an empty flow table.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Evaluate {
    /// The model, a JSON file: one tree, or an ensemble. Default: the one built in.
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<PathBuf>,

    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "CAPTURE", long_help = captures_help(""))]
    pub captures: Vec<PathBuf>,

    /// The labels: a CSV file, `cic-ids-2017` or `cic-ids-2017-paper`.
    #[arg(short, long, value_name = "LABELS")]
    pub labels: String,

    /// text for people, json for machines.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    /// Also write a page that needs nothing else to be read: matrices, detection by packet number, importances, the tree (of an
    /// ensemble the first).
    #[arg(short, long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Stop after N frames of each capture.
    #[arg(short = 'n', long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub limit: u64,

    #[command(flatten)]
    pub table: crate::options::FlowTable,
}

const EXAMPLES: &str = "\
Examples:
  treeline evaluate test/*.pcap --labels labels.csv
  treeline evaluate --model model.json Friday.pcap --labels cic-ids-2017 --report out.html
  treeline evaluate --model model.json test.pcap --labels labels.csv --format json | jq .flows.recall

Exit codes: 0 evaluated, 2 bad usage or input (a damaged capture is evaluated up to the damage).";

/// Evaluates, prints, and writes the page.
pub fn run(options: &Evaluate) -> Result<ExitCode, String> {
    distinct(&options.captures)?;
    let model = read::model(options.model.as_deref())?;
    let labels = Labels::open(&options.labels).map_err(|error| explain(&error))?;
    // What cannot be written is found before hours go into it.
    let draft = options.report.as_deref().map(|path| Draft::create(path).map_err(|error| unwritten(path, &error))).transpose()?;
    let mut evaluator = Evaluator::new(&model, labels, rows(options)?);
    for path in &options.captures {
        let bar = bar()?;
        evaluator.evaluate(path, |capture| show(&bar, capture)).map_err(|error| explain(&error))?;
        bar.finish_and_clear();
    }
    let (evaluation, labels) = evaluator.finish();
    for warning in evaluation.captures.iter().flat_map(|capture| &capture.warnings) {
        eprintln!("treeline: {warning}");
    }
    let damages: Vec<_> = evaluation.captures.iter().filter_map(|capture| capture.damage.as_ref()).collect();
    for damage in &damages {
        eprintln!("treeline: {}", explain(*damage));
    }
    let code = if damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BAD_INPUT) };
    match unlabelled(&evaluation.total, &options.labels) {
        Some(_) if !damages.is_empty() => return Ok(code),
        Some(nothing) => return Err(nothing),
        None => {}
    }
    let report = labels.map(|labels| labels.report());
    let subject = Subject {
        model_path: read::model_path(options.model.as_deref()),
        model: &model,
        labels: &options.labels,
        report: report.as_ref(),
        evaluation: &evaluation,
    };
    if let (Some(path), Some(mut draft)) = (&options.report, draft) {
        let written = draft.write_all(page::page(&subject).as_bytes()).and_then(|()| draft.finish());
        written.map_err(|error| unwritten(path, &error))?;
    }
    match options.format {
        Format::Text => print(&text::text(&subject))?,
        Format::Json => print(&format!("{:#}\n", json::json(&subject)))?,
    }
    Ok(code)
}

fn rows(options: &Evaluate) -> Result<Options, String> {
    Ok(Options { config: options.table.config()?, flows_max: options.table.flows, frames_max: options.limit })
}

/// Why there is nothing to evaluate, if there is not.
fn unlabelled(total: &Score, labels: &str) -> Option<String> {
    let (frames, packets) = (number(total.frames()), number(total.packets_unlabelled));
    match (total.packets.total(), total.packets_unlabelled) {
        (0, 0) => Some(format!("none of {frames} frames has a verdict; give captures with packets that reach the classifier")),
        (0, _) => {
            Some(format!("{labels}: none of {packets} packets has a label; check that the labels name these captures, addresses and times"))
        }
        _ => None,
    }
}

fn unwritten(path: &Path, error: &io::Error) -> String {
    format!("{}: cannot write the report: {error}", path.display())
}

/// A progress bar, hidden where nobody watches.
fn bar() -> Result<ProgressBar, String> {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {binary_bytes_per_sec}  {eta} left");
    bar.set_style(style.map_err(|error| explain(&error))?);
    Ok(bar)
}

/// Standard input has no length: nothing is shown.
fn show(bar: &ProgressBar, capture: &Capture) {
    if let Some(total) = capture.bytes_total() {
        bar.set_length(total);
        bar.set_position(capture.bytes_read());
    }
}
