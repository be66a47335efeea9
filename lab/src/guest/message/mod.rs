//! What host and guest say to each other, as bytes.
//!
//! One message lies at the start of the shared memory: its length, then itself. The host writes a request and rings, the guest writes its
//! answer over it and rings back. Both sides are built from one tree; [`PROTOCOL`] tells when they are not.

mod program;

pub use program::{ProgramReply, ProgramRequest, Ran};

use serde::{Deserialize, Serialize};

use crate::kernel::instance;
use crate::verifier::{Job, Row};

/// Bytes of the memory that both sides see.
pub const SHARED_BYTES: usize = 64 << 20;
/// Bytes before the message: its length.
pub const HEAD_BYTES: usize = 8;
/// What either side writes to the serial line.
pub const BELL: u8 = b'!';
/// Changes with every change of a message.
pub const PROTOCOL: u32 = 5;

/// What the host asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// About a program that is run as it is.
    Instance(instance::Request),
    /// Verify an object.
    Verify(Job),
    /// About any program.
    Program(ProgramRequest),
}

/// What the guest answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// The guest is up, says its first message of its own accord: its protocol, and the running kernel's release.
    Up {
        /// [`PROTOCOL`] as the guest knows it.
        protocol: u32,
        /// As `uname -r` shows it.
        release: String,
    },
    /// About a program that is run as it is.
    Instance(instance::Reply),
    /// The job cannot be done, and why.
    Refused(String),
    /// What the verifier said.
    Verified(Vec<Row>),
    /// About any program.
    Program(ProgramReply),
}

/// A message that its reader does not understand.
#[derive(Debug, thiserror::Error)]
#[error("a message is not what it must be ({0}); host and guest were built from different sources")]
pub struct MessageError(#[from] postcard::Error);

impl Request {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("memory has room")
    }

    /// Reads it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(postcard::from_bytes(bytes)?)
    }
}

impl Reply {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("memory has room")
    }

    /// Reads it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(postcard::from_bytes(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab;

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        let (program, section) = ("one".to_owned(), "xdp".to_owned());
        let unloaded = crate::verifier::Unloaded { program, section, reason: "why".to_owned(), rule: None, place: None };
        let replies = [
            Reply::Up { protocol: PROTOCOL, release: "6.1".to_owned() },
            Reply::Instance(instance::Reply::Loaded(vec!["one".to_owned(), String::new()])),
            Reply::Instance(instance::Reply::Ran(vec![
                instance::Ran::Done { returned: 2, record: vec![1, 2] },
                instance::Ran::NotTaken("short".to_owned()),
                instance::Ran::Failed("why".to_owned()),
            ])),
            Reply::Refused("no".to_owned()),
            Reply::Verified(vec![Err(unloaded)]),
            Reply::Program(ProgramReply::Value(Some(vec![7, 8]))),
            Reply::Program(ProgramReply::Entries(vec![(vec![1], vec![2, 3])])),
            Reply::Program(ProgramReply::Ran(Box::new(ran()))),
        ];
        for reply in replies {
            let bytes = reply.to_bytes();
            assert_eq!(format!("{:?}", Reply::from_bytes(&bytes).expect("a reply")), format!("{reply:?}"));
            for end in 0..bytes.len() {
                Reply::from_bytes(&bytes[..end]).expect_err("a part of a message is none");
            }
        }
    }

    fn ran() -> Ran {
        let outcome = lab::Outcome {
            returned: 2,
            packet: vec![1, 2, 3],
            meta: Some(vec![]),
            context: [("mark".to_owned(), 7)].into(),
            records: vec![lab::Record { map: "ring".to_owned(), bytes: vec![9], padded: true }],
            ..lab::Outcome::default()
        };
        Ran { outcome, entries: vec![(3, vec![(vec![0], vec![1])])], next: vec![(4, None), (5, Some(vec![6]))] }
    }
}
