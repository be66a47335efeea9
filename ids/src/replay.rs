//! `treeline replay`: builds the engines, drives them over each capture, hands the summary to the report.

mod divergence;
mod object;
mod outcome;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use treeline_ebpf::Config;
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_lab::guest::Fleet;
use treeline_lab::guest::instance::Guest;
use treeline_model::{Model, Rule};
use treeline_sim::allow::List;
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::vm::Vm;
use treeline_sim::engine::{Engine, EngineError, Hook, Settings};
use treeline_sim::reference::Reference;
use treeline_sim::replay::{Replay, Summary};

use crate::arguments::{self, Format, Mode, Tree, Trees};
use crate::output::{finished, print};
use crate::report::Programs;
use crate::{EXIT_BAD_INPUT, report};

/// The model that is built in.
pub const MODEL: &str = include_str!("../../testdata/models/default.json");

/// Replays each capture; the exit code is the worst of all of them.
pub fn run(options: &arguments::Replay) -> Result<ExitCode, String> {
    if let Some(path) = &options.object {
        return object::run(options, path);
    }
    let model = match &options.model {
        Some(path) => Model::read(path),
        None => Model::read_bytes(MODEL.as_bytes()),
    }
    .map_err(|error| explain(&error))?;
    let runs = runs(options, &model)?;
    let guests = guests(options)?;
    let mut code = 0;
    for path in &options.captures {
        for (number, run) in runs.iter().enumerate() {
            let Some(mut capture) = open(path) else {
                code = EXIT_BAD_INPUT;
                break;
            };
            let (replay, notes) = build(options, &run.settings, &model, &guests)?;
            let records = options.format == Format::Jsonl && number == 0;
            let summary = drive(options, records, model.classes(), path, &mut capture, replay)?;
            let programs = Programs { hook: run.hook.name(), tree: run.tree.map_or("none", Tree::name) };
            match options.format {
                Format::Text if number == 0 => print(&report::text(path, &summary, &notes, &programs, model.classes(), options.list))?,
                Format::Text => print(&report::again(&summary, &programs))?,
                Format::Json => print(&format!("{}\n", report::json(path, &summary, &notes, &programs, model.classes())))?,
                Format::Jsonl => {
                    for note in notes.iter().cloned().chain(report::left_out(path, &summary.unsupported)).filter(|_| number == 0) {
                        eprintln!("treeline: {note}");
                    }
                    if let Some(divergence) = &summary.divergence {
                        eprintln!("treeline: {programs}: {divergence}");
                    }
                }
            }
            if number == 0 {
                for said in summary.warning.iter().chain(&summary.damage) {
                    eprintln!("treeline: {said}");
                }
            }
            code = code.max(if summary.damage.is_some() { EXIT_BAD_INPUT } else { u8::from(summary.divergence.is_some()) });
        }
    }
    Ok(ExitCode::from(code))
}

/// One replay of each capture.
struct Run {
    hook: arguments::Hook,
    /// None for an ensemble, which no program holds.
    tree: Option<Tree>,
    settings: Settings,
}

/// Each hook with each tree.
fn runs(options: &arguments::Replay, model: &Model) -> Result<Vec<Run>, String> {
    let trees = match model.rule() {
        Rule::Tree(_) => options.trees().into_iter().map(Some).collect(),
        Rule::Vote(_) if options.tree.contains(&Trees::Compiled) => {
            let reason =
                "the model is an ensemble, and only one tree can be compiled; leave it out; native and the reference run the ensemble";
            return Err(format!("--tree compiled: {reason}"));
        }
        Rule::Vote(_) => vec![None],
    };
    let pairs = options.hooks().into_iter().flat_map(|hook| trees.iter().map(move |tree| (hook, *tree)));
    let runs = pairs.map(|(hook, tree)| Ok(Run { hook, tree, settings: settings(options, model, hook, tree)? }));
    let runs: Vec<_> = runs.collect::<Result<_, String>>()?;
    if runs.len() > 1 && options.captures.iter().any(|path| path == Path::new("-")) {
        return Err("standard input is read once; give one --hook and one --tree, or a file".to_owned());
    }
    Ok(runs)
}

/// A capture; one that cannot be read is told of and left out.
fn open(path: &Path) -> Option<Capture> {
    Capture::open(path).inspect_err(|error| eprintln!("treeline: {}", explain(error))).ok()
}

fn settings(options: &arguments::Replay, model: &Model, hook: arguments::Hook, tree: Option<Tree>) -> Result<Settings, String> {
    let hook = Hook::from(hook);
    if options.mode == Mode::Enforce && hook == Hook::Socket {
        return Err("a socket filter sees copies and cannot drop traffic; use --hook xdp or tc with --mode enforce".to_owned());
    }
    let config = Config { enforce: u32::from(options.mode == Mode::Enforce), ..options.table.config()? };
    let allow: Arc<List> = match &options.allow {
        Some(path) => List::read(path).map_err(|error| explain(&error))?.into(),
        None => Arc::default(),
    };
    let settings = Settings { allow, ..Settings::new(hook, config, model, options.table.flows) };
    if tree == Some(Tree::Compiled) { settings.compiled(model).map_err(|error| explain(&error)) } else { Ok(settings) }
}

/// The engines asked for, and a line for each that is left out.
fn build(options: &arguments::Replay, settings: &Settings, model: &Model, guests: &Fleet) -> Result<(Replay, Vec<String>), String> {
    use arguments::Engine as Named;
    let wanted = |engine| options.engine.is_empty() || options.engine.contains(&engine) || options.engine.contains(&Named::All);
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    let mut notes = Vec::new();
    if wanted(Named::Native) {
        engines.push(Box::new(Native::new(settings)));
    }
    // What no program holds is run by the others, unless it was asked for by name.
    let is_left_out = model.tree().is_err() && options.engine.is_empty();
    if is_left_out {
        notes.push("the model is an ensemble: vm and kernel do not run one".to_owned());
    }
    if wanted(Named::Vm) && !is_left_out {
        engines.push(Box::new(Vm::new(settings).map_err(|error| explain(&error))?));
    }
    if wanted(Named::Kernel) && !is_left_out {
        match Kernel::new(settings) {
            Ok(kernel) => engines.push(Box::new(kernel)),
            Err(error @ EngineError::Unavailable { .. }) if options.engine.is_empty() => notes.push(error.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
    for machine in &guests.machines {
        let engine = Kernel::on(Box::new(Guest(machine.clone())), settings).map_err(|error| error.to_string())?;
        let name = engine.name();
        notes.push(format!("{name} is {}", machine.borrow().package()));
        notes.extend(engine.notices().iter().map(|notice| format!("{name}: {notice}")));
        engines.push(Box::new(engine));
    }
    notes.extend(guests.skipped.iter().cloned());
    let reference = wanted(Named::Reference).then(|| Reference::of(settings.config, model).with_allow(&settings.allow));
    Ok((Replay::new(engines, reference, settings.flows_max), notes))
}

/// The kernels in QEMU that are asked for; one of them serves all captures.
fn guests(options: &arguments::Replay) -> Result<Fleet, String> {
    let mut lines = vec![];
    for engine in &options.engine {
        match engine {
            arguments::Engine::Guest(line) if !lines.contains(line) => lines.push(*line),
            _ => {}
        }
    }
    if lines.is_empty() {
        return Ok(Fleet::default());
    }
    Fleet::boot(&lines, options.guest.as_deref(), &mut |step| eprintln!("treeline: {step}")).map_err(|error| explain(&error))
}

/// Runs the replay with a progress bar where someone watches, and records where they are asked for.
fn drive(
    options: &arguments::Replay,
    records: bool,
    classes: &[String],
    path: &Path,
    capture: &mut Capture,
    replay: Replay,
) -> Result<Summary, String> {
    let bar = ProgressBar::with_draw_target(capture.bytes_total(), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {binary_bytes_per_sec}  {eta} left");
    bar.set_style(style.map_err(|error| explain(&error))?);
    if !io::stderr().is_terminal() || capture.bytes_total().is_none() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let mut output = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let summary = replay
        .run(
            capture,
            options.limit,
            |seen| {
                if records && written.is_ok() {
                    written = writeln!(output, "{}", report::record(path, &seen, classes));
                }
            },
            |capture| bar.set_position(capture.bytes_read()),
        )
        .map_err(|error| explain(&error))?;
    bar.finish_and_clear();
    finished(written.and_then(|()| output.flush()))?;
    Ok(summary)
}
