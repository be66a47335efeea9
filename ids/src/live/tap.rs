//! Where frames come in, and alerts and numbers come out: what the run loop drives, whatever engine is behind it.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use serde_json::{Value, json};
use treeline_ebpf::alert::Alert;
use treeline_ebpf::live::{CLASSES, Live};
use treeline_ebpf::{Counter, Counters, Skip};

use super::interface;
use super::model::Named;
use super::survey::{Survey, Table};
use super::table::Census;

/// A running classifier on interfaces. Dropping it stops it, unless it is pinned.
pub trait Tap {
    /// Readable when alerts wait.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Hands over alerts that wait, oldest first, at most `count_max`; says how many it were.
    fn alerts(&mut self, count_max: usize, each: &mut dyn FnMut(&Alert)) -> usize;

    /// The numbers at this moment, with what was found in the flow table.
    fn numbers(&mut self, survey: &Survey) -> Result<Numbers, String>;

    /// The flow table, to be read on another thread. It stays the same through swaps.
    fn table(&self) -> Arc<dyn Table>;

    /// Puts another model in place: each packet is classified by the old or the new one, whole; flows and numbers stay. On an error the old one goes on.
    fn swap(&mut self, model: &Named) -> Result<(), String>;

    /// The indices of interfaces that went away since it was last asked; it goes on without them.
    fn gone(&mut self) -> Vec<u32>;

    /// The interfaces that it is on: index, the name that it has now, and how it is attached.
    fn places(&self) -> Vec<Place>;

    /// Leaves the interfaces; alerts and numbers can still be read. What is pinned stays in place, unless `unpin` removes it.
    fn detach(&mut self, unpin: bool) -> Result<(), String>;
}

/// An interface in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The kernel's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// How packets are seen there, for people: `tcx ingress+egress`, `native xdp`.
    pub how: String,
}

impl Place {
    /// With the name that the interface has now.
    pub fn now(&self) -> Self {
        Self { name: interface::name(self.index).unwrap_or_else(|| self.name.clone()), ..self.clone() }
    }
}

/// Nanoseconds in the programs and how often they ran, as the kernel counts with BPF statistics on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time in them, nanoseconds.
    pub run_ns: u64,
    /// Runs.
    pub runs: u64,
}

/// What there is to report.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// The classifier's counters over all CPUs.
    pub counters: Counters,
    /// The shell's, likewise.
    pub live: Live,
    /// The flow table.
    pub census: Census,
    /// Room in it.
    pub flows_max: u32,
    /// Flows that were evicted from a full table.
    pub evictions: u64,
    /// Packets that passed without having been looked at: in user space, those for which a socket had no room.
    pub uninspected: u64,
    /// Where the kernel counts it.
    pub cost: Option<Cost>,
}

impl Numbers {
    /// One counter.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Packets with a verdict.
    pub fn judged(&self) -> u64 {
        self.count(Counter::Benign) + self.count(Counter::Malicious)
    }

    /// Packets seen: each has a verdict or a reason.
    pub fn packets(&self) -> u64 {
        self.judged() + Skip::ALL.iter().map(|skip| self.count(skip.counter())).sum::<u64>()
    }

    /// Verdicts by class. Benign ones are in the counters alone: every packet would pay for a second count.
    pub fn verdicts(&self) -> [u64; CLASSES] {
        let mut verdicts = self.live.classes;
        verdicts[0] = self.count(Counter::Benign);
        verdicts
    }

    /// For machines.
    pub fn to_json(&self, classes: &[String]) -> Value {
        let counted = |counters: &[Counter]| -> serde_json::Map<String, Value> {
            counters.iter().map(|&counter| (counter.name().to_owned(), json!(self.count(counter)))).collect()
        };
        let verdicts: serde_json::Map<_, _> =
            classes.iter().zip(self.verdicts()).map(|(class, count)| (class.clone(), json!(count))).collect();
        json!({
            "packets": self.packets(),
            "uninspected": self.uninspected,
            "bytes": self.live.bytes,
            "judged": self.judged(),
            "malicious": self.count(Counter::Malicious),
            "dropped": self.count(Counter::Dropped),
            "verdicts": verdicts,
            "skips": counted(&Skip::ALL.map(Skip::counter)),
            "flows": {
                "active": self.census.active,
                "idle": self.census.idle,
                "max": self.flows_max,
                "opened": self.count(Counter::Opened),
                "ended": counted(&ENDED),
                "evictions": self.evictions,
                "insert_failures": self.count(Counter::TableFull),
                "evicted_updates": self.count(Counter::Evicted),
            },
            "clock_back": self.count(Counter::ClockBack),
            "alerts": { "sent": self.live.alerts_sent, "lost": self.live.alerts_lost, "held": self.live.alerts_held },
            "program": self.cost.map(|cost| json!({ "run_ns": cost.run_ns, "runs": cost.runs })),
        })
    }
}

/// Why flows end.
pub const ENDED: [Counter; 4] = [Counter::EndedIdle, Counter::EndedActive, Counter::EndedLimit, Counter::EndedClosed];
