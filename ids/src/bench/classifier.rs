//! `treeline bench classifier`: the floor, the paper's layout, walk and compiled over one capture, in one run.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use treeline_ebpf::{Config, FEATURES, Link, Outcome};
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_model::{Model, Precondition};
use treeline_sim::engine::kernel::load;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook, Settings};

use super::cost::cost;
use super::paper::{self, KeyBytes};
use super::{FLOWS_MAX, median, one_flow, size, tree};
use crate::options::Format;
use crate::output::print;
use crate::read::MODEL;

/// Measure what the classifier costs in the kernel, against a floor and the paper's layout (needs root).
///
/// By test run over a capture's packets at XDP, in turn within each round: the floor (clock and one lookup of the packet's flow in an LRU
/// table, nothing parsed); the paper's layout (five arrays looked up at every node, a shared feature array, unlocked flow state), once with
/// state and features written by the helper that updates a map and once in place, the cheapest that its description allows; the same tree walked; and compiled. Two ways: packets of distinct flows, each many times a call, so that caches and predictors are warm; and each
/// packet of the capture once a call, into cold caches, with the kernel's two readings of the clock in each time. Nothing is subtracted.
/// Two trees: the model, and one of the paper's size (1000 leaves) that the capture's packets reach in equal parts.
/// Then one flow and a full tree of depth 10 at XDP and TC, against a floor that looks up one flow.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// The capture (its first packets that are IPv4 and reach a flow).
    #[arg(value_name = "CAPTURE", default_value = "testdata/captures/lab-mixed.pcap")]
    pub capture: PathBuf,

    /// The model, a JSON file. Default: the one built in.
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<PathBuf>,

    /// Also compare walk and compiled for trees of 10, 100 and 1000 leaves that the capture's packets reach in equal parts.
    #[arg(long)]
    pub sizes: bool,

    /// text for people, json for machines.
    #[arg(short, long, value_enum, default_value = "text")]
    pub format: Format,

    /// Rounds; medians over them are printed.
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Runs of a program a round over one packet; the packets of distinct flows share them.
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
}

const EXAMPLES: &str = "\
Examples:
  treeline bench classifier
  treeline bench classifier capture.pcap --sizes --format json";

/// How many programs are compared.
const PROGRAMS: usize = 5;
/// The programs in order.
const NAMES: [&str; PROGRAMS] =
    ["floor (clock, lookup of the flow)", "the paper's layout", "the same, written in place", "walk", "compiled"];
/// Their names for machines.
const KEYS: [&str; PROGRAMS] = ["floor", "paper", "paper_in_place", "walk", "compiled"];
/// What a test run takes: the fixed places of the paper's parser at least, a page less its own room at most.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 40..=2_048;
/// The capture's packets that are run, at most.
const PACKETS_MAX: usize = 20_000;
/// Leaves of the second tree, as many as the paper's may have.
const PAPER_LEAVES: usize = 1_000;
/// Packets of distinct flows that run again and again.
const SAMPLE: usize = 32;

/// Measures and prints.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let model = match &options.model {
        Some(path) => Model::read_tree(path),
        None => Model::read_bytes(MODEL.as_bytes()),
    }
    // The paper's layout does not know how a flow began.
    .and_then(|model| {
        let precondition = Precondition::new(model.precondition().packets_min(), false)?;
        model.with_precondition(precondition)
    })
    .map_err(|error| explain(&error))?;
    let input = read(&options.capture, &model)?;
    let large = tree::grow(input.vectors.clone(), PAPER_LEAVES)?;
    let trees = [("model", &model), ("paper_size", &large)];
    let layouts = trees.map(|(key, tree)| Ok((key, tree, layouts(tree, &input, options)?)));
    let layouts = layouts.into_iter().collect::<Result<Vec<_>, String>>()?;
    let one_flow = one_flow::one_flow(options.rounds, options.repeat)?;
    let sizes = if options.sizes { Some(size::compare(&options.capture, options.rounds)?) } else { None };
    match options.format {
        Format::Text => {
            let sizes = sizes.map_or_else(String::new, |sizes| format!("\n{}", sizes.text()));
            print(&format!("{}\n{}{sizes}", text(&layouts, &input, options), one_flow.text()))?;
        }
        Format::Json => {
            let mut report = to_json(&layouts, &input, options);
            report["one_flow"] = one_flow.json();
            report["sizes"] = json!(sizes.map(|sizes| sizes.json()));
            print(&format!("{report}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A packet that all programs classify.
struct Packet {
    frame: Vec<u8>,
    key: KeyBytes,
}

/// What the capture gives.
struct Input {
    packets: Vec<Packet>,
    /// Their features.
    vectors: Vec<[i64; FEATURES]>,
    flows: usize,
    /// Packets that the native engine and the paper's layout both classified malicious, that each did, and on which they differ.
    agreed: [u64; 4],
    left_out: u64,
}

/// Reads the capture, and compares the verdicts of the paper's layout with the native engine's, on the capture's clock.
fn read(path: &Path, model: &Model) -> Result<Input, String> {
    let mut native = Native::new(&Settings::new(Hook::Xdp, Config::default(), model, FLOWS_MAX));
    let paper = paper::load(model, true)?;
    let mut input = Input { packets: vec![], vectors: vec![], flows: 0, agreed: [0; 4], left_out: 0 };
    for frame in Capture::open(path).map_err(|error| explain(&error))? {
        let mut frame = frame.map_err(|error| explain(&error))?;
        let seen = native.judge(&frame).map_err(|error| explain(&error))?;
        frame.bytes.truncate(*FRAME_BYTES.end());
        let taken = FRAME_BYTES.contains(&frame.bytes.len());
        let verdict = if taken { paper::judge(&paper, &frame.bytes, frame.time_ns)? } else { None };
        let (Outcome::Judged(class), Some(flow), Some(verdict)) = (seen.outcome, seen.flow, verdict) else {
            input.left_out += 1;
            continue;
        };
        let counted = [class > 0 && verdict, class > 0, verdict, (class > 0) != verdict];
        input.agreed.iter_mut().zip(counted).for_each(|(sum, counted)| *sum += u64::from(counted));
        input.vectors.extend(seen.features);
        input.packets.push(Packet { frame: frame.bytes, key: paper::bytes(&flow.key) });
        if input.packets.len() == PACKETS_MAX {
            break;
        }
    }
    input.flows = input.packets.iter().map(|packet| packet.key).collect::<HashSet<_>>().len();
    if input.packets.is_empty() {
        return Err(format!("{}: no packet that all programs classify; give a capture with IPv4 on Ethernet", path.display()));
    }
    Ok(input)
}

/// The programs' figures, ns/packet: packets of distinct flows again and again, then each packet once.
struct Layouts {
    warm: Figures,
    once: Figures,
    sample: usize,
}

/// Medians over rounds: nanoseconds, and in the same round each program's ratio to the floor and the two paper layouts' to it.
struct Figures {
    cost_ns: [f64; PROGRAMS],
    to_floor: [f64; PROGRAMS],
    paper_to: [f64; PROGRAMS],
    in_place_to: [f64; PROGRAMS],
}

fn layouts(model: &Model, input: &Input, options: &Options) -> Result<Layouts, String> {
    let walk = Settings::new(Hook::Xdp, Config::default(), model, FLOWS_MAX);
    let compiled = walk.clone().compiled(model).map_err(|error| explain(&error))?;
    let bench = paper::load(model, false)?;
    paper::insert(&bench, input.packets.iter().map(|packet| &packet.key))?;
    let [mut walk, mut compiled] = [load(&walk).map_err(|error| explain(&error))?, load(&compiled).map_err(|error| explain(&error))?];
    for programs in [&mut walk, &mut compiled] {
        programs.load(Hook::Xdp.program(Link::Ethernet)).map_err(|error| explain(&error))?;
    }
    let sample = sample(&input.packets);
    let repeat = options.repeat.div_ceil(u32::try_from(sample.len()).unwrap_or(u32::MAX)).max(1);
    let all: Vec<_> = input.packets.iter().collect();
    let mut costs = [vec![], vec![]];
    // The first round opens the flows and warms up.
    for round in 0..=options.rounds {
        for (costs, (packets, repeat)) in costs.iter_mut().zip([(&sample, repeat), (&all, 1)]) {
            let cost = [
                cost(&bench, paper::FLOOR, packets.iter().map(|packet| &packet.key[..]), repeat)?,
                cost(&bench, paper::HELPERS, packets.iter().map(|packet| &packet.frame[..]), repeat)?,
                cost(&bench, paper::PAPER, packets.iter().map(|packet| &packet.frame[..]), repeat)?,
                cost(&walk, Hook::Xdp.program(Link::Ethernet), packets.iter().map(|packet| &packet.frame[..]), repeat)?,
                cost(&compiled, Hook::Xdp.program(Link::Ethernet), packets.iter().map(|packet| &packet.frame[..]), repeat)?,
            ];
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let [warm, once] = costs.map(|costs| Figures::of(&costs));
    Ok(Layouts { warm, once, sample: sample.len() })
}

/// Packets of distinct flows, spread over the capture.
fn sample(packets: &[Packet]) -> Vec<&Packet> {
    let mut known = HashSet::new();
    let firsts: Vec<_> = packets.iter().rev().filter(|packet| known.insert(packet.key)).collect();
    let step = firsts.len().div_ceil(SAMPLE).max(1);
    firsts.into_iter().step_by(step).collect()
}

impl Figures {
    fn of(rounds: &[[f64; PROGRAMS]]) -> Self {
        let over = |figure: &dyn Fn(&[f64; PROGRAMS], usize) -> f64| {
            std::array::from_fn(|index| median(&rounds.iter().map(|costs| figure(costs, index)).collect::<Vec<_>>()))
        };
        Self {
            cost_ns: over(&|costs, index| costs[index]),
            to_floor: over(&|costs, index| costs[index] / costs[0].max(1.0)),
            paper_to: over(&|costs, index| costs[1] / costs[index].max(1.0)),
            in_place_to: over(&|costs, index| costs[2] / costs[index].max(1.0)),
        }
    }

    fn text(&self) -> String {
        let line = |index: usize| {
            let (name, cost, floor) = (NAMES[index], self.cost_ns[index], self.to_floor[index]);
            let (paper, in_place) = (self.paper_to[index], self.in_place_to[index]);
            format!("  {name:<36}{cost:>6.0} ns {floor:>12.2} {paper:>15.2} {in_place:>12.2}\n")
        };
        let header = format!("  {:<36}{:>9} {:>12} {:>15} {:>12}\n", "", "a packet", "to the floor", "paper's to it", "in place's");
        header + &(0..PROGRAMS).map(line).collect::<String>()
    }

    fn to_json(&self) -> Value {
        let named = |index: usize| {
            json!({ "ns_per_packet": self.cost_ns[index], "to_floor": self.to_floor[index], "paper_to": self.paper_to[index],
                    "paper_in_place_to": self.in_place_to[index] })
        };
        KEYS.iter().enumerate().map(|(index, key)| ((*key).to_owned(), named(index))).collect::<serde_json::Map<_, _>>().into()
    }
}

/// A tree's key, the tree, its figures.
type Measured<'a> = (&'static str, &'a Model, Layouts);

fn text(all: &[Measured<'_>], input: &Input, options: &Options) -> String {
    let Input { packets, flows, agreed: [_, walk, paper, differing], left_out, .. } = input;
    let (capture, rounds) = (options.capture.display(), options.rounds);
    let trees = all.iter().map(|(_, model, layouts)| {
        format!(
            "\na tree of {} leaves and depth {}, xdp\n{} packets of distinct flows, many times a call\n{}each packet once a call\n{}",
            model.leaves(),
            model.depth(),
            layouts.sample,
            layouts.warm.text(),
            layouts.once.text()
        )
    });
    format!(
        "{capture}: {} packets of {flows} flows ({left_out} left out: not IPv4, or not taken by a test run), medians of {rounds} rounds
verdicts on the capture's clock: {walk} malicious by walk, {paper} by the paper's layout, {differing} packets differ
{}",
        packets.len(),
        trees.collect::<String>()
    )
}

fn to_json(all: &[Measured<'_>], input: &Input, options: &Options) -> Value {
    let [both, walk, paper, differing] = input.agreed;
    let mut report = json!({
        "capture": options.capture,
        "packets": input.packets.len(),
        "flows": input.flows,
        "left_out": input.left_out,
        "rounds": options.rounds,
        "malicious": { "walk": walk, "paper": paper, "both": both, "differing": differing },
    });
    for (key, model, layouts) in all {
        let (leaves, depth) = (model.leaves(), model.depth());
        report[*key] = json!({ "leaves": leaves, "depth": depth, "warm": layouts.warm.to_json(), "once": layouts.once.to_json() });
    }
    report
}
