//! Programs in the kernel by `bpf(2)`: running one, reading maps and records. Not here yet: loading.

mod call;
pub mod map;
pub mod record;
pub mod run;
