//! `treeline replay`: builds the engines, drives them over each capture, hands the summary to the report.

mod choice;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
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

use crate::options::{Engine as Named, FlowTable, Hook as NamedHook, Mode, Records, Tree, captures_help, guests, open};
use crate::output::{finished, print};
use crate::report::Programs;
use crate::{EXIT_BAD_INPUT, read, report};
use choice::{Hooks, Trees};

const FLOWS_HELP: &str = "Size of the flow table, 4096 to 67108864. Beyond it flows are evicted, and kernel and reference, which evict \
                          otherwise, stop being compared";

/// Replay captures through the engines and compare them per packet.
///
/// Each capture starts with an empty flow table. native, vm and kernel must agree exactly (verdict, features, flow state, counters); the
/// reference, which computes in real numbers, within the bound that docs/classifier.md derives. The replay of a capture ends at its first
/// divergence.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[command(mut_arg("flows", |flows| flows.help(FLOWS_HELP)))]
pub struct Options {
    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "CAPTURE", long_help = captures_help(""))]
    captures: Vec<PathBuf>,

    /// Engines, comma-separated: native, vm, reference, kernel (needs root, or `CAP_BPF` and `CAP_NET_ADMIN`), all (these four), and kernel@SERIES, the
    /// newest of a series of Debian's kernels in QEMU, which needs no privileges: kernel@5.10, kernel@6.1, kernel@7.x (docs/kernels.md). Default:
    /// native,vm,reference and, if permitted, kernel.
    #[arg(short, long, value_delimiter = ',', value_name = "ENGINE")]
    engine: Vec<Named>,

    /// The hooks whose programs the vm and the kernel run, one replay each, comma-separated. Default: tc, where `treeline run` attaches.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "HOOK")]
    hook: Vec<Hooks>,

    /// The model, a JSON file. Default: the one built in.
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,

    /// How the programs of the vm and the kernel hold the tree, one replay each, comma-separated. native and the reference walk it in any
    /// case. Default: compiled, as `treeline run` does.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TREE")]
    tree: Vec<Trees>,

    /// text for people, json for one summary a capture, jsonl for one record a packet.
    #[arg(short, long, value_enum, default_value = "text")]
    format: Records,

    /// Stop after N frames of each capture.
    #[arg(short = 'n', long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,

    /// Show at most N malicious flows in text.
    #[arg(long, value_name = "N", default_value_t = 20)]
    list: usize,

    #[command(flatten)]
    table: FlowTable,

    /// What the programs do with malicious packets.
    #[arg(long, value_enum, default_value = "detect")]
    mode: Mode,

    /// The guest init for kernel@SERIES. Default: what the environment's `TREELINE_GUEST` names, or the source tree's, built on first use, or
    /// treeline-guest beside this program.
    #[arg(long, value_name = "FILE")]
    guest: Option<PathBuf>,

    /// Whose packets pass unclassified: a file with one address or network per line, and behind it its services, like `198.18.0.7 tcp/22`.
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,

    /// Where any program's tests went.
    #[arg(long, hide = true, value_name = "FILE")]
    object: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  treeline replay capture.pcap
  treeline replay --hook all --tree all capture.pcap
  treeline replay --engine native,vm --hook xdp *.pcap.gz
  treeline replay --engine native,kernel@5.10,kernel@6.1,kernel@7.x capture.pcap
  treeline replay --format jsonl --engine native capture.pcapng | jq 'select(.verdict == \"malicious\") | .index'
  zstd -dc big.pcap.zst | treeline replay --engine native --limit 1000000 -

Exit codes: 0 all engines agree, 1 they do not, 2 bad usage or input (a damaged capture is replayed up to the damage).";

/// Replays each capture; the exit code is the worst of all of them.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    if let Some(object) = &options.object {
        return Err(format!(
            "--object moved to a command of its own: treeline test {} CAPTURE... runs any program; replay runs the classifier",
            object.display()
        ));
    }
    let model = read::model(options.model.as_deref())?;
    let runs = runs(options, &model)?;
    let guests = guests(&options.engine, options.guest.as_deref())?;
    let mut code = 0;
    for path in &options.captures {
        for (number, run) in runs.iter().enumerate() {
            let Some(mut capture) = open(path) else {
                code = EXIT_BAD_INPUT;
                break;
            };
            let (replay, notes) = build(options, &run.settings, &model, &guests)?;
            let records = options.format == Records::Jsonl && number == 0;
            let summary = drive(options, records, model.classes(), path, &mut capture, replay)?;
            let programs = Programs { hook: run.hook.name(), tree: run.tree.map_or("none", Tree::name) };
            match options.format {
                Records::Text if number == 0 => print(&report::text(path, &summary, &notes, &programs, model.classes(), options.list))?,
                Records::Text => print(&report::again(&summary, &programs))?,
                Records::Json => print(&format!("{}\n", report::json(path, &summary, &notes, &programs, model.classes())))?,
                Records::Jsonl => {
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
    hook: NamedHook,
    /// None for an ensemble, which no program holds.
    tree: Option<Tree>,
    settings: Settings,
}

/// Each hook with each tree.
fn runs(options: &Options, model: &Model) -> Result<Vec<Run>, String> {
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

fn settings(options: &Options, model: &Model, hook: NamedHook, tree: Option<Tree>) -> Result<Settings, String> {
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
fn build(options: &Options, settings: &Settings, model: &Model, guests: &Fleet) -> Result<(Replay, Vec<String>), String> {
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

/// Runs the replay with a progress bar where someone watches, and records where they are asked for.
fn drive(
    options: &Options,
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
