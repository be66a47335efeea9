//! What a program did with one packet, as one engine shows it: the left side of every comparison.
//!
//! Not here: what stands in maps, which is asked entry by entry ([`super::Engine::value`]).

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::difference;
use crate::vm::{Hook, Redirect};

/// All that one run shows, but for maps.
///
/// Outcomes of one frame are equal where the lab finds no difference ([`difference::outcomes`] names them), so that
/// `assert_eq!(vm.run(&frame)?, kernel.run(&frame)?)` is the lab's comparison. What one of the two cannot show makes no difference:
/// [`shown`](Self::shown), metadata and fields of the context on older kernels, perf's padding. Such an equality is not
/// transitive, so there is no `Eq`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// What is not compared.
    #[serde(skip)]
    pub shown: Shown,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        // The hook only gives return codes their names.
        difference::outcomes(Hook::Xdp, self, other).is_empty()
    }
}

/// What only the vm shows of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Where the packet was redirected to: in a test run the kernel drops the packet instead.
    pub redirect: Option<Redirect>,
    /// Lines that the program printed.
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

/// The packet and, of XDP, the metadata before it, which `ctx_out` tells apart; without a context it is all packet.
pub(super) fn split(hook: Hook, bytes: &[u8], context: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let Some(context) = context.filter(|_| hook == Hook::Xdp) else { return (bytes.to_vec(), None) };
    let start = usize::try_from(word(context, 0)).expect("32 bits").min(bytes.len());
    (bytes[start..].to_vec(), Some(bytes[..start].to_vec()))
}

/// The fields of `struct __sk_buff` that programs write and test runs show (`net/bpf/test_run.c`, v6.18), and where they lie.
pub(super) const CONTEXT_FIELDS: [(&str, Range<usize>); 8] = [
    ("mark", 8..12),
    ("priority", 32..36),
    ("cb[0]", 48..52),
    ("cb[1]", 52..56),
    ("cb[2]", 56..60),
    ("cb[3]", 60..64),
    ("cb[4]", 64..68),
    ("tstamp", 152..160),
];

/// These fields out of a `ctx_out`.
pub(super) fn fields(hook: Hook, context: &[u8]) -> BTreeMap<String, u64> {
    if hook == Hook::Xdp {
        return BTreeMap::new();
    }
    let value = |bytes: Range<usize>| bytes.step_by(4).rev().fold(0, |value, offset| value << 32 | word(context, offset));
    CONTEXT_FIELDS.into_iter().map(|(name, bytes)| (name.to_owned(), value(bytes))).collect()
}

fn word(context: &[u8], offset: usize) -> u64 {
    context.get(offset..offset + 4).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes.try_into().expect("four bytes"))))
}
