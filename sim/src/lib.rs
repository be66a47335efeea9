//! Captures, engines and the oracle that compares them packet by packet.

pub mod capture;
pub mod frame;

pub mod object;

pub mod engine;

pub use frame::Frame;
