//! Captures, engines and the oracle that compares them packet by packet.

pub mod frame;

pub mod reference;

pub use frame::Frame;
