//! The committed kernel object, and the names of what is in it.

/// The object's bytes, aligned as an ELF reader wants them.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/object/treeline.bpf.o");

/// The constant that holds [`treeline_ebpf::Config`].
pub const CONFIG: &str = "CONFIG";
/// The flow table.
pub const FLOWS: &str = "FLOWS";
/// The tree.
pub const MODEL: &str = "MODEL";
/// Each CPU's counters.
pub const COUNTERS: &str = "COUNTERS";
/// Each CPU's [`treeline_ebpf::Live`].
pub const LIVE: &str = "LIVE";
/// The ring buffer of [`treeline_ebpf::Alert`].
pub const ALERTS: &str = "ALERTS";
/// The allow-list: [`treeline_ebpf::allow::Network`] to [`treeline_ebpf::Allowed`].
pub const ALLOW: &str = "ALLOW";
/// The replay cell.
pub const REPLAY: &str = "REPLAY";
/// The program that costs what any flow tracker does.
pub const FLOOR: &str = "treeline_floor";
