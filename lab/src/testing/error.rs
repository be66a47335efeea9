//! Why a test cannot go on.

use crate::bpf::ObjectError;
use crate::capture::CaptureError;
use crate::guest::GuestError;
use crate::lab::LabError;

/// A result whose error ends a test.
///
/// ```
/// # use treeline_lab::Object;
/// fn the_object_has_a_filter() -> treeline_lab::Result {
///     Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?;
///     Ok(())
/// }
/// # the_object_has_a_filter().unwrap();
/// ```
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a test cannot go on. That engines differ is no error but a panic, as a failed assertion is.
///
/// ```
/// use treeline_lab::{Error, Object};
///
/// assert!(matches!(Object::open("missing.bpf.o"), Err(Error::File { .. })));
/// assert!(matches!(Object::read([]).program("filter"), Err(Error::Object(_))));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The object is damaged, or has not what it is asked for.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// An engine does not load or run the program.
    #[error(transparent)]
    Engine(#[from] LabError),
    /// A program of a section that is of no hook.
    #[error("{program}: its section is of no hook that can be run; Object::hook says which it is")]
    Hook {
        /// The program.
        program: String,
    },
    /// A program that did in the vm what the verifier would have forbidden, with where and how it came there.
    #[error("{report}")]
    Stopped {
        /// The report.
        report: String,
    },
    /// A packet that an engine does not take.
    #[error("a packet of {bytes} bytes runs in no kernel: {reason}; Program::vm_alone runs it")]
    NotTaken {
        /// Its length.
        bytes: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A map that there is not, or of other sizes.
    #[error("map {map}: {reason}")]
    Map {
        /// Its name.
        map: String,
        /// What is wrong.
        reason: String,
    },
    /// A capture that cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A kernel that cannot be had.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// What is required under `CI` is not there.
    #[error("under CI this must be there: {what}")]
    Missing {
        /// What, and why it is not.
        what: String,
    },
    /// A replay of a lab that packets were run in before.
    #[error("a replay starts with fresh maps: load the program once more for it")]
    Used,
    /// The verifier was not asked.
    #[error("{kernel}: {reason}")]
    Verifier {
        /// The kernel.
        kernel: String,
        /// Why not.
        reason: String,
    },
}
