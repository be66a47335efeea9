//! What host and guest say to each other, as bytes.
//!
//! One message lies at the start of the shared memory: its length, then itself. The host writes a request and rings, the guest writes its
//! answer over it and rings back. Numbers are little-endian. Both sides are built from one tree; [`PROTOCOL`] tells when they are not.

use std::sync::Arc;

use treeline_ebpf::allow::Network;
use treeline_ebpf::tree::NODES_MAX;
use treeline_ebpf::{Allowed, Config, Counters, FEATURES, Flow, Node, Outcome, Tree};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{Hook, Observation, Settings};
use crate::verifier::{Job, Row};

/// Bytes of the memory that both sides see.
pub const SHARED_BYTES: usize = 64 << 20;
/// Bytes before the message: its length.
pub const HEAD_BYTES: usize = 8;
/// What either side writes to the serial line.
pub const BELL: u8 = b'!';
/// Changes with every change of a message.
pub const PROTOCOL: u32 = 2;

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
            _ => return Err(reader.wrong()),
        })
    }
}

/// A struct that crosses as it lies in memory.
///
/// # Safety
///
/// `repr(C)` or an array, of integers only, without padding: any bytes are one.
unsafe trait Plain: Copy {}

// SAFETY: `repr(C)`, integers, sizes asserted without padding where they are defined; arrays of integers.
unsafe impl Plain for Config {}
// SAFETY: as above.
unsafe impl Plain for Node {}
// SAFETY: as above.
unsafe impl Plain for Flow {}
// SAFETY: as above.
unsafe impl Plain for Network {}
// SAFETY: as above.
unsafe impl Plain for Allowed {}
// SAFETY: as above.
unsafe impl Plain for [i64; FEATURES] {}
// SAFETY: as above.
unsafe impl Plain for Counters {}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn word(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn long(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn count(&mut self, value: usize) -> &mut Self {
        self.long(value as u64)
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// What is said once and is of many parts, as JSON.
    fn document<T: Serialize>(&mut self, value: &T) -> &mut Self {
        self.bytes(&serde_json::to_vec(value).expect("texts and numbers"))
    }

    fn plain<T: Plain>(&mut self, value: &T) -> &mut Self {
        // SAFETY: a `Plain` has no padding, so each of its bytes is initialised.
        self.0.extend_from_slice(unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) });
        self
    }

    fn settings(&mut self, settings: &Settings) -> &mut Self {
        let Settings { hook, config, tree, flows_max, linked, allow, unlocked } = settings;
        let place = Hook::ALL.iter().position(|other| other == hook).unwrap_or_default();
        self.byte(u8::try_from(place).unwrap_or_default()).plain(config).word(*flows_max).byte(u8::from(*unlocked));
        // One of both is loaded.
        match linked {
            Some(object) => self.byte(1).bytes(object),
            None => tree.nodes.iter().fold(self.byte(0), Self::plain),
        };
        let entries = allow.entries();
        self.count(entries.len());
        for (network, allowed) in entries {
            self.plain(network).plain(allowed);
        }
        self
    }

    fn verdict(&mut self, verdict: &Verdict) -> &mut Self {
        match verdict {
            Verdict::Seen(seen) => {
                let Observation { outcome, returned, features, flow, counted } = &**seen;
                self.byte(0).word(outcome.code()).word(*returned).plain(counted);
                self.byte(u8::from(features.is_some()) | u8::from(flow.is_some()) << 1);
                features.iter().fold(&mut *self, |writer, features| writer.plain(features));
                flow.iter().fold(self, |writer, flow| writer.plain(flow))
            }
            Verdict::Untaken(reason) => self.byte(1).bytes(reason.as_bytes()),
            Verdict::Failed(reason) => self.byte(2).bytes(reason.as_bytes()),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> MessageError {
        MessageError { place: self.place }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let end = self.place.checked_add(count).ok_or(MessageError { place: self.place })?;
        let bytes = self.bytes.get(self.place..end).ok_or(MessageError { place: self.place })?;
        self.place = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        self.take(N)?.try_into().map_err(|_| self.wrong())
    }

    fn byte(&mut self) -> Result<u8, MessageError> {
        self.array().map(|[byte]| byte)
    }

    fn word(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64, MessageError> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Result<usize, MessageError> {
        usize::try_from(self.long()?).map_err(|_| self.wrong())
    }

    fn bytes(&mut self) -> Result<&'a [u8], MessageError> {
        let count = self.count()?;
        self.take(count)
    }

    fn text(&mut self) -> Result<String, MessageError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, MessageError>) -> Result<Vec<T>, MessageError> {
        let count = self.count()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn document<T: DeserializeOwned>(&mut self) -> Result<T, MessageError> {
        let bytes = self.bytes()?;
        serde_json::from_slice(bytes).map_err(|_| self.wrong())
    }

    fn plain<T: Plain>(&mut self) -> Result<T, MessageError> {
        let bytes = self.take(size_of::<T>())?;
        // SAFETY: as many bytes as a `T` has, and any are one.
        Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn settings(&mut self) -> Result<Settings, MessageError> {
        let hook = *Hook::ALL.get(usize::from(self.byte()?)).ok_or(self.wrong())?;
        let (config, flows_max, unlocked) = (self.plain()?, self.word()?, self.byte()? == 1);
        let mut tree = empty();
        let linked = match self.byte()? {
            0 => {
                for node in &mut tree.nodes {
                    *node = self.plain()?;
                }
                None
            }
            1 => Some(Arc::from(self.bytes()?)),
            _ => return Err(self.wrong()),
        };
        let allow = self.many(|reader| Ok((reader.plain()?, reader.plain()?)))?.into_iter().collect();
        Ok(Settings { linked, allow: Arc::new(allow), unlocked, ..Settings::new(hook, config, tree, flows_max) })
    }

    fn verdict(&mut self) -> Result<Verdict, MessageError> {
        Ok(match self.byte()? {
            0 => {
                let outcome = Outcome::from_code(self.word()?).ok_or(self.wrong())?;
                let (returned, counted, parts) = (self.word()?, self.plain()?, self.byte()?);
                let features = if parts & 1 == 0 { None } else { Some(self.plain()?) };
                let flow = if parts & 2 == 0 { None } else { Some(self.plain()?) };
                Verdict::Seen(Box::new(Observation { outcome, returned, features, flow, counted }))
            }
            1 => Verdict::Untaken(self.text()?),
            2 => Verdict::Failed(self.text()?),
            _ => return Err(self.wrong()),
        })
    }
}

/// A tree without nodes, never on the stack.
fn empty() -> Box<Tree> {
    let nodes = vec![Node::default(); NODES_MAX].into_boxed_slice();
    let nodes: Box<[Node; NODES_MAX]> = nodes.try_into().expect("as many as asked for");
    Box::new(Tree { nodes: *nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_as_it_was_written() {
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
            Reply::Verified(vec![Err(("one".to_owned(), "why".to_owned()))]),
        ];
        for reply in replies {
            let bytes = reply.to_bytes();
            assert_eq!(format!("{:?}", Reply::from_bytes(&bytes).expect("a reply")), format!("{reply:?}"));
            for end in 0..bytes.len() {
                Reply::from_bytes(&bytes[..end]).expect_err("a part of a message is none");
            }
        }
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
