//! What host and guest say to each other, as bytes.
//!
//! One message lies at the start of the shared memory: its length, then itself. The host writes a request and rings, the guest writes its
//! answer over it and rings back. Numbers are little-endian. Both sides are built from one tree; [`PROTOCOL`] tells when they are not.

mod classifier;

mod program;

mod wire;

pub use program::{ProgramReply, ProgramRequest, Ran};

use wire::{Reader, Writer};

use crate::engine::{Observation, Settings};
use crate::verifier::{Job, Row};

/// Bytes of the memory that both sides see.
pub const SHARED_BYTES: usize = 64 << 20;
/// Bytes before the message: its length.
pub const HEAD_BYTES: usize = 8;
/// What either side writes to the serial line.
pub const BELL: u8 = b'!';
/// Changes with every change of a message.
pub const PROTOCOL: u32 = 4;

/// What the host asks.
#[derive(Debug, Clone)]
pub enum Request {
    /// Load the classifier with these settings; frames go there from now on.
    Open(Settings),
    /// Go on with the tree and the configuration of these settings.
    Swap(Settings),
    /// Judge frames: times (ns) and bytes.
    Frames(Vec<(u64, Vec<u8>)>),
    /// Verify an object.
    Verify(Job),
    /// About anybody's program.
    Program(ProgramRequest),
}

/// What the guest answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The guest is up, says its first message of its own accord: its protocol, and the running kernel's release.
    Up {
        /// [`PROTOCOL`] as the guest knows it.
        protocol: u32,
        /// As `uname -r` shows it.
        release: String,
    },
    /// Loaded; with a line for what is otherwise than on a newer kernel.
    Opened {
        /// The lines.
        notices: Vec<String>,
    },
    /// A verdict for each frame.
    Judged(Vec<Verdict>),
    /// The job cannot be done, and why.
    Refused(String),
    /// What the verifier said.
    Verified(Vec<Row>),
    /// About anybody's program.
    Program(ProgramReply),
}

/// What became of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Judged.
    Seen(Box<Observation>),
    /// Not taken, for a reason by which such frames are counted.
    Untaken(String),
    /// The engine broke.
    Failed(String),
}

/// A message that its reader does not understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {place} of a message cannot be what it is; host and guest were built from different sources")]
pub struct MessageError {
    /// Where.
    pub place: usize,
}

impl Request {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Open(settings) => writer.byte(0).settings(settings),
            Self::Swap(settings) => writer.byte(1).settings(settings),
            Self::Frames(frames) => {
                writer.byte(2).count(frames.len());
                for (time_ns, bytes) in frames {
                    writer.long(*time_ns).bytes(bytes);
                }
                &mut writer
            }
            Self::Verify(job) => writer.byte(3).document(job),
            Self::Program(request) => writer.byte(4).program_request(request),
        };
        writer.0
    }

    /// Reads it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader { bytes, place: 0 };
        Ok(match reader.byte()? {
            0 => Self::Open(reader.settings()?),
            1 => Self::Swap(reader.settings()?),
            2 => Self::Frames(reader.many(|reader| Ok((reader.long()?, reader.bytes()?.to_vec())))?),
            3 => Self::Verify(reader.document()?),
            4 => Self::Program(reader.program_request()?),
            _ => return Err(reader.wrong()),
        })
    }
}

impl Reply {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Up { protocol, release } => writer.byte(0).word(*protocol).bytes(release.as_bytes()),
            Self::Opened { notices } => {
                writer.byte(1).count(notices.len());
                for notice in notices {
                    writer.bytes(notice.as_bytes());
                }
                &mut writer
            }
            Self::Judged(verdicts) => {
                writer.byte(2).count(verdicts.len());
                for verdict in verdicts {
                    writer.verdict(verdict);
                }
                &mut writer
            }
            Self::Refused(reason) => writer.byte(3).bytes(reason.as_bytes()),
            Self::Verified(rows) => writer.byte(4).document(rows),
            Self::Program(reply) => writer.byte(5).program_reply(reply),
        };
        writer.0
    }

    /// Reads it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader { bytes, place: 0 };
        Ok(match reader.byte()? {
            0 => Self::Up { protocol: reader.word()?, release: reader.text()? },
            1 => Self::Opened { notices: reader.many(Reader::text)? },
            2 => Self::Judged(reader.many(Reader::verdict)?),
            3 => Self::Refused(reader.text()?),
            4 => Self::Verified(reader.document()?),
            5 => Self::Program(reader.program_reply()?),
            _ => return Err(reader.wrong()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use treeline_ebpf::{Config, Flow, Node, Outcome};

    use super::classifier::empty;
    use super::*;
    use crate::engine::Hook;
    use crate::lab;

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        let (program, section) = ("one".to_owned(), "xdp".to_owned());
        let unloaded = crate::verifier::Unloaded { program, section, reason: "why".to_owned(), rule: None, place: None };
        let seen = Observation {
            outcome: Outcome::Judged(1),
            returned: 2,
            features: Some(std::array::from_fn(|index| i64::try_from(index).expect("few") - 5)),
            flow: Some(Flow { packets: 7, ..Flow::EMPTY }),
            counted: std::array::from_fn(|index| index as u64),
        };
        let verdicts = vec![
            Verdict::Seen(Box::new(seen)),
            Verdict::Untaken("short".to_owned()),
            Verdict::Seen(Box::new(Observation { features: None, flow: None, ..seen })),
            Verdict::Failed("why".to_owned()),
        ];
        let replies = [
            Reply::Up { protocol: PROTOCOL, release: "6.1".to_owned() },
            Reply::Opened { notices: vec!["one".to_owned(), String::new()] },
            Reply::Judged(verdicts),
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

    #[test]
    fn settings_cross_whole() {
        let mut tree = empty();
        tree.nodes[0] = Node { threshold: -3, link: 9 };
        let allow = crate::allow::List::parse("list", "198.18.0.7 tcp/22 udp/53\n2001:db8::/32").expect("a list");
        let settings = Settings { allow: Arc::new(allow), unlocked: true, ..Settings::new(Hook::Tc, Config::default(), tree, 5000) };
        let Ok(Request::Open(read)) = Request::from_bytes(&Request::Open(settings.clone()).to_bytes()) else { panic!("not an Open") };
        assert_eq!((read.hook, read.config, read.flows_max, read.unlocked), (settings.hook, settings.config, 5000, true));
        assert_eq!((read.tree.nodes == settings.tree.nodes, &read.allow, read.linked), (true, &settings.allow, None));

        let linked = Settings { linked: Some(Arc::from(*b"object")), ..settings };
        let Ok(Request::Swap(read)) = Request::from_bytes(&Request::Swap(linked).to_bytes()) else { panic!("not a Swap") };
        assert_eq!(read.linked.as_deref(), Some(&b"object"[..]));
    }
}
