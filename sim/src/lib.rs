//! Captures, engines and the oracle that compares them packet by packet.
//!
//! The modules follow the straight line: a capture gives frames, engines judge them, the oracle compares, the replay drives all three.

pub mod frame;

pub mod capture;

pub mod object;

pub mod allow;

pub mod bpf;

pub mod vm;

pub mod kernel;

pub mod verifier;

pub mod engine;

pub mod reference;

pub mod conversation;

pub mod oracle;

pub mod suspect;

pub mod replay;

pub mod cause;

pub mod lab;

pub mod guest;

pub mod exercise;

pub use frame::Frame;
