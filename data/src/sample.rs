//! Rows to train on: which of them, of which flow and class, how much each counts, and which are kept for the test.
//!
//! All rows are in one table, once. A row kept for the test has weight 0, with which the trainer does not see it.
//!
//! Not here: the tree's growth (`treeline_model::train`).

mod outcome;
mod split;
#[cfg(test)]
mod tests;
mod weigh;

use std::collections::HashMap;

use treeline_ebpf::feature::FRACTION_BITS;
use treeline_ebpf::{FEATURES, feature};
use treeline_model::BENIGN;
use treeline_model::train::{CLASSES_MAX, ROWS_MAX, Table};

use crate::Row;

pub use outcome::{Binary, Confusion, share};
pub use split::Split;
pub use weigh::{ClassWeight, FlowWeight};

/// Packets of a flow that [`Take::FlowLast`] looks at, as the paper does.
pub const FLOW_PACKETS_MAX: u64 = 100;

/// No packet of a class is taken.
pub const LEFT_OUT: u64 = u64::MAX;

/// Which rows of a flow are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Every packet; [`FlowWeight`] says what a flow's rows weigh.
    Packet,
    /// The last among its first [`FLOW_PACKETS_MAX`]: one row a flow, as in the paper.
    FlowLast,
}

/// What the model tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classes {
    /// Benign and malicious.
    Binary,
    /// Benign and each attack that is trained on.
    Attack,
}

/// A flow of which at least one row was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Number of its capture.
    pub capture: u32,
    /// Its class, an index into [`Sample::classes`].
    pub class: u16,
    /// Its rows in the table.
    pub rows_count: u32,
    /// Whether its rows are kept for the test.
    pub is_test: bool,
}

/// The rows taken.
#[derive(Debug)]
pub struct Sample {
    /// The rows. Classes are those of the flows until [`weigh`](Self::weigh) makes them the model's.
    pub table: Table,
    /// Each row's flow, an index into `flows`.
    pub flow: Vec<u32>,
    /// The flows.
    pub flows: Vec<Flow>,
    /// The classes' names; 0 is benign.
    pub classes: Vec<String>,
    /// Rows left out for want of a class.
    pub unlabelled_count: u64,
    /// Rows left out because of their class: see [`Sample::beginning`].
    pub left_out_count: u64,
    /// Rows left out because the model will not be asked about them: a flow's first packets, or what is midstream.
    pub passed_count: u64,
    /// For each of `classes`, the first packet of a flow that is taken.
    first_packets: Vec<u64>,
    /// Draws ports again.
    ports: Option<u64>,
    /// For each of `classes`, the seed by which its flows go to any port, if they do.
    any_ports: Vec<Option<u64>>,
    take: Take,
    packets_min: u64,
    midstream_passes: bool,
    /// The index of each flow, by its capture and its number: numbers begin again with each run that wrote a part of a table.
    known: HashMap<(u32, u64), u32>,
    /// The capture that had a flow of this number first.
    owners: HashMap<u64, u32>,
    /// For each of `flows`, the number of the packet that stands in its one row.
    last_packets: Vec<u64>,
}

/// Rows that cannot be trained on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// More rows than the trainer takes.
    #[error("row {ROWS_MAX}: no more can be trained on; take fewer captures, or one row a flow (--samples flow-last)")]
    TooManyRows,
    /// More classes than the trainer takes.
    #[error("{found} classes, expected at most {CLASSES_MAX}; merge classes in the labels")]
    TooManyClasses {
        /// How many there are.
        found: usize,
    },
    /// There is no row to learn from at all.
    #[error("no packet to train on; give captures with packets that reach the classifier, or a smaller --packets-min")]
    Nothing,
    /// No row has a class.
    #[error("no row has a class ({unlabelled_count} are unlabelled); check that the labels name these captures, addresses and times")]
    NoRows {
        /// Rows without a class.
        unlabelled_count: u64,
    },
    /// One side is missing.
    #[error("no {missing} row to train on ({flows_count} flows of {found}); {advice}")]
    OneClass {
        /// `benign` or `malicious`.
        missing: &'static str,
        /// Flows to train on.
        flows_count: usize,
        /// Their classes.
        found: String,
        /// What to do.
        advice: &'static str,
    },
}

impl Sample {
    /// No rows yet, of flows of `classes`, of which 0 is benign. Packets before number `packets_min` of their flow, counted from 1, are left out: the model will not
    /// be asked about them.
    pub fn new(classes: Vec<String>, take: Take, packets_min: u32) -> Result<Self, SampleError> {
        if classes.len() > CLASSES_MAX {
            return Err(SampleError::TooManyClasses { found: classes.len() });
        }
        let (table, flow, flows, known) = Default::default();
        let (owners, last_packets) = Default::default();
        let (first_packets, any_ports) = (vec![0; classes.len()], vec![None; classes.len()]);
        let packets_min = packets_min.into();
        Ok(Self {
            table,
            flow,
            flows,
            classes,
            unlabelled_count: 0,
            left_out_count: 0,
            passed_count: 0,
            first_packets,
            ports: None,
            any_ports,
            take,
            packets_min,
            midstream_passes: false,
            known,
            owners,
            last_packets,
        })
    }

    /// For each class, the number of the packet, counted from 1, at which the rows of its flows begin: what comes before tells nothing of the class yet, and
    /// is neither benign nor malicious here. [`LEFT_OUT`] leaves the class out.
    #[must_use]
    pub fn beginning(self, first_packets: Vec<u64>) -> Self {
        assert_eq!(first_packets.len(), self.classes.len(), "one number a class");
        Self { first_packets, ..self }
    }

    /// Draws the originator's port of each flow again by a seed, where it is above 1023 and the responder's: the ports that one system or one tool picks
    /// tell nothing about another's.
    #[must_use]
    pub fn redraw_ports(self, seed: Option<u64>) -> Self {
        Self { ports: seed, ..self }
    }

    /// For each class, a seed by which the responder's port of each second flow is drawn, from the services' or from all: a list of ports that
    /// a tool tries first tells nothing about those it tries later.
    #[must_use]
    pub fn any_ports(self, seeds: Vec<Option<u64>>) -> Self {
        assert_eq!(seeds.len(), self.classes.len(), "one seed or none a class");
        Self { any_ports: seeds, ..self }
    }

    /// Leaves out the flows that began in the middle of a TCP connection, if the model will not be asked about them.
    #[must_use]
    pub fn pass_midstream(self, passes: bool) -> Self {
        Self { midstream_passes: passes, ..self }
    }

    /// Makes room for `rows` more, so that a table whose length is known needs no more memory than its rows.
    pub fn reserve(&mut self, rows: usize) {
        if self.take == Take::Packet {
            self.table.columns.iter_mut().for_each(|column| column.reserve_exact(rows));
            self.table.classes.reserve_exact(rows);
            self.table.weights.reserve_exact(rows);
            self.flow.reserve_exact(rows);
        }
    }

    /// Offers a row. Its index and time are not looked at.
    pub fn push(&mut self, row: &Row) -> Result<(), SampleError> {
        let Row { capture, flow, packet, midstream, mut features, class, .. } = *row;
        let Some(class) = class else {
            self.unlabelled_count += 1;
            return Ok(());
        };
        if packet < self.first_packets[usize::from(class)] {
            self.left_out_count += 1;
            return Ok(());
        }
        if (midstream && self.midstream_passes) || packet < self.packets_min {
            self.passed_count += 1;
            return Ok(());
        }
        if self.take == Take::FlowLast && packet > FLOW_PACKETS_MAX {
            return Ok(());
        }
        self.draw(&mut features, capture, flow, class);
        let row = self.table.len();
        let next = u32::try_from(self.flows.len()).map_err(|_| SampleError::TooManyRows)?;
        let index = *self.known.entry((capture, flow)).or_insert(next);
        if index == next {
            self.flows.push(Flow { capture, class, rows_count: 0, is_test: false });
            self.last_packets.push(packet);
        } else if self.take == Take::FlowLast {
            // With one row a flow, the row's number is the flow's. The rows of a table can come in any order.
            if packet > self.last_packets[index as usize] {
                self.last_packets[index as usize] = packet;
                for (column, value) in self.table.columns.iter_mut().zip(features) {
                    column[index as usize] = value;
                }
            }
            return Ok(());
        }
        if row == ROWS_MAX {
            return Err(SampleError::TooManyRows);
        }
        self.table.push(features, class, 1.0);
        self.flow.push(index);
        self.flows[index as usize].rows_count += 1;
        Ok(())
    }

    /// Draws the ports that are asked for, by the flow's number. Where captures of several runs have a flow of the same number, each has a draw of
    /// its own.
    fn draw(&mut self, features: &mut [i64; FEATURES], capture: u32, flow: u64, class: u16) {
        let any_port = self.any_ports[usize::from(class)];
        if any_port.is_none() && self.ports.is_none() {
            return;
        }
        let owner = *self.owners.entry(flow).or_insert(capture);
        let salt = if owner == capture { 0 } else { split::mix(u64::from(capture) + 1) };
        let drawn = split::mix(flow) ^ salt;
        // In this order a reflector's port above the services' is drawn as well where the victim's falls below it: behind a translator any port answers.
        if let Some(seed) = any_port {
            disperse(features, split::mix(!seed ^ drawn));
        }
        if let Some(seed) = self.ports {
            redraw(features, split::mix(seed ^ drawn));
        }
    }

    /// The model's classes, and the model's class of each of [`Sample::classes`]: none for an attack that is not trained on.
    #[must_use]
    pub fn model_classes(&self, classes: Classes) -> (Vec<String>, Vec<Option<u16>>) {
        match classes {
            Classes::Binary => {
                let names = vec![BENIGN.to_owned(), "malicious".to_owned()];
                (names, (0..self.classes.len()).map(|class| Some(u16::from(class > 0))).collect())
            }
            Classes::Attack => {
                let mut trained = vec![false; self.classes.len()];
                self.flows.iter().filter(|flow| !flow.is_test).for_each(|flow| trained[usize::from(flow.class)] = true);
                let mut names = vec![BENIGN.to_owned()];
                let numbers = self.classes.iter().zip(trained).enumerate().map(|(class, (name, trained))| match class {
                    0 => Some(0),
                    _ if !trained => None,
                    _ => {
                        names.push(name.clone());
                        u16::try_from(names.len() - 1).ok()
                    }
                });
                let numbers = numbers.collect();
                (names, numbers)
            }
        }
    }

    /// Refuses rows that teach nothing: none, or none to train on of one of the two sides.
    pub fn check(&self) -> Result<(), SampleError> {
        if self.flows.is_empty() && self.unlabelled_count == 0 {
            return Err(SampleError::Nothing);
        }
        if self.flows.is_empty() {
            return Err(SampleError::NoRows { unlabelled_count: self.unlabelled_count });
        }
        let mut counts = vec![0; self.classes.len()];
        let trained = || self.flows.iter().filter(|flow| !flow.is_test);
        trained().for_each(|flow| counts[usize::from(flow.class)] += 1);
        let flows_count = trained().count();
        let named = self.classes.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(name, _)| name.as_str());
        let found: Vec<_> = named.collect();
        let found = if found.is_empty() { "no class".to_owned() } else { found.join(", ") };
        let missing = if counts.first().is_none_or(|&benign| benign == 0) {
            BENIGN
        } else if counts[1..].iter().all(|&count| count == 0) {
            "malicious"
        } else {
            return Ok(());
        };
        let is_missing = |flow: &Flow| (flow.class == 0) == (missing == BENIGN);
        let advice = if self.flows.iter().any(is_missing) {
            "all of them are kept for the test: give more captures, or split by flow (--split flow)"
        } else {
            "give labelled captures of both"
        };
        Err(SampleError::OneClass { missing, flows_count, found, advice })
    }
}

/// Ports below are services', which mean something.
const SERVICE_PORTS: u64 = 1024;
/// Ports there are.
const PORTS: u64 = 1 << 16;

/// Replaces the originator's port by one of all that are no service's, where it seems to be picked by its system: above 1023 and above the
/// responder's, which it would not be if the originator were the service and the flow began with an answer.
fn redraw(features: &mut [i64; FEATURES], drawn: u64) {
    let own = features[feature::ORIGINATOR_PORT];
    if own >= fixed(SERVICE_PORTS) && own > features[feature::RESPONDER_PORT] {
        features[feature::ORIGINATOR_PORT] = fixed(SERVICE_PORTS + drawn % (PORTS - SERVICE_PORTS));
    }
}

/// Replaces the responder's port of each second flow, where the protocol has ports: of one in four of these by a service's, each power of two
/// alike, else by any. Evenly drawn, one in 64 would be a service's and hardly one among the lowest, too few to stand against all benign flows
/// there.
fn disperse(features: &mut [i64; FEATURES], drawn: u64) {
    let port = &mut features[feature::RESPONDER_PORT];
    if *port != 0 && drawn & 1 == 0 {
        let (quarter, rest) = (drawn >> 1 & 3, drawn >> 3);
        *port = fixed(if quarter == 0 {
            let power = 1 << (rest % u64::from(SERVICE_PORTS.ilog2()));
            power | ((rest >> 8) % power)
        } else {
            1 + rest % (PORTS - 1)
        });
    }
}

/// A port as a feature.
const fn fixed(port: u64) -> i64 {
    (port << FRACTION_BITS).cast_signed()
}
