//! `treeline features`: captures and labels in, a table of rows out.

use std::collections::HashSet;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::iter;
use std::path::{self, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use treeline_data::label::{Labels, Report};
use treeline_data::row::{self, Count, Rows, Tally};
use treeline_data::table::{Names, Output};
use treeline_ebpf::{Counter, Skip};
use treeline_lab::cause::explain;

use crate::EXIT_BAD_INPUT;
use crate::options::{Format, captures_help, distinct};
use crate::report::{link_types, number, skipped, skipped_json};

/// Rows between two looks at the progress bar.
const PROGRESS_ROWS: u64 = 1 << 14;

/// Write captures as a table of packets with features and class.
///
/// Each feature comes twice, as a number in its unit and (`NAME_fixed`) as the exact integer with 16 fractional bits.
/// `midstream` is 1 for a TCP connection that is older than its flow. With --labels, the packets of
/// flows that no label covers are left out and counted.
///
/// A flow is known by its `capture`, an absolute path, and its number `flow`: tables of several runs can be put together.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Features {
    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input. Flow numbers go on from one to the next.
    #[arg(required = true, value_name = "CAPTURE", long_help = captures_help(" Flow numbers go on from one to the next."))]
    captures: Vec<PathBuf>,

    /// Labels: a rules file, a flow table, or one of the built-in cic-ids-2017 and cic-ids-2017-paper. docs/labels.md has the columns.
    #[arg(short, long, value_name = "LABELS")]
    labels: Option<String>,

    /// The table: NAME.parquet or NAME.csv, replaced if it exists; `-` is CSV on standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// How the summary is written: to standard output, or to standard error where the table goes there.
    #[arg(short, long, value_enum, default_value = "text")]
    format: Format,

    /// Stop after N frames of each capture.
    #[arg(short = 'n', long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,

    #[command(flatten)]
    table: crate::options::FlowTable,
}

const EXAMPLES: &str = "\
Examples:
  treeline features --labels cic-ids-2017 Tuesday-WorkingHours.pcap -o tuesday.parquet
  treeline features --labels labels.csv *.pcap.zst -o rows.parquet
  treeline features capture.pcap -o - | head

Exit codes: 0 done, 2 bad usage or input (of a damaged capture, the rows before the damage are written).";

/// Writes the table and prints the summary.
pub fn run(options: &Features) -> Result<ExitCode, String> {
    distinct(&options.captures)?;
    let labels = options.labels.as_deref().map(Labels::open).transpose().map_err(|error| explain(&error))?;
    let limits = row::Options { config: options.table.config()?, flows_max: options.table.flows, frames_max: options.limit };
    let mut rows = Rows::new(options.captures.clone(), labels, limits).map_err(|error| explain(&error))?;
    let captures = capture_names(&options.captures);
    let output = Output::create(&options.output, &Names { captures, classes: rows.classes() }).map_err(|error| explain(&error))?;
    let (written, damaged) = write(options, &mut rows, output)?;
    let summary = match options.format {
        Format::Text => text(&rows, written),
        Format::Json => format!("{:#}\n", json(&rows, written)),
    };
    if options.output.as_os_str() == "-" {
        eprint!("{summary}");
    } else {
        crate::output::print(&summary)?;
    }
    Ok(if damaged { ExitCode::from(EXIT_BAD_INPUT) } else { ExitCode::SUCCESS })
}

/// What a table calls a capture: its absolute path, so that captures of one name in several folders stay apart when tables are put together.
/// Standard input has none and stays `-`.
pub fn capture_name(path: &Path) -> String {
    let absolute = if path == Path::new("-") { Ok(path.to_owned()) } else { path::absolute(path) };
    absolute.as_deref().unwrap_or(path).display().to_string()
}

/// The names of all captures, each once: paths that are no UTF-8 can look the same.
fn capture_names(paths: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for path in paths {
        let name = capture_name(path);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let name = iter::once(name.clone()).chain(numbered).find(|name| !known.contains(name)).unwrap_or(name);
        known.insert(name.clone());
        names.push(name);
    }
    names
}

/// Writes the rows that have a class, or all if there are no labels; how many, and whether a capture was damaged.
fn write(options: &Features, rows: &mut Rows, mut output: Output) -> Result<(u64, bool), String> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{msg}  {wide_bar} {percent:>3} %  {binary_bytes_per_sec}  {eta} left");
    bar.set_style(style.map_err(|error| explain(&error))?);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let (mut written, mut read, mut damaged, mut shown) = (0, 0, false, None);
    while let Some(row) = rows.next() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                bar.suspend(|| eprintln!("treeline: {}", explain(&error)));
                damaged = true;
                continue;
            }
        };
        if row.class.is_some() || rows.labels().is_none() {
            match output.write(&row) {
                Ok(()) => written += 1,
                Err(error) if error.is_closed_pipe() => return Ok((written, damaged)),
                Err(error) => return Err(explain(&error)),
            }
        }
        read += 1;
        if (read % PROGRESS_ROWS == 0 || shown.is_none_or(|number| number != row.capture))
            && let Some((number, path, capture)) = rows.reading()
        {
            if shown.replace(row.capture) != Some(row.capture) {
                bar.reset();
                bar.set_message(format!("{}/{} {}", number + 1, rows.captures().len(), path.display()));
                bar.set_length(capture.bytes_total().unwrap_or_default());
            }
            bar.set_position(capture.bytes_read());
        }
    }
    bar.finish_and_clear();
    for warning in &rows.tally().warnings {
        eprintln!("treeline: {warning}");
    }
    if written == 0 {
        return Err(format!("{}: not written: there is no row{}", options.output.display(), advice(options, rows, damaged)));
    }
    match output.finish() {
        Err(error) if !error.is_closed_pipe() => Err(explain(&error)),
        _ => Ok((written, damaged)),
    }
}

/// What to do where there is no row; of a damaged capture its own error says it.
fn advice(options: &Features, rows: &Rows, damaged: bool) -> String {
    match &options.labels {
        _ if damaged => String::new(),
        Some(labels) if rows.tally().unlabelled.rows > 0 => {
            format!(" with a class; check that {labels} names these captures, addresses and times")
        }
        _ => "; give captures with packets that reach the classifier".to_owned(),
    }
}

/// The classes with rows, by name.
fn classes(rows: &Rows) -> Vec<(String, Count)> {
    rows.classes().into_iter().zip(rows.tally().classes.iter().copied()).filter(|(_, count)| count.rows > 0).collect()
}

fn text(rows: &Rows, written: u64) -> String {
    let tally = rows.tally();
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<11}{value}");
    };
    line("frames", number(tally.frames));
    line("skipped", skipped(Skip::ALL.map(|skip| tally.counters[skip.counter() as usize]), &tally.unsupported));
    line("rows", format!("{} of {} flows", number(written), number(flows_written(rows))));
    for (name, count) in classes(rows) {
        line("", format!("{name}: {} of {} flows", number(count.rows), number(count.flows)));
    }
    if let Some(labels) = rows.labels() {
        let Count { rows, flows } = tally.unlabelled;
        line("unlabelled", format!("{} of {} flows, left out", number(rows), number(flows)));
        matches(&mut text, &labels.report());
    }
    text
}

fn matches(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "  {:<11}{}: {} of {} rows ({}) matched",
        "labels",
        report.source.display(),
        number(report.matched),
        number(report.rows),
        report.kind
    );
    for unmatched in &report.unmatched {
        let lines: Vec<_> = unmatched.lines.iter().map(u64::to_string).collect();
        let more = if unmatched.rows > unmatched.lines.len() as u64 { ", ..." } else { "" };
        let _ = writeln!(text, "  {:<11}{} not: {} (line {}{more})", "", number(unmatched.rows), unmatched.reason, lines.join(", "));
    }
}

fn flows_written(rows: &Rows) -> u64 {
    let tally = rows.tally();
    tally.total().flows - if rows.labels().is_some() { tally.unlabelled.flows } else { 0 }
}

fn json(rows: &Rows, written: u64) -> Value {
    let tally: &Tally = rows.tally();
    let count = |count: Count| json!({ "rows": count.rows, "flows": count.flows });
    let classes: Map<_, _> = classes(rows).into_iter().map(|(name, of_class)| (name, count(of_class))).collect();
    let report = rows.labels().map(|labels| {
        let Report { source, kind, rows, matched, unmatched } = labels.report();
        let unmatched: Vec<_> =
            unmatched.iter().map(|row| json!({ "reason": row.reason, "rows": row.rows, "first_lines": row.lines })).collect();
        json!({ "source": source.display().to_string(), "kind": kind, "rows": rows, "matched": matched, "unmatched": unmatched })
    });
    json!({
        "captures": rows.captures().iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "frames": tally.frames,
        "skipped": skipped_json(Skip::ALL.map(|skip| tally.counters[skip.counter() as usize]), &tally.unsupported),
        "unsupported_link_types": link_types(&tally.unsupported),
        "warnings": tally.warnings,
        "flows_opened": tally.counters[Counter::Opened as usize],
        "written": { "rows": written, "flows": flows_written(rows) },
        "classes": classes,
        "unlabelled": count(tally.unlabelled),
        "labels": report,
    })
}
