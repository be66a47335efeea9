//! `treeline replay`: builds the engines, drives them over each capture, hands the summary to the report.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use treeline_ebpf::Config;
use treeline_model::Model;
use treeline_sim::capture::Capture;
use treeline_sim::cause::explain;
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::vm::Vm;
use treeline_sim::engine::{Engine, EngineError, Hook, Settings};
use treeline_sim::reference::Reference;
use treeline_sim::replay::{self, Replay, Summary};

use crate::arguments::{self, Format, Mode};
use crate::{EXIT_BAD_INPUT, report};

/// The model that is built in.
const MODEL: &str = include_str!("../../testdata/models/hand.json");

/// Replays each capture; the exit code is the worst of all of them.
pub fn run(options: &arguments::Replay) -> Result<ExitCode, String> {
    let model = match &options.model {
        Some(path) => Model::read(path),
        None => Model::read_bytes(MODEL.as_bytes()),
    }
    .map_err(|error| explain(&error))?;
    let settings = settings(options, &model)?;
    let mut code = 0;
    for path in &options.captures {
        let mut capture = match Capture::open(path) {
            Ok(capture) => capture,
            Err(error) => {
                eprintln!("treeline: {}", explain(&error));
                code = EXIT_BAD_INPUT;
                continue;
            }
        };
        let (replay, notes) = build(options, &settings, &model)?;
        let summary = drive(options, &model, path, &mut capture, replay)?;
        match options.format {
            Format::Text => print(&report::text(path, &summary, &notes, &model, options.list))?,
            Format::Json => print(&format!("{}\n", report::json(path, &summary, &notes, &model)))?,
            Format::Jsonl => {
                for note in &notes {
                    eprintln!("treeline: {note}");
                }
                if let Some(divergence) = &summary.divergence {
                    eprintln!("treeline: {divergence}");
                }
            }
        }
        if let Some(damage) = &summary.damage {
            eprintln!("treeline: {damage}");
        }
        code = code.max(if summary.damage.is_some() { EXIT_BAD_INPUT } else { u8::from(summary.divergence.is_some()) });
    }
    Ok(ExitCode::from(code))
}

fn settings(options: &arguments::Replay, model: &Model) -> Result<Settings, String> {
    let hook = match options.hook {
        arguments::Hook::Xdp => Hook::Xdp,
        arguments::Hook::Tc => Hook::Tc,
        arguments::Hook::Socket => Hook::Socket,
    };
    if options.mode == Mode::Enforce && hook == Hook::Socket {
        return Err("a socket filter sees copies and cannot drop traffic; use --hook xdp or tc with --mode enforce".to_owned());
    }
    let config = Config {
        idle_timeout_ns: nanoseconds("--idle-timeout", options.idle_timeout)?,
        active_timeout_ns: nanoseconds("--active-timeout", options.active_timeout)?,
        enforce: u32::from(options.mode == Mode::Enforce),
        replay: 0,
    };
    replay::check(&config, options.flows)?;
    Ok(Settings { hook, config, tree: model.to_tree(), flows_max: options.flows })
}

fn nanoseconds(option: &str, seconds: f64) -> Result<u64, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
        .ok_or_else(|| format!("{option} {seconds}: not a time in seconds"))
}

/// The engines asked for, and a line for each that is left out.
fn build(options: &arguments::Replay, settings: &Settings, model: &Model) -> Result<(Replay, Vec<String>), String> {
    use arguments::Engine as Named;
    let wanted = |engine| options.engine.is_empty() || options.engine.contains(&engine) || options.engine.contains(&Named::All);
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    let mut notes = Vec::new();
    if wanted(Named::Native) {
        engines.push(Box::new(Native::new(settings)));
    }
    if wanted(Named::Vm) {
        engines.push(Box::new(Vm::new(settings).map_err(|error| explain(&error))?));
    }
    if wanted(Named::Kernel) {
        match Kernel::new(settings) {
            Ok(kernel) => engines.push(Box::new(kernel)),
            Err(error @ EngineError::Unavailable { .. }) if options.engine.is_empty() => notes.push(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
    let reference = wanted(Named::Reference).then(|| Reference::of(settings.config, model));
    Ok((Replay::new(engines, reference, settings.flows_max), notes))
}

/// Runs the replay with a progress bar where someone watches, and records where they are asked for.
fn drive(options: &arguments::Replay, model: &Model, path: &Path, capture: &mut Capture, replay: Replay) -> Result<Summary, String> {
    let bar = ProgressBar::with_draw_target(capture.bytes_total(), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {binary_bytes_per_sec}  {eta} left");
    bar.set_style(style.map_err(|error| explain(&error))?);
    if !io::stderr().is_terminal() || capture.bytes_total().is_none() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let mut output = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let records = options.format == Format::Jsonl;
    let summary = replay
        .run(
            capture,
            options.limit,
            |seen| {
                if records && written.is_ok() {
                    written = writeln!(output, "{}", report::record(path, &seen, model));
                }
            },
            |capture| bar.set_position(capture.bytes_read()),
        )
        .map_err(|error| explain(&error))?;
    bar.finish_and_clear();
    finished(written.and_then(|()| output.flush()))?;
    Ok(summary)
}

fn print(text: &str) -> Result<(), String> {
    finished(io::stdout().lock().write_all(text.as_bytes()))
}

/// A reader that has seen enough (`| head`) is no error.
fn finished(result: io::Result<()>) -> Result<(), String> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
