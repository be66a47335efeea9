//! Captures, engines and the oracle that compares them packet by packet.
//!
//! The modules follow the straight line: a capture gives frames, engines judge them, the oracle compares, the replay drives all three.
//!
//! # A program of your own
//!
//! [`vm`] runs any XDP, TC or socket-filter object without rights, [`lab`] the same in the kernel beside it, and [`verifier`] says what the
//! kernel's verifier says. `sim/examples/filter` is a crate that tests its own program so:
//!
//! ```
//! use treeline_sim::vm::{Object, Options, Vm};
//!
//! let object = Object::parse(include_bytes!("../examples/filter/filter.bpf.o"), &Options::default())?;
//! let mut vm = Vm::load(&object, "filter")?;
//! let passed = 2; // XDP_PASS
//! assert_eq!(vm.run(&[0; 60], 0)?, passed);
//! assert!(vm.map("DROPPED").is_some_and(|map| map.is_empty()));
//! # Ok::<(), treeline_sim::vm::VmError>(())
//! ```

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
