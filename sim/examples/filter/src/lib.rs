//! A port filter in C for XDP, `filter.bpf.c`, and its tests in Rust, `tests/filter.rs`: how a project of its own tests its program with
//! `treeline-sim`. The object is committed beside its source, so that the tests want no clang.

/// The object, as built from `filter.bpf.c`.
pub const OBJECT: &[u8] = include_bytes!("../filter.bpf.o");
