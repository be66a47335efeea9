//! The bench's object (`ebpf/src/paper`): the paper's arrays filled with a model's nodes, the floor's table with a capture's flows.

use aya::maps::{Array, HashMap, MapData};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use treeline_ebpf::Key;
use treeline_ebpf::feature::PACKETS;
use treeline_lab::cause::explain;
use treeline_model::{Model, Node};
use treeline_sim::engine::kernel::program;

use super::FLOWS_MAX;

/// The object.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../ebpf/object/paper.bpf.o");

/// The paper's program, state and features written in place.
pub const PAPER: &str = "paper_xdp";
/// The same, written by the helper that updates a map.
pub const HELPERS: &str = "paper_helpers_xdp";
/// The floor.
pub const FLOOR: &str = "floor_xdp";
/// `XDP_DROP`: the paper's program judged malicious.
const MALICIOUS: u32 = 1;
/// `XDP_PASS`: it judged benign.
const BENIGN: u32 = 2;
/// The longest path that the paper's loop follows.
const DEPTH_MAX: usize = 20;

/// What an array holds of a node.
type Column = fn(Node) -> i64;

/// A flow's key as the floor reads it.
pub type KeyBytes = [u8; 40];

/// Loads the object with the nodes of `model`; its programs are loaded too. `replay`: the clock comes from outside.
pub fn load(model: &Model, replay: bool) -> Result<Ebpf, String> {
    if model.depth() > DEPTH_MAX {
        return Err(format!("the paper's layout follows {DEPTH_MAX} edges and the model has {}; give a flatter one", model.depth()));
    }
    let nodes = model.asked_nodes();
    let numbered = nodes.iter().any(|node| matches!(node, Node::Inner { feature, .. } if usize::from(*feature) == PACKETS));
    let (replay, numbered) = (u32::from(replay), u32::from(numbered));
    let mut ebpf = EbpfLoader::new()
        .override_global("REPLAY", &replay, true)
        .override_global("NUMBERED", &numbered, true)
        .map_max_entries("FLOWS", FLOWS_MAX)
        .map_max_entries("STATES", FLOWS_MAX)
        .load(OBJECT)
        .map_err(|error| explain(&error))?;
    let columns: [(&str, Column); 5] = [
        ("LEFT", |node| if let Node::Inner { left, .. } = node { left.into() } else { -1 }),
        ("RIGHT", |node| if let Node::Inner { right, .. } = node { right.into() } else { -1 }),
        ("FEATURE", |node| if let Node::Inner { feature, .. } = node { feature.into() } else { -2 }),
        ("THRESHOLD", |node| if let Node::Inner { threshold, .. } = node { threshold } else { -2 }),
        ("VALUE", |node| if let Node::Leaf { class } = node { class.into() } else { 0 }),
    ];
    for (name, of) in columns {
        let mut column = array::<i64>(&mut ebpf, name)?;
        for (index, node) in (0..).zip(nodes.iter()) {
            column.set(index, of(*node), 0).map_err(|error| explain(&error))?;
        }
    }
    for name in [PAPER, HELPERS, FLOOR] {
        program::<Xdp>(&mut ebpf, name).map_err(|error| explain(&error))?.load().map_err(|error| explain(&error))?;
    }
    Ok(ebpf)
}

/// Puts flows into the floor's table.
pub fn insert<'a>(ebpf: &mut Ebpf, keys: impl IntoIterator<Item = &'a KeyBytes>) -> Result<(), String> {
    let map = ebpf.map_mut("FLOWS").ok_or("the bench's object has no FLOWS")?;
    let mut flows: HashMap<&mut MapData, KeyBytes, [u8; 128]> = HashMap::try_from(map).map_err(|error| explain(&error))?;
    keys.into_iter().try_for_each(|key| flows.insert(key, [0; 128], 0)).map_err(|error| explain(&error))
}

/// A flow's key as it lies in memory.
pub fn bytes(key: &Key) -> KeyBytes {
    let mut bytes = [0; 40];
    let words = [key.low[0], key.low[1], key.high[0], key.high[1]];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes[32..34].copy_from_slice(&key.low_port.to_ne_bytes());
    bytes[34..36].copy_from_slice(&key.high_port.to_ne_bytes());
    bytes[36..38].copy_from_slice(&[key.protocol, key.version]);
    bytes
}

/// Whether the paper's program, loaded for a replay, calls a frame at `now_ns` malicious; none if it cannot read it.
pub fn judge(ebpf: &mut Ebpf, frame: &[u8], now_ns: u64) -> Result<Option<bool>, String> {
    array::<u64>(ebpf, "NOW")?.set(0, now_ns, 0).map_err(|error| explain(&error))?;
    let run = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
    let program = program::<Xdp>(ebpf, PAPER).map_err(|error| explain(&error))?;
    match program.test_run(run).map_err(|error| explain(&error))?.return_value {
        MALICIOUS => Ok(Some(true)),
        BENIGN => Ok(Some(false)),
        _ => Ok(None),
    }
}

fn array<'a, T: aya::Pod>(ebpf: &'a mut Ebpf, name: &str) -> Result<Array<&'a mut MapData, T>, String> {
    let map = ebpf.map_mut(name).ok_or_else(|| format!("the bench's object has no {name}"))?;
    Array::try_from(map).map_err(|error| explain(&error))
}
