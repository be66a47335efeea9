//! What a program did with one packet, as one engine shows it: the left side of every comparison.
//!
//! Not here: what stands in maps, which is asked entry by entry ([`super::Engine::value`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that one run shows, but for maps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// r0, its lower 32 bits: a verdict, or of a socket filter the bytes that it keeps.
    pub returned: u32,
    /// The packet after the run, from its first byte.
    pub packet: Vec<u8>,
    /// XDP: the bytes of metadata before the packet. `None`: the engine cannot show them.
    pub meta: Option<Vec<u8>>,
    /// Fields of the context that the program may write, by name (`mark`, `cb[0]`). An engine that cannot show a field leaves it out.
    pub context: BTreeMap<String, u64>,
    /// Records sent to ring buffers and perf event arrays, in each map's order.
    pub records: Vec<Record>,
    /// Where the packet was redirected to. Only the vm shows it: in a test run the kernel drops the packet instead.
    pub redirect: Option<Redirect>,
    /// Lines that the program printed; only the vm shows them.
    pub printed: Vec<String>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the ring buffer or perf event array.
    pub map: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether perf's padding may follow the bytes: its content is what was in the buffer before.
    pub padded: bool,
}

impl Record {
    /// Whether two engines sent the same record. Perf rounds a record up to 8 bytes with the 4 of its length, so where it is padded only as many
    /// bytes count as the shorter one has, and the longer one may have no more than the rounding gives.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        if self.map != other.map {
            return false;
        }
        if !self.padded && !other.padded {
            return self.bytes == other.bytes;
        }
        let common = self.bytes.len().min(other.bytes.len());
        let rounded = |length: usize| (length + 4).next_multiple_of(8) - 4;
        self.bytes[..common] == other.bytes[..common] && rounded(self.bytes.len()) == rounded(other.bytes.len())
    }
}

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redirect {
    /// To an interface, by its number.
    Interface {
        /// The interface.
        ifindex: u32,
        /// `bpf_redirect`'s flags.
        flags: u64,
    },
    /// To what an entry of a map names.
    Map {
        /// The map.
        map: String,
        /// The key.
        key: u64,
        /// `bpf_redirect_map`'s flags.
        flags: u64,
    },
}
