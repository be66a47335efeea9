//! Tests of eBPF packet programs: captures, a VM that needs no privileges, the kernel beside it, other kernels in QEMU, and what the verifier says.
//!
//! ```
//! use treeline_lab::{Lab, Object, Result, xdp};
//!
//! fn filter() -> Result<Lab> {
//!     Object::read(include_bytes!("../examples/filter/filter.bpf.o"))
//!         .global("PORT", 53_u16)? // its size is checked
//!         .program("filter")?
//!         .load() // in the VM; in the kernel too where that is allowed, and it must be under CI
//! }
//!
//! # fn main() -> Result {
//! let mut lab = filter()?;
//! lab.run([0; 60])?.expect(xdp::PASS).unchanged(); // if engines differ: a panic with source line and registers
//! assert_eq!(lab.map::<[u8; 4], u64>("DROPPED")?.entries()?, []);
//! filter()?.replay("../testdata/captures/edge-not-ip.pcap")?.agrees().expect_all(xdp::PASS);
//! # Ok(())
//! # }
//! ```
//!
//! What such a test is written with is in [`testing`], and here by its names. Below it lie an object read and linked ([`bpf`]), the VM ([`vm`]), the
//! kernel's loader ([`kernel`]), both over packets and compared ([`lab`]), captures ([`capture`]), other kernels ([`guest`]) and the verifier's
//! log explained ([`verifier`]).

pub mod frame;

pub mod capture;

pub mod bpf;

pub mod vm;

pub mod kernel;

pub mod verifier;

pub mod cause;

pub mod lab;

pub mod guest;

pub mod testing;

#[cfg(feature = "exercise")]
pub mod exercise;

pub use frame::Frame;
pub use testing::verdict::{tc, xdp};
pub use testing::{Error, Kernel, Lab, Map, Object, Program, Replayed, Result, Run, Verification, kernels};
