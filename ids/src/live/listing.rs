//! The flow table as a list: the flows with the most packets first.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use treeline_ebpf::Flow;
use treeline_sim::conversation::Conversation;

use super::eve::{flow_id, now_ns};
use crate::report::{endpoint, number, plain, protocol_name, right};

/// Flows that a list may have.
pub const TOP_MAX: usize = 65_536;

/// A flow of the table, for machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// As in alerts.
    pub flow_id: u64,
    /// Who opened it.
    pub originator: IpAddr,
    /// Its port, 0 for a protocol without.
    pub originator_port: u16,
    /// To whom.
    pub responder: IpAddr,
    /// Its port.
    pub responder_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Packets.
    pub packets: u64,
    /// Packets of the originator.
    pub packets_forward: u64,
    /// Sum of the IP lengths, bytes.
    pub bytes: u64,
    /// Seconds since the first packet.
    pub age_seconds: f64,
    /// Seconds since the latest packet.
    pub idle_seconds: f64,
    /// Whether it raised an alert.
    pub alerted: bool,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    fn of(flow: &Flow, now_ns: u64) -> Self {
        let Conversation { originator, responder, protocol } = Conversation::of(flow);
        let seconds = |time_ns: u64| now_ns.saturating_sub(time_ns) as f64 / 1e9;
        Self {
            flow_id: flow_id(&flow.key, flow.first_ns),
            originator: originator.0,
            originator_port: originator.1,
            responder: responder.0,
            responder_port: responder.1,
            protocol,
            packets: flow.packets,
            packets_forward: flow.packets_forward,
            bytes: flow.length_sum,
            age_seconds: seconds(flow.first_ns),
            idle_seconds: seconds(flow.last_ns),
            alerted: flow.alerted_ns != 0,
        }
    }
}

/// Collects the flows with the most packets.
pub struct Top {
    count: usize,
    flows: Vec<Flow>,
}

impl Top {
    /// At most `count`, and no more than [`TOP_MAX`].
    pub fn new(count: usize) -> Self {
        Self { count: count.min(TOP_MAX), flows: vec![] }
    }

    /// Takes a flow into account.
    pub fn see(&mut self, flow: &Flow) {
        if self.count == 0 {
            return;
        }
        self.flows.push(*flow);
        // Never much more than asked for, whatever the table's size.
        if self.flows.len() >= 2 * self.count + 4096 {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.flows.sort_unstable_by_key(|flow| Reverse((flow.packets, flow.last_ns)));
        self.flows.truncate(self.count);
    }

    /// The flows, most packets first.
    pub fn rows(mut self) -> Vec<Row> {
        self.cut();
        let now_ns = now_ns();
        self.flows.iter().map(|flow| Row::of(flow, now_ns)).collect()
    }
}

/// The list for people.
pub fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "the flow table is empty\n".to_owned();
    }
    let mut table = plain();
    table.set_header(["originator", "responder", "protocol", "packets", "forward", "bytes", "age s", "idle s", "alerted"]);
    for row in rows {
        table.add_row([
            endpoint((row.originator, row.originator_port), row.protocol),
            endpoint((row.responder, row.responder_port), row.protocol),
            protocol_name(row.protocol),
            number(row.packets),
            number(row.packets_forward),
            number(row.bytes),
            format!("{:.1}", row.age_seconds),
            format!("{:.1}", row.idle_seconds),
            if row.alerted { "yes" } else { "" }.to_owned(),
        ]);
    }
    right(&mut table, 3..8);
    format!("{table}\n")
}
