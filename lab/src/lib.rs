//! Tests of eBPF packet programs: captures, a VM that needs no rights, the kernel beside it, other kernels in QEMU, and the verifier's word.
//!
//! # A program of your own
//!
//! [`vm`] runs any XDP, TC or socket-filter object without rights, [`lab`] the same in the kernel beside it, and [`verifier`] says what the
//! kernel's verifier says. `lab/examples/filter` is a crate that tests its own program so:
//!
//! ```
//! use treeline_lab::bpf::{Object, ReadOptions};
//! use treeline_lab::vm::Vm;
//!
//! let object = Object::parse(include_bytes!("../examples/filter/filter.bpf.o"), &ReadOptions::default())?;
//! let mut vm = Vm::load(&object, "filter")?;
//! let passed = 2; // XDP_PASS
//! assert_eq!(vm.run(&[0; 60], 0)?, passed);
//! assert!(vm.map("DROPPED").is_some_and(|map| map.is_empty()));
//! # Ok::<(), treeline_lab::vm::VmError>(())
//! ```

pub mod frame;

pub mod capture;

pub mod bpf;

pub mod vm;

pub mod kernel;

pub mod verifier;

pub mod cause;

pub mod lab;

pub mod guest;

pub mod exercise;

pub use frame::Frame;
