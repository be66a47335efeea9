//! The edges: what each capture holds, frame by frame.
//!
//! Frames are in the order of the file. Times are nanoseconds since [`START_NS`], so that a scene reads like a clock.

use treeline_lab::Frame;

mod container;
mod flow;
mod header;
mod length;
mod packet;

pub use self::container::Container;

/// Time zero of every scene: 2024-01-01 00:00:00 UTC, nanoseconds since the epoch.
pub const START_NS: u64 = 1_704_067_200_000_000_000;

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// One hand-made capture.
#[derive(Clone)]
pub struct Edge {
    name: &'static str,
    shows: &'static str,
    pub container: Container,
    /// The frames as Ethernet, whatever the container makes of them.
    pub frames: Vec<Frame>,
}

impl Edge {
    /// Name of the file in `testdata/captures`.
    pub fn file(&self) -> String {
        format!("edge-{}.{}", self.name, self.container.extension())
    }

    /// The whole file.
    pub fn file_bytes(&self) -> Vec<u8> {
        self.container.file_bytes(&self.frames)
    }

    /// The file's row in the table of `testdata`.
    pub fn table_row(&self) -> String {
        let command = "`cargo run -p treeline-lab --example edges`";
        format!("| `captures/{}` | {} | {} | {command} |", self.file(), self.frames.len(), self.shows)
    }
}

/// Every edge, its frames numbered.
pub fn all() -> Vec<Edge> {
    let mut edges = [header::edges(), length::edges(), flow::edges(), container::edges()].concat();
    for edge in &mut edges {
        (0..).zip(&mut edge.frames).for_each(|(number, frame)| frame.index = edge.container.index(number));
    }
    edges
}

/// A capture of nanosecond pcap.
fn edge(name: &'static str, shows: &'static str, frames: Vec<Frame>) -> Edge {
    Edge { name, shows, container: Container::PcapNanoseconds, frames }
}

/// Whole frames, one millisecond apart.
fn every_millisecond(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Frame> {
    (0..).map(|count| count * MS).zip(frames).map(|(at_ns, frame)| frame_at(at_ns, frame)).collect()
}

/// A whole frame at a time since [`START_NS`].
fn frame_at(at_ns: u64, bytes: Vec<u8>) -> Frame {
    let original_length = u32::try_from(bytes.len()).expect("a frame");
    Frame { index: 0, time_ns: START_NS + at_ns, original_length, bytes }
}

/// A frame of which only the first `captured_length` bytes were kept.
fn cut(frame: &Frame, captured_length: usize) -> Frame {
    Frame { bytes: frame.bytes[..captured_length].to_vec(), ..*frame }
}
