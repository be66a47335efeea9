//! Walk against compiled over a capture: what a packet costs, what the verifier follows, what loading and linking take.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};
use treeline_ebpf::{Config, FEATURES, Link};
use treeline_lab::capture::Capture;
use treeline_lab::cause::explain;
use treeline_lab::kernel::{LoadedProgram, syscall};
use treeline_model::link::link;
use treeline_model::{BENIGN, Model, Node};
use treeline_sim::engine::kernel::load;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook, Settings};
use treeline_sim::object;

use super::cost::{cost, insert_floor_flow};
use super::{FLOWS_MAX, median, tree};

/// Sizes of the trees.
const LEAVES: [usize; 3] = [10, 100, 1_000];
/// What a test run takes: Ethernet and IP headers at least, a page less its own room at most.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 54..=2_048;
/// Runs of each packet in a row where caches and predictors are to be warm.
const REPEAT: u32 = 16;
/// The capture's packets that are run, at most.
const PACKETS_MAX: usize = 200_000;

/// One tree's figures; in pairs walk first, then compiled.
#[derive(Debug)]
struct Row {
    leaves: usize,
    depth: usize,
    instructions: usize,
    link_ms: f64,
    load_ms: [f64; 2],
    verified: [Option<u32>; 2],
    /// XDP, each packet once: floor, walk and compiled, ns/packet.
    once_ns: [f64; 3],
    /// TC, each packet [`REPEAT`] times: walk and compiled, ns/run.
    repeated_ns: [f64; 2],
    /// Compiled to walk in the same round: once, and repeated.
    ratios: [f64; 2],
}

/// All trees over one capture.
#[derive(Debug)]
pub struct Comparison {
    packets: usize,
    flows: usize,
    rounds: u32,
    rows: Vec<Row>,
}

/// Measures `rounds` rounds over the capture at `path`.
pub fn compare(path: &Path, rounds: u32) -> Result<Comparison, String> {
    let Input { packets, vectors, flows } = read(path)?;
    let rows = LEAVES.iter().map(|leaves| row(&tree::grow(vectors.clone(), *leaves)?, &packets, rounds)).collect::<Result<_, _>>()?;
    Ok(Comparison { packets: packets.len(), flows, rounds, rows })
}

/// What a capture gives.
#[derive(Default)]
struct Input {
    packets: Vec<Vec<u8>>,
    /// The features of the packets that reach a flow.
    vectors: Vec<[i64; FEATURES]>,
    flows: usize,
}

fn read(path: &Path) -> Result<Input, String> {
    let benign = Model::from_nodes("benchmark", vec![BENIGN.to_owned()], vec![Node::Leaf { class: 0 }]).map_err(|error| explain(&error))?;
    let mut native = Native::new(&settings(&benign));
    let mut input = Input::default();
    for frame in Capture::open(path).map_err(|error| explain(&error))?.take(PACKETS_MAX) {
        let mut frame = frame.map_err(|error| explain(&error))?;
        input.vectors.extend(native.judge(&frame).map_err(|error| explain(&error))?.features);
        frame.bytes.truncate(*FRAME_BYTES.end());
        if FRAME_BYTES.contains(&frame.bytes.len()) {
            input.packets.push(frame.bytes);
        }
    }
    if input.vectors.is_empty() {
        return Err(format!("{}: no packet reaches a flow; give a capture with IP traffic", path.display()));
    }
    Ok(Input { flows: native.flows().len(), ..input })
}

fn settings(model: &Model) -> Settings {
    Settings::new(Hook::Xdp, Config::default(), model, FLOWS_MAX)
}

fn row(model: &Model, packets: &[Vec<u8>], rounds: u32) -> Result<Row, String> {
    let start = Instant::now();
    let linked = link(object::OBJECT, model).map_err(|error| explain(&error))?;
    let link_ms = start.elapsed().as_secs_f64() * 1e3;
    let walk = settings(model);
    let compiled = Settings { linked: Some(linked.object.into()), ..walk.clone() };
    let (mut walk, mut compiled) = (load(&walk).map_err(|error| explain(&error))?, load(&compiled).map_err(|error| explain(&error))?);
    insert_floor_flow(&walk)?;
    let (xdp, tc) = (Hook::Xdp.program(Link::Ethernet), Hook::Tc.program(Link::Ethernet));
    let failed = |error| explain(&error);
    let (walk_load, compiled_load) = (loaded(walk.load(xdp).map_err(failed)?)?, loaded(compiled.load(xdp).map_err(failed)?)?);
    walk.load(object::FLOOR).map_err(failed)?;
    walk.load(tc).map_err(failed)?;
    compiled.load(tc).map_err(failed)?;
    let cost = |programs, name, repeat| cost(programs, name, packets.iter().map(Vec::as_slice), repeat);

    let mut costs = [const { Vec::new() }; 5];
    let mut ratios = [const { Vec::new() }; 2];
    // The first round opens the flows and warms up.
    for round in 0..=rounds {
        let once = [cost(&walk, object::FLOOR, 1)?, cost(&walk, xdp, 1)?, cost(&compiled, xdp, 1)?];
        let repeated = [cost(&walk, tc, REPEAT)?, cost(&compiled, tc, REPEAT)?];
        if round > 0 {
            costs.iter_mut().zip(once.into_iter().chain(repeated)).for_each(|(costs, cost)| costs.push(cost));
            ratios.iter_mut().zip([once[2] / once[1], repeated[1] / repeated[0]]).for_each(|(ratios, ratio)| ratios.push(ratio));
        }
    }
    let [floor, walk, compiled, walk_repeated, compiled_repeated] = costs.map(|costs| median(&costs));
    Ok(Row {
        leaves: model.leaves(),
        depth: model.depth(),
        instructions: linked.code.instructions_count(),
        link_ms,
        load_ms: [walk_load.0, compiled_load.0],
        verified: [walk_load.1, compiled_load.1],
        once_ns: [floor, walk, compiled],
        repeated_ns: [walk_repeated, compiled_repeated],
        ratios: ratios.map(|ratios| median(&ratios)),
    })
}

/// How long a program took to load, ms, and how many instructions the verifier followed, where the kernel says so (since 5.16).
fn loaded(program: &LoadedProgram) -> Result<(f64, Option<u32>), String> {
    let info = syscall::program_info(program.fd.as_fd()).map_err(|error| format!("{}: {error}", program.name))?;
    Ok((program.load_time.as_secs_f64() * 1e3, Some(info.verified_insns).filter(|count| *count > 0)))
}

impl Comparison {
    /// For people.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(NOTHING).set_header([
            "leaves",
            "depth",
            "floor",
            "walk",
            "compiled",
            "ratio",
            "walk",
            "compiled",
            "ratio",
            "code",
            "verified: walk",
            "compiled",
            "load ms: walk",
            "compiled",
            "link ms",
        ]);
        let verified = |count: Option<u32>| count.map_or("-".to_owned(), |count| count.to_string());
        for row in &self.rows {
            let cells = [row.leaves.to_string(), row.depth.to_string()].into_iter();
            let cells = cells.chain(row.once_ns.map(|ns| format!("{ns:.0}"))).chain([format!("{:.2}", row.ratios[0])]);
            let cells = cells.chain(row.repeated_ns.map(|ns| format!("{ns:.0}"))).chain([format!("{:.2}", row.ratios[1])]);
            let cells = cells.chain([row.instructions.to_string()]).chain(row.verified.map(verified));
            table.add_row(cells.chain(row.load_ms.map(|ms| format!("{ms:.1}"))).chain([format!("{:.1}", row.link_ms)]));
        }
        table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let Self { packets, flows, rounds, .. } = self;
        format!(
            "{packets} packets of {flows} flows, means over packets, medians of {rounds} rounds, ns/packet:\n\
             first xdp, each packet once a call; then tc, each {REPEAT} times in a row\n{table}\n"
        )
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "leaves": row.leaves,
                "depth": row.depth,
                "instructions": row.instructions,
                "xdp_once_ns": { "floor": row.once_ns[0], "walk": row.once_ns[1], "compiled": row.once_ns[2] },
                "xdp_once_compiled_to_walk": row.ratios[0],
                "tc_repeated_ns": { "walk": row.repeated_ns[0], "compiled": row.repeated_ns[1] },
                "tc_repeated_compiled_to_walk": row.ratios[1],
                "verified_instructions": { "walk": row.verified[0], "compiled": row.verified[1] },
                "load_ms": { "walk": row.load_ms[0], "compiled": row.load_ms[1] },
                "link_ms": row.link_ms,
            })
        });
        json!({ "packets": self.packets, "flows": self.flows, "rounds": self.rounds, "trees": rows.collect::<Vec<_>>() })
    }
}
