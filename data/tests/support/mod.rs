//! What the tests of labels share.

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use treeline_data::Labels;
use treeline_data::label::LabelError;
use treeline_sim::conversation::Conversation;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

pub fn read(text: impl Into<Vec<u8>>) -> Result<Labels, LabelError> {
    Labels::read(Cursor::new(text.into()), Path::new("labels.csv"))
}

pub fn labels(text: impl Into<Vec<u8>>) -> Labels {
    read(text).expect("labels")
}

pub fn refused(text: impl Into<Vec<u8>>) -> String {
    read(text).expect_err("bad labels").to_string()
}

/// A flow opened by `originator`, both `address:port`.
pub fn flow(protocol: u8, originator: &str, responder: &str) -> Conversation {
    let [originator, responder] = [originator, responder].map(|end| {
        let end: SocketAddr = end.parse().expect("address:port");
        (end.ip(), end.port())
    });
    Conversation { originator, responder, protocol }
}

/// Nanoseconds of an RFC 3339 time.
pub fn at(time: &str) -> u64 {
    let time: jiff::Timestamp = time.parse().expect("a time");
    u64::try_from(time.as_nanosecond()).expect("after 1970")
}

/// The name of a flow's class.
pub fn class(labels: &mut Labels, capture: &str, conversation: &Conversation, first_ns: u64) -> Option<String> {
    let class = labels.class(Path::new(capture), conversation, first_ns)?;
    Some(labels.classes()[usize::from(class)].clone())
}

/// The folder of captures from elsewhere, or why there is none.
pub fn captures() -> Result<PathBuf, &'static str> {
    std::env::var_os("TREELINE_CAPTURES").map(PathBuf::from).ok_or("TREELINE_CAPTURES is not set")
}

/// A folder of this repository's test data.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}
