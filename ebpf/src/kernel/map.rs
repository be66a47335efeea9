//! The maps and constants that a loader sees. Their names are the object's interface.

use core::mem::MaybeUninit;
use core::ptr;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use aya_ebpf::btf_maps::{Array, LpmTrie, LruHashMap, PerCpuArray};
use aya_ebpf::helpers::{bpf_map_lookup_elem, bpf_ringbuf_reserve};
use aya_ebpf::macros::btf_map;
use treeline_ebpf::allow::ADDRESS_BITS;
use treeline_ebpf::replay::Cell;
use treeline_ebpf::{Alert, Allowed, Config, Counters, Flow, Key, Live, Tree};

/// Flows by key. A loader may change the size.
#[btf_map(name = "FLOWS")]
pub static FLOWS: LruHashMap<Key, Flow, 65_536> = LruHashMap::new();

/// The tree, one value.
#[btf_map(name = "MODEL")]
pub static MODEL: Array<Tree, 1> = Array::new();

/// [`Counters`] of each CPU.
#[btf_map(name = "COUNTERS")]
pub static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// [`Live`] of each CPU; untouched in a replay.
#[btf_map(name = "LIVE")]
pub static LIVE: PerCpuArray<Live, 1> = PerCpuArray::new();

/// Alerts on their way to user space. A loader may change the size.
#[btf_map(name = "ALERTS")]
pub static ALERTS: Ring<{ 1 << 20 }> = Ring { r#type: ptr::null(), max_entries: ptr::null() };

/// The allow-list, by [`treeline_ebpf::allow::Network`].
#[btf_map(name = "ALLOW")]
pub static ALLOW: LpmTrie<[u32; 4], Allowed, 65_536> = LpmTrie::new();

/// The replay cell, memory-mapped by a replayer.
#[btf_map(name = "REPLAY")]
pub static REPLAY: Array<Cell, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// A ring buffer's definition, whose pointees' sizes are the numbers a loader reads. aya's names a value too, which libbpf refuses.
#[repr(C)]
pub struct Ring<const BYTES: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_RINGBUF as usize],
    max_entries: *const [i32; BYTES],
}

// SAFETY: the pointers are null and nobody reads them.
unsafe impl<const BYTES: usize> Sync for Ring<BYTES> {}

/// Room for an alert in [`ALERTS`], to be submitted; none if the ring buffer is full.
#[inline(always)]
pub fn reserve_alert() -> Option<&'static mut MaybeUninit<Alert>> {
    // SAFETY: the map's address; what it answers is null or so many bytes, aligned to eight, that are the program's until it submits them.
    unsafe {
        bpf_ringbuf_reserve((&raw const ALERTS).cast_mut().cast(), size_of::<Alert>() as u64, 0).cast::<MaybeUninit<Alert>>().as_mut()
    }
}

/// The entry of [`ALLOW`] for an address, in the order of [`treeline_ebpf::allow::mapped`].
#[inline(always)]
pub fn allowed(address: [u64; 2]) -> Option<&'static Allowed> {
    /// The key in words: aya's is packed, and the compiler would store it byte by byte.
    #[repr(C)]
    struct Network(u32, [u32; 4]);
    const { assert!(size_of::<Network>() == size_of::<treeline_ebpf::allow::Network>()) };
    let [high, low] = address;
    let network = Network(ADDRESS_BITS, [high as u32, (high >> 32) as u32, low as u32, (low >> 32) as u32]);
    // SAFETY: the map's address and a key of its size; what it answers is null or a value of the map, which only loaders write.
    unsafe { bpf_map_lookup_elem((&raw const ALLOW).cast_mut().cast(), (&raw const network).cast()).cast::<Allowed>().as_ref() }
}

/// Settings, written by the loader before load and constant from then on.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::DEFAULT;

/// 1: the tree is in the object's code; 0: it is in [`MODEL`]. Written by `treeline link` into the object file.
#[unsafe(no_mangle)]
static COMPILED: u32 = 0;

/// A new entry of the flow table. It gets its key under its lock: 168 bytes of key and flow would not fit on the stack.
pub static EMPTY: Flow = Flow::EMPTY;

/// The loaded settings.
#[inline(always)]
pub fn config() -> &'static Config {
    let mut config = &raw const CONFIG;
    // SAFETY: a static that nothing writes after load. Its address passes through the assembly, so that the compiler, which has seen
    // another value, reads it, and reads only the fields that are asked for.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) config, options(pure, nomem, nostack));
        &*config
    }
}

/// Whether the tree is in the object's code.
#[inline(always)]
pub fn is_compiled() -> bool {
    // SAFETY: as in `config`; the linker rewrites it.
    unsafe { core::ptr::read_volatile(&raw const COMPILED) != 0 }
}

/// Whether a flow's key is another one, in words of 64 bits: field by field it takes three times the instructions.
#[inline(always)]
pub fn differ(flow: &Flow, key: &Key) -> bool {
    const { assert!(size_of::<Key>() == 5 * size_of::<u64>() && align_of::<Key>() == align_of::<u64>()) };
    let (flow, key) = (core::ptr::from_ref(&flow.key).cast::<u64>(), core::ptr::from_ref(key).cast::<u64>());
    let mut difference = 0;
    for word in 0..5 {
        // SAFETY: both point to the five words of a `Key`; volatile, because an eviction may change the flow's at any time.
        difference |= unsafe { flow.add(word).read_volatile() ^ key.add(word).read() };
    }
    difference != 0
}
