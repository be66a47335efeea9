//! `treeline train`: labelled captures, or a table of their features, become a model.
//!
//! The model file appears when it is complete: a training that is interrupted leaves none, and one that was there stays as it was.

mod record;
mod source;

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use treeline_data::sample::{ClassWeight, Classes, FlowWeight, Sample, Split, Take};
use treeline_lab::cause::explain;
use treeline_model::train::{self, Grown, Settings};
use treeline_model::{Model, Precondition};

use crate::options::{Format, captures_help, distinct};
use crate::output::print;
use record::Record;

/// Train a decision tree on labelled captures or a table.
///
/// The tree is scikit-learn's (best-first, Gini), grown on the classifier's own fixed-point features, so that the kernel decides what training decided. Rows without a label
/// are left out and counted. The model file holds the record of its training and its test.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Train {
    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input.
    #[arg(
        value_name = "CAPTURE",
        required_unless_present = "table",
        conflicts_with = "table",
        requires = "labels",
        long_help = captures_help("")
    )]
    pub captures: Vec<PathBuf>,

    /// Which class a flow has: a file of rules, windows or flows, or `cic-ids-2017` for that dataset's published attack windows.
    #[arg(short, long, value_name = "LABELS", conflicts_with = "table")]
    pub labels: Option<String>,

    /// A Parquet file that `treeline features` wrote, instead of captures.
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,

    /// The model file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Edges between the root and the deepest leaf, at most.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub max_depth: usize,

    /// Leaves, at most.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub max_leaf_nodes: usize,

    /// Rows of a leaf, at least: a leaf of few rows is chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub min_samples_leaf: usize,

    /// What a flow's packets weigh together, with --samples packet.
    #[arg(long, value_enum, default_value = "equal")]
    pub flow_weight: FlowBy,

    /// What counts the same in training, besides flows.
    #[arg(long, value_enum, default_value = "none")]
    pub class_weight: Weight,

    /// What all benign rows weigh together, as a multiple of all others: more means fewer false alarms and more attacks missed. Default: what flows
    /// and --class-weight give.
    #[arg(long, value_name = "TIMES", value_parser = times)]
    pub benign_weight: Option<f64>,

    /// Classes of the labels to leave out of training and test, as neither benign nor malicious. Separated by commas, or given again.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    pub without: Vec<String>,

    /// The packet of a flow, counted from 1, from which a class of the labels can be told: CLASS=N. Earlier packets of its flows are learned neither as
    /// benign nor as malicious. Separated by commas, or given again.
    #[arg(long, value_name = "CLASS=N", value_delimiter = ',', value_parser = first_packet)]
    pub first_packet: Vec<(String, u64)>,

    /// Draw each flow's originator port again where it is above 1023 and the responder's: which ports a system or a tool picks tells nothing about another.
    #[arg(long)]
    pub redraw_ports: bool,

    /// Classes of the labels whose flows can go to any port: the responder's port of each second flow is drawn, one in four times from those of services (below
    /// 1024, the low ones more often), else from all. Separated by commas, or given again.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    pub any_port: Vec<String>,

    /// What the model tells apart.
    #[arg(long, value_enum, default_value = "binary")]
    pub classes: Kind,

    /// Which packets are learned from.
    #[arg(long, value_enum, default_value = "packet")]
    pub samples: Samples,

    /// Captures to test on and not to train on; with --table, their names in it. Separated by commas, or given again.
    #[arg(long, value_name = "CAPTURE", value_delimiter = ',', conflicts_with = "split")]
    pub test: Vec<PathBuf>,

    /// What a third is kept of for the test. Default: capture where there are several, else flow.
    #[arg(long, value_enum)]
    pub split: Option<By>,

    /// The packet of a flow, counted from 1, at which the model gives its first verdict; earlier packets pass and are not learned from.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub packets_min: u32,

    /// What becomes of a TCP connection that is older than its flow, as all are where the classifier starts in the midst of traffic.
    #[arg(long, value_enum, default_value = "judge")]
    pub midstream: Midstream,

    /// Draws what is kept for the test, and which feature wins a tie. The same seed gives the same model.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Threads; 0 takes all cores. The model does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1024))]
    pub threads: u16,

    /// text for people, json for the whole record.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,
}

const EXAMPLES: &str = "\
Examples:
  treeline train monday.pcap tuesday.pcap --labels cic-ids-2017 --samples flow-last --split flow -o model.json
  treeline train train/*.pcap --labels labels.csv --class-weight capture --test test/one.pcap,test/two.pcap -o model.json
  treeline train --table rows.parquet --classes attack -o model.json

Weights: with --samples packet the rows of a flow weigh together what --flow-weight says, 1 by default. --class-weight balanced then gives each of the model's classes the same total,
capture each capture, label each class of the labels; --benign-weight then says what a false alarm costs.

Exit codes: 0 trained, 2 bad usage or input (no model is written).";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlowBy {
    /// 1: a long flow does not outvote a short one.
    Equal,
    /// The square root of their number.
    Root,
    /// Their number: every packet counts the same.
    Packets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Weight {
    /// Nothing more: every flow counts the same.
    None,
    /// Every class.
    Balanced,
    /// Every capture: a flood has more flows than all else together.
    Capture,
    /// Every class that the labels name.
    Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Benign and malicious.
    Binary,
    /// Benign and each attack.
    Attack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Samples {
    /// Every packet, as the classifier does.
    Packet,
    /// The last of each flow, among at most its first 100: the paper's way.
    FlowLast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Midstream {
    /// It is classified like any other flow.
    Judge,
    /// It passes, and is not learned from: what went before is known neither to the features nor to the tree.
    Pass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// One of every three flows of each class: the paper's way, which flatters the model.
    Flow,
    /// One of every three captures of each attack.
    Capture,
    /// Nothing: train on all, test nothing.
    None,
}

/// Trains, tests, writes and reports.
pub fn run(options: &Train) -> Result<ExitCode, String> {
    // What cannot be written is found before hours go into it.
    let folder = options.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(format!("--output {}: {} is no folder; create it first", options.output.display(), folder.display()));
    }
    if options.output.is_dir() {
        return Err(format!("--output {}: a folder is there; give the name of a file", options.output.display()));
    }
    distinct(options.captures.iter().chain(&options.test))?;
    let (sample, source) = source::read(options)?;
    let Prepared { sample, classes, numbers, split } = prepare(options, sample, &source)?;
    let start = Instant::now();
    let grown = grow(options, &sample)?;
    let seconds = start.elapsed().as_secs_f64();
    let model = Model::from_nodes(description(options), classes, grown.nodes.clone())
        .and_then(|model| model.with_precondition(Precondition::new(options.packets_min, options.midstream == Midstream::Pass)?));
    let model = model.map_err(|error| explain(&error))?;
    let record = Record { options, sample: &sample, source: &source, split: &split, numbers: &numbers, grown: &grown, model: &model };
    let confusion = sample.flows.iter().any(|flow| flow.is_test).then(|| sample.test(&model, &numbers));
    let json = record.json(confusion.as_ref());
    let model = model.clone().with_training(json.clone());
    model.write(&options.output).map_err(|error| explain(&error))?;
    match options.format {
        Format::Text => print(&record.text(confusion.as_ref(), seconds))?,
        Format::Json => print(&format!("{}\n", serde_json::Value::Object(json)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A sample with its split, weights and the model's classes.
struct Prepared {
    sample: Sample,
    classes: Vec<String>,
    /// The model's class of each of the sample's.
    numbers: Vec<Option<u16>>,
    split: Split,
}

fn prepare(options: &Train, mut sample: Sample, source: &source::Source) -> Result<Prepared, String> {
    let split = match options.split {
        _ if !options.test.is_empty() => Split::Captures(source.tests.clone()),
        Some(By::None) => Split::None,
        Some(By::Capture) => Split::Capture,
        None if source.captures.len() > 1 => Split::Capture,
        Some(By::Flow) | None => Split::Flow,
    };
    sample.split(&split, options.seed);
    sample.check().map_err(|error| format!("{}: {error}", source.other.1))?;
    let kind = match options.classes {
        Kind::Binary => Classes::Binary,
        Kind::Attack => Classes::Attack,
    };
    let (classes, numbers) = sample.model_classes(kind);
    let class_weight = match options.class_weight {
        Weight::None => ClassWeight::None,
        Weight::Balanced => ClassWeight::Balanced,
        Weight::Capture => ClassWeight::Capture,
        Weight::Label => ClassWeight::Label,
    };
    let flow_weight = match options.flow_weight {
        FlowBy::Equal => FlowWeight::Equal,
        FlowBy::Root => FlowWeight::Root,
        FlowBy::Packets => FlowWeight::Packets,
    };
    sample.weigh(flow_weight, class_weight, options.benign_weight, &numbers);
    Ok(Prepared { sample, classes, numbers, split })
}

fn grow(options: &Train, sample: &Sample) -> Result<Grown, String> {
    let settings = Settings {
        depth_max: options.max_depth,
        leaves_max: options.max_leaf_nodes,
        leaf_rows_min: options.min_samples_leaf,
        seed: Some(options.seed),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.into()).build().map_err(|error| explain(&error))?;
    let bar = bar("training {wide_bar} {percent:>3} %  {eta} left")?;
    let grown = pool.install(|| {
        train::grow(&sample.table, &settings, |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            ControlFlow::Continue(())
        })
    });
    bar.finish_and_clear();
    grown.map_err(|error| error.to_string())
}

/// A progress bar where someone watches.
fn bar(template: &str) -> Result<ProgressBar, String> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(ProgressStyle::with_template(template).map_err(|error| explain(&error))?);
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    Ok(bar)
}

fn description(options: &Train) -> String {
    let classes = match options.classes {
        Kind::Binary => "benign and malicious",
        Kind::Attack => "benign and each attack",
    };
    format!("a decision tree for {classes}; how it was trained and what the test showed stands under `training`")
}

fn first_packet(text: &str) -> Result<(String, u64), String> {
    let parts = text.rsplit_once('=').and_then(|(class, number)| Some((class.to_owned(), number.parse().ok()?)));
    parts.filter(|(_, number)| *number > 0).ok_or_else(|| "expected CLASS=N with N of 1 or more, as in ssh-bruteforce=14".to_owned())
}

fn times(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|times: &f64| times.is_finite() && *times > 0.0).ok_or_else(|| "expected a number above 0".to_owned())
}

fn take(options: &Train) -> Take {
    match options.samples {
        Samples::Packet => Take::Packet,
        Samples::FlowLast => Take::FlowLast,
    }
}
