//! What one run of a loaded program costs, as the kernel times it, and the floor's flow.

use treeline_lab::cause::explain;
use treeline_lab::kernel::Programs;
use treeline_sim::object;

/// The mean over the frames of the time that the kernel reports for a run, ns.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub fn cost<'a>(programs: &Programs, name: &str, frames: impl ExactSizeIterator<Item = &'a [u8]>, repeat: u32) -> Result<f64, String> {
    let count = frames.len();
    let mut total_ns = 0;
    for frame in frames {
        total_ns += programs.run(name, frame, repeat).map_err(|error| explain(&error))?.1.as_nanos();
    }
    Ok(total_ns as f64 / count as f64)
}

/// Inserts the flow that the floor program looks up: its key is all zero but the protocol, TCP.
pub fn insert_floor_flow(programs: &Programs) -> Result<(), String> {
    let mut key = [0; 40];
    key[36] = 6;
    let mut flows = programs.entries(object::FLOWS).map_err(|error| explain(&error))?;
    flows.put(&key, &[0; 128], 0).map_err(|error| format!("the flow table: {error}"))
}
