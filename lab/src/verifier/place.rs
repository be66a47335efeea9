//! An instruction on the verifier's path.

/// An instruction on the way.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) instruction: usize,
    pub(super) text: String,
    /// What the log shows of registers and stack behind it.
    pub(super) after: Vec<String>,
    /// The verifier came back to it for its other way, so it will not again.
    pub(super) resumed: bool,
}
