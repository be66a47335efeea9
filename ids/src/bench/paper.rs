//! The bench's object (`ebpf/src/paper`): the paper's arrays filled with a model's nodes, the floor's table with a capture's flows.

use treeline_ebpf::Key;
use treeline_ebpf::feature::PACKETS;
use treeline_lab::bpf::{Object, ReadOptions};
use treeline_lab::cause::explain;
use treeline_lab::kernel::{KernelError, Programs};
use treeline_model::{Model, Node};

use super::FLOWS_MAX;

/// The object.
pub static OBJECT: &[u8] = include_bytes!("../../../ebpf/object/paper.bpf.o");

/// The paper's program, state and features written in place.
pub const PAPER: &str = "paper_xdp";
/// The same, written by the helper that updates a map.
pub const HELPERS: &str = "paper_helpers_xdp";
/// The floor.
pub const FLOOR: &str = "floor_xdp";
/// `XDP_DROP`: the paper's program classified malicious.
const MALICIOUS: u32 = 1;
/// `XDP_PASS`: it classified benign.
const BENIGN: u32 = 2;
/// The longest path that the paper's loop follows.
const DEPTH_MAX: usize = 20;

/// What an array holds of a node.
type Column = fn(Node) -> i64;

/// A flow's key as the floor reads it.
pub type KeyBytes = [u8; 40];

/// Loads the object with the nodes of `model`; its programs are loaded too. `replay`: the clock comes from outside.
pub fn load(model: &Model, replay: bool) -> Result<Programs, String> {
    if model.depth() > DEPTH_MAX {
        return Err(format!("the paper's layout follows {DEPTH_MAX} edges and the model has {}; give a flatter one", model.depth()));
    }
    let nodes = model.walked_nodes().map_err(|error| explain(&error))?;
    let numbered = nodes.iter().any(|node| matches!(node, Node::Inner { feature, .. } if usize::from(*feature) == PACKETS));
    let number = |name: &str, value: bool| (name.to_owned(), u32::from(value).to_ne_bytes().to_vec());
    let options = ReadOptions {
        globals: [number("REPLAY", replay), number("NUMBERED", numbered)].into(),
        map_max_entries: ["FLOWS", "STATES"].map(|map| (map.to_owned(), FLOWS_MAX)).into(),
        ..ReadOptions::default()
    };
    let mut programs = programs(&options).map_err(|error| explain(&error))?;
    let columns: [(&str, Column); 5] = [
        ("LEFT", |node| if let Node::Inner { left, .. } = node { left.into() } else { -1 }),
        ("RIGHT", |node| if let Node::Inner { right, .. } = node { right.into() } else { -1 }),
        ("FEATURE", |node| if let Node::Inner { feature, .. } = node { feature.into() } else { -2 }),
        ("THRESHOLD", |node| if let Node::Inner { threshold, .. } = node { threshold } else { -2 }),
        ("VALUE", |node| if let Node::Leaf { class } = node { class.into() } else { 0 }),
    ];
    for (name, of) in columns {
        let mut column = programs.entries(name).map_err(|error| explain(&error))?;
        for (index, node) in (0_u32..).zip(nodes.iter()) {
            column.put(&index.to_ne_bytes(), &of(*node).to_ne_bytes(), 0).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    for name in [PAPER, HELPERS, FLOOR] {
        programs.load(name).map_err(|error| explain(&error))?;
    }
    Ok(programs)
}

/// The object's maps, read as the options say.
pub fn programs(options: &ReadOptions) -> Result<Programs, KernelError> {
    Programs::new(Object::parse(OBJECT, options)?)
}

/// Puts flows into the floor's table.
pub fn insert<'a>(programs: &Programs, keys: impl IntoIterator<Item = &'a KeyBytes>) -> Result<(), String> {
    let mut flows = programs.entries("FLOWS").map_err(|error| explain(&error))?;
    keys.into_iter().try_for_each(|key| flows.put(key, &[0; 128], 0)).map_err(|error| format!("FLOWS: {error}"))
}

/// A flow's key as it lies in memory.
pub fn bytes(key: &Key) -> KeyBytes {
    bytemuck::cast(*key)
}

/// Whether the paper's program, loaded for a replay, calls a frame at `now_ns` malicious; none if it cannot read it.
pub fn judge(programs: &Programs, frame: &[u8], now_ns: u64) -> Result<Option<bool>, String> {
    let mut now = programs.entries("NOW").map_err(|error| explain(&error))?;
    now.put(&[0; 4], &now_ns.to_ne_bytes(), 0).map_err(|error| format!("NOW: {error}"))?;
    match programs.run(PAPER, frame, 1).map_err(|error| explain(&error))?.0 {
        MALICIOUS => Ok(Some(true)),
        BENIGN => Ok(Some(false)),
        _ => Ok(None),
    }
}
