//! The maps and constants that a loader sees. Their names are the object's interface.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, LruHashMap, PerCpuArray};
use aya_ebpf::macros::btf_map;
use treeline_ebpf::replay::Cell;
use treeline_ebpf::{Config, Counters, Flow, Key, Tree};

/// Flows by key. A loader may change the size.
#[btf_map(name = "FLOWS")]
pub static FLOWS: LruHashMap<Key, Flow, 65_536> = LruHashMap::new();

/// The tree, one value.
#[btf_map(name = "MODEL")]
pub static MODEL: Array<Tree, 1> = Array::new();

/// [`Counters`] of each CPU.
#[btf_map(name = "COUNTERS")]
pub static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// The replay cell, memory-mapped by a replayer.
#[btf_map(name = "REPLAY")]
pub static REPLAY: Array<Cell, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

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
