//! What a packet of one flow costs, run many times a call, against the object's own floor: the clock and one lookup in the same table.
//!
//! Both hooks, a full tree; the medians over rounds and their ratios.

use serde_json::{Value, json};
use treeline_ebpf::{Config, Link};
use treeline_lab::cause::explain;
use treeline_model::{Model, Node};
use treeline_sim::engine::kernel::load;
use treeline_sim::engine::{Hook, Settings};
use treeline_sim::object;

use super::cost::insert_floor_flow;
use super::{FLOWS_MAX, median};

/// Depth of the tree that one packet passes, as the paper's.
const DEPTH: u32 = 10;

/// Cost of one packet again and again: of the floor, of XDP and of TC, ns/run and as a ratio to the floor.
#[derive(Debug)]
pub struct OneFlow {
    cost_ns: [u32; 3],
    ratio: [f64; 3],
    rounds: u32,
    repeat: u32,
}

/// Measures: `rounds` rounds of `repeat` runs of each program.
pub fn one_flow(rounds: u32, repeat: u32) -> Result<OneFlow, String> {
    let settings = Settings::new(Hook::Xdp, Config::default(), &full_tree()?, FLOWS_MAX);
    let mut programs = load(&settings).map_err(|error| explain(&error))?;
    insert_floor_flow(&programs)?;
    let names = [object::FLOOR, Hook::Xdp.program(Link::Ethernet), Hook::Tc.program(Link::Ethernet)];
    for name in names {
        programs.load(name).map_err(|error| explain(&error))?;
    }
    let packet = packet();
    let mut times = [const { Vec::new() }; 3];
    // The first round warms up.
    for round in 0..=rounds {
        for (position, name) in names.into_iter().enumerate() {
            let time = programs.run(name, &packet, repeat).map_err(|error| explain(&error))?.1.as_nanos();
            if round > 0 {
                times[position].push(u32::try_from(time).unwrap_or(u32::MAX));
            }
        }
    }
    let ratios = |position: usize| -> Vec<f64> {
        times[position].iter().zip(&times[0]).map(|(time, floor)| f64::from(*time) / f64::from((*floor).max(1))).collect()
    };
    let ratio = [0, 1, 2].map(|position| median(&ratios(position)));
    Ok(OneFlow { cost_ns: times.each_ref().map(|times| median(times)), ratio, rounds, repeat })
}

impl OneFlow {
    /// For people.
    pub fn text(&self) -> String {
        let ([floor, xdp, tc], [_, xdp_ratio, tc_ratio]) = (self.cost_ns, self.ratio);
        let Self { rounds, repeat, .. } = *self;
        format!(
            "one flow, a tree of depth {DEPTH}, medians of {rounds} rounds of {repeat} runs
  floor (clock, one lookup)   {floor:>5} ns/packet
  classifier, xdp             {xdp:>5} ns/packet  {xdp_ratio:.2} times the floor
  classifier, tc              {tc:>5} ns/packet  {tc_ratio:.2} times the floor
"
        )
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let named = |position: usize| json!({ "ns_per_packet": self.cost_ns[position], "to_floor": self.ratio[position] });
        json!({ "floor": named(0), "xdp": named(1), "tc": named(2) })
    }
}

/// A full binary tree: each packet passes [`DEPTH`] splits, over all features in turn.
fn full_tree() -> Result<Model, String> {
    let inner = (1_u16 << DEPTH) - 1;
    let nodes = (0..=2 * inner).zip((0..12).cycle()).map(|(index, feature)| {
        if index < inner {
            Node::Inner { feature, threshold: i64::from(index % 97) << 20, left: 2 * index + 1, right: 2 * index + 2 }
        } else {
            Node::Leaf { class: 0 }
        }
    });
    let classes = vec!["benign".to_owned(), "malicious".to_owned()];
    Model::from_nodes("benchmark", classes, nodes.collect()).map_err(|error| explain(&error))
}

/// An established connection's data segment: Ethernet, IPv4, TCP with ACK, 200 bytes of IP.
fn packet() -> [u8; 214] {
    let mut packet = [0; 214];
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet[14..24].copy_from_slice(&[0x45, 0, 0, 200, 0, 0, 0, 0, 64, 6]);
    packet[26..34].copy_from_slice(&[198, 18, 0, 1, 198, 18, 0, 2]);
    packet[34..38].copy_from_slice(&[0xc0, 0, 0x01, 0xbb]);
    packet[46..48].copy_from_slice(&[0x50, 0x10]);
    packet
}
