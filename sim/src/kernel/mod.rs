//! Programs in the kernel by `bpf(2)`: loading, running one, reading maps and records.

pub mod affinity;
mod call;
pub mod load;
pub mod map;
pub mod record;
pub mod run;
