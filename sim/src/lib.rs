//! The classifier's engines, its reference, and the oracle that compares them packet by packet.
//!
//! The modules follow the straight line: engines classify a capture's frames, the oracle compares, the replay drives both. Not here: captures, the
//! VM, the kernel's loader and other kernels (`treeline-lab`).

pub mod object;

pub mod allow;

pub mod engine;

pub mod reference;

pub mod conversation;

pub mod oracle;

pub mod suspect;

pub mod replay;

#[cfg(feature = "exercise")]
pub mod exercise;
