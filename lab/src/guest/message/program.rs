//! What is said of any program: the object there, a packet's outcome and the maps' entries back.

use serde::{Deserialize, Serialize};

use crate::bpf::Job;
use crate::lab::{Entry, Outcome};

/// What the host asks about a program. Maps are named by their position among the vm's, as everywhere in the lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ProgramRequest {
    /// Load it, with fresh maps; the others are about this one from now on.
    Open(Job),
    /// Put an entry into a map.
    Fill {
        /// The map.
        map: usize,
        /// The key, and the value.
        entry: Entry,
    },
    /// Run it over a packet.
    Run {
        /// The packet's time.
        time_ns: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// What is under a key.
    Value {
        /// The map.
        map: usize,
        /// The key.
        key: Vec<u8>,
    },
    /// All entries of a map.
    Entries {
        /// The map.
        map: usize,
    },
}

/// What the guest answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ProgramReply {
    /// Loaded, or filled.
    Done,
    /// What a run did.
    Ran(Box<Ran>),
    /// The value, if there is one.
    Value(Option<Vec<u8>>),
    /// The entries.
    Entries(Vec<Entry>),
}

/// What a run did, with what is compared after every packet: a question less for each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ran {
    /// The outcome, without what no kernel shows.
    pub outcome: Outcome,
    /// All entries of small maps, by position.
    pub entries: Vec<(usize, Vec<Entry>)>,
    /// The next element of queues and stacks, by position.
    pub next: Vec<(usize, Option<Vec<u8>>)>,
}
