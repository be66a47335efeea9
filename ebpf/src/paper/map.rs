//! The maps and constants that the bench fills. Their names are the object's interface.

use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap};
use aya_ebpf::macros::btf_map;

/// Both endpoints, the lower first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Key {
    pub low: u32,
    pub high: u32,
    pub low_port: u16,
    pub high_port: u16,
    pub protocol: u32,
}

/// One flow's sums.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flow {
    /// 1: the low endpoint sent the first packet.
    pub originator_low: u64,
    pub last_ns: u64,
    pub packets: u64,
    /// Of length, gap and direction.
    pub sums: [u64; 3],
    pub deviation_sums: [u64; 3],
}

/// Nodes that the arrays hold.
const NODES: usize = 8_192;

/// Index of the left child, -1 at a leaf.
#[btf_map(name = "LEFT")]
pub static LEFT: Array<i64, NODES> = Array::new();

/// Index of the right child.
#[btf_map(name = "RIGHT")]
pub static RIGHT: Array<i64, NODES> = Array::new();

/// The feature asked.
#[btf_map(name = "FEATURE")]
pub static FEATURE: Array<i64, NODES> = Array::new();

/// What it is compared with, fixed point with 16 fractional bits.
#[btf_map(name = "THRESHOLD")]
pub static THRESHOLD: Array<i64, NODES> = Array::new();

/// The class.
#[btf_map(name = "VALUE")]
pub static VALUE: Array<i64, NODES> = Array::new();

/// The features, of all CPUs. The thirteenth is the packet's number, for trees that ask it.
#[btf_map(name = "FEATURES")]
pub static FEATURES: Array<i64, 13> = Array::new();

/// Flow state.
#[btf_map(name = "STATES")]
pub static STATES: HashMap<Key, Flow, 65_536> = HashMap::new();

/// The floor's flows: the classifier's table by type and size.
#[btf_map(name = "FLOWS")]
pub static FLOWS: LruHashMap<[u64; 5], [u64; 16], 65_536> = LruHashMap::new();

/// The time in a replay, nanoseconds.
#[btf_map(name = "NOW")]
pub static NOW: Array<u64, 1> = Array::new();

/// Frames that the generator has sent.
#[btf_map(name = "SENT")]
pub static SENT: Array<u64, 1> = Array::new();

/// Flows that the generator sends in turn.
#[unsafe(no_mangle)]
static SENT_FLOWS: u32 = 1;

/// Index of the interface that it sends from.
#[unsafe(no_mangle)]
static SENT_INTERFACE: u32 = 0;

/// Flows that the generator sends in turn.
#[inline(always)]
pub fn flows() -> u32 {
    // SAFETY: a static that a loader sets.
    unsafe { core::ptr::read_volatile(&raw const SENT_FLOWS) }
}

/// Index of the interface that the generator sends from.
#[inline(always)]
pub fn interface() -> u32 {
    // SAFETY: as in `flows`.
    unsafe { core::ptr::read_volatile(&raw const SENT_INTERFACE) }
}

/// 1: the time is in [`NOW`]; 0: it is the kernel's.
#[unsafe(no_mangle)]
static REPLAY: u32 = 0;

/// 1: the tree asks the packet's number.
#[unsafe(no_mangle)]
static NUMBERED: u32 = 0;

/// Whether the time comes from outside.
#[inline(always)]
pub fn is_replay() -> bool {
    // SAFETY: a static that a loader sets.
    unsafe { core::ptr::read_volatile(&raw const REPLAY) != 0 }
}

/// Whether the tree asks the packet's number.
#[inline(always)]
pub fn is_numbered() -> bool {
    // SAFETY: as in `is_replay`.
    unsafe { core::ptr::read_volatile(&raw const NUMBERED) != 0 }
}
