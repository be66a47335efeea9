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
use treeline_model::{Document, Model, Node};
use treeline_sim::allow::List;
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::native::{Decider, Native};
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
        Some(path) => Document::read(path),
        None => Document::read_bytes(MODEL.as_bytes()),
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
fn runs(options: &arguments::Replay, model: &Document) -> Result<Vec<Run>, String> {
    let trees = match model {
        Document::Tree(_) => options.trees().into_iter().map(Some).collect(),
        Document::Ensemble(_) if options.tree.contains(&Trees::Compiled) => {
            let reason = "the model is an ensemble, and only one tree can be compiled; leave it out and use --engine native";
            return Err(format!("--tree compiled: {reason}"));
        }
        Document::Ensemble(_) => vec![None],
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

fn settings(options: &arguments::Replay, model: &Document, hook: arguments::Hook, tree: Option<Tree>) -> Result<Settings, String> {
    let hook = Hook::from(hook);
    if options.mode == Mode::Enforce && hook == Hook::Socket {
        return Err("a socket filter sees copies and cannot drop traffic; use --hook xdp or tc with --mode enforce".to_owned());
    }
    let config = Config { enforce: u32::from(options.mode == Mode::Enforce), ..options.table.config()? };
    let allow: Arc<List> = match &options.allow {
        Some(path) => List::read(path).map_err(|error| explain(&error))?.into(),
        None => Arc::default(),
    };
    let settings = |tree| Settings { allow: allow.clone(), ..Settings::new(hook, config, tree, options.table.flows) };
    match (model, tree) {
        (Document::Tree(model), Some(Tree::Compiled)) => settings(model.to_tree()).compiled(model).map_err(|error| explain(&error)),
        (Document::Tree(model), _) => Ok(settings(model.to_tree())),
        (Document::Ensemble(ensemble), _) => {
            // Never asked: the one engine that is built has the ensemble.
            let leaf = Model::from_nodes("", ensemble.classes().to_vec(), vec![Node::Leaf { class: 0 }]);
            Ok(settings(leaf.map_err(|error| explain(&error))?.to_tree()))
        }
    }
}

/// The engines asked for, and a line for each that is left out.
fn build(options: &arguments::Replay, settings: &Settings, model: &Document, guests: &Fleet) -> Result<(Replay, Vec<String>), String> {
    use arguments::Engine as Named;
    let wanted = |engine| options.engine.is_empty() || options.engine.contains(&engine) || options.engine.contains(&Named::All);
    let Document::Tree(tree) = model else { return voting(options, settings, model) };
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
    for machine in &guests.machines {
        let engine = Kernel::on(Box::new(Guest(machine.clone())), settings).map_err(|error| error.to_string())?;
        let name = engine.name();
        notes.push(format!("{name} is {}", machine.borrow().package()));
        notes.extend(engine.notices().iter().map(|notice| format!("{name}: {notice}")));
        engines.push(Box::new(engine));
    }
    notes.extend(guests.skipped.iter().cloned());
    let reference = wanted(Named::Reference).then(|| Reference::of(settings.config, tree).with_allow(&settings.allow));
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

/// The native engine alone: the others do not run an ensemble.
fn voting(options: &arguments::Replay, settings: &Settings, model: &Document) -> Result<(Replay, Vec<String>), String> {
    if options.engine.iter().any(|engine| *engine != arguments::Engine::Native) {
        return Err("the model is an ensemble: the kernel, the vm and the reference run one tree; use --engine native".to_owned());
    }
    let native = Native::of(settings.hook, settings.loaded(), settings.flows_max, Decider::of(model)).allowing(settings.allow.clone());
    let note = "the model is an ensemble: vm, kernel and reference do not run one".to_owned();
    Ok((Replay::new(vec![Box::new(native)], None, settings.flows_max), vec![note]))
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
