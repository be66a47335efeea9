//! Captures, engines and the oracle that compares them packet by packet.

pub mod frame;
pub mod vm;

pub use frame::Frame;
