//! `treeline explain`: why one packet of a capture has its verdict.
//!
//! The capture runs through the native engine and the reference up to the packet, for a verdict depends on all that the flow did before.

mod vote;

mod json;

mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use treeline_ebpf::{Config, FEATURES};
use treeline_lab::Frame;
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_model::vote::Votes;
use treeline_model::{Model, Node, Rule, Vote};
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook, Observation, Settings};
use treeline_sim::reference::{Judgement, Reference};

use crate::options::{Format, captures_help};
use crate::output::print;
use crate::read;

/// Explain one packet's verdict: flow, features, splits.
///
/// Beside the fixed-point features stand the reference's, in real numbers, with the bound that docs/classifier.md derives. Of an ensemble there
/// is one line per tree: the leaf it reached, and what that adds to the vote.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Explain {
    /// The model, a JSON file: one tree, or an ensemble. Default: the one built in.
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<PathBuf>,

    /// The capture: pcap or pcapng, plain, gzip or zstd; `-` is standard input.
    #[arg(value_name = "CAPTURE", long_help = captures_help(""))]
    pub capture: PathBuf,

    /// The packet: index of its frame in the capture, from 0, as `replay --format jsonl` gives it.
    #[arg(short, long, value_name = "N")]
    pub packet: u64,

    /// text for people, json for machines.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    #[command(flatten)]
    pub table: crate::options::FlowTable,
}

const EXAMPLES: &str = "\
Examples:
  treeline explain capture.pcap --packet 17
  treeline explain --model model.json capture.pcap --packet 17 --format json | jq .path

Exit codes: 0 explained, also where the packet has no verdict, 2 bad usage or input.";

/// All that is known of the packet.
#[derive(Debug)]
pub struct Explanation<'a> {
    options: &'a Explain,
    model: &'a Model,
    frame: Frame,
    observation: Observation,
    /// None if there were more flows than the table holds: the reference does not evict.
    judgement: Option<Judgement>,
}

/// Explains and prints.
pub fn run(options: &Explain) -> Result<ExitCode, String> {
    let model = read::model(options.model.as_deref())?;
    let explanation = find(options, &model, options.table.config()?)?;
    match options.format {
        Format::Text => print(&text::text(&explanation))?,
        Format::Json => print(&format!("{:#}\n", json::json(&explanation)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs both engines up to the packet.
fn find<'a>(options: &'a Explain, model: &'a Model, config: Config) -> Result<Explanation<'a>, String> {
    let mut native = Native::new(&Settings::new(Hook::Tc, config, model, options.table.flows));
    let mut reference = Some(Reference::of(config, model));
    let mut capture = Capture::open(&options.capture).map_err(|error| explain(&error))?;
    let mut frame = Frame::default();
    while capture.next_into(&mut frame).map_err(|error| explain(&error))? {
        let observation = native.judge(&frame).map_err(|error| explain(&error))?;
        let judgement = reference.as_mut().map(|reference| reference.judge(&frame));
        if frame.index == options.packet {
            return Ok(Explanation { options, model, frame, observation, judgement });
        }
        if frame.index > options.packet {
            break;
        }
        if reference.as_ref().is_some_and(|reference| reference.flows_count() >= options.table.flows as usize) {
            reference = None;
        }
    }
    let (path, asked) = (options.capture.display(), options.packet);
    if capture.frames_count() > asked {
        return Err(format!("{path}: frame {asked} is of a link type that is not supported; `replay` counts these"));
    }
    Err(match capture.frames_count().checked_sub(1) {
        Some(last) => format!("{path}: no frame {asked}: the last one is {last}; give --packet 0 to {last}"),
        None => format!("{path}: no frame {asked}: the capture has none"),
    })
}

/// A question that the tree asked.
struct Split {
    node: usize,
    feature: usize,
    value: i64,
    threshold: i64,
    goes_left: bool,
    child: u16,
}

impl Explanation<'_> {
    /// The packet's number in its flow and its features, if it reached one.
    fn reached(&self) -> Option<(u64, [i64; FEATURES])> {
        Some((self.observation.flow?.packets, self.observation.features?))
    }

    /// Whether the packet reached its flow and the model is not asked about it.
    fn passes(&self) -> bool {
        self.observation.flow.is_some_and(|flow| !self.model.precondition().holds(flow.packets, flow.is_midstream()))
    }

    /// The questions on the way to the leaf, and the leaf; none if there is not one tree, or it is not asked.
    fn path(&self) -> Option<(Vec<Split>, usize)> {
        let tree = self.model.tree().ok()?;
        let (_, values) = self.reached().filter(|_| !self.passes())?;
        let mut path: Vec<_> = tree.path(values).collect();
        let leaf = path.pop()?;
        let split = |node: usize| match tree.nodes()[node] {
            Node::Inner { feature, threshold, left, right } => {
                let value = values[usize::from(feature)];
                let goes_left = value <= threshold;
                let child = if goes_left { left } else { right };
                Some(Split { node, feature: feature.into(), value, threshold, goes_left, child })
            }
            Node::Leaf { .. } => None,
        };
        Some((path.into_iter().filter_map(split).collect(), leaf))
    }

    /// What each tree of a vote said; none if the model is not one, or does not classify the packet.
    fn votes(&self) -> Option<(&Vote, Votes<'_>)> {
        let Rule::Vote(vote) = self.model.rule() else { return None };
        let (_, values) = self.reached().filter(|_| !self.passes())?;
        Some((vote, vote.votes(&values)))
    }
}

/// Fixed point as the nearest number.
#[expect(clippy::cast_precision_loss, reason = "the exact value stands beside it")]
fn real(fixed: i64) -> f64 {
    fixed as f64 / f64::from(1_u32 << treeline_ebpf::feature::FRACTION_BITS)
}
