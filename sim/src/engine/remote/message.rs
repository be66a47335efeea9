//! What is said of the classifier: its settings there, a verdict back.

use std::sync::Arc;

use treeline_ebpf::allow::Network;
use treeline_ebpf::tree::NODES_MAX;
use treeline_ebpf::{Allowed, Config, Counters, FEATURES, Flow, Link, Node, Outcome, Tree};

use super::wire::{Reader, Writer};
use crate::engine::{Hook, Observation, Settings};

/// What the host asks.
#[derive(Debug, Clone)]
pub enum Request {
    /// Load the classifier with these settings; frames go there from now on.
    Open(Settings),
    /// Go on with the tree and the configuration of these settings.
    Swap(Settings),
    /// Judge frames: times (ns) and bytes.
    Frames(Vec<(u64, Vec<u8>)>),
}

/// What the guest answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Loaded; with a line for what is otherwise than on a newer kernel.
    Opened {
        /// The lines.
        notices: Vec<String>,
    },
    /// A verdict for each frame.
    Judged(Vec<Verdict>),
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
        };
        writer.into_bytes()
    }

    /// Reads it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.byte()? {
            0 => Self::Open(reader.settings()?),
            1 => Self::Swap(reader.settings()?),
            2 => Self::Frames(reader.many(|reader| Ok((reader.long()?, reader.bytes()?.to_vec())))?),
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
            Self::Opened { notices } => {
                writer.byte(1).count(notices.len());
                for notice in notices {
                    writer.bytes(notice.as_bytes());
                }
            }
            Self::Judged(verdicts) => {
                writer.byte(2).count(verdicts.len());
                for verdict in verdicts {
                    writer.verdict(verdict);
                }
            }
        }
        writer.into_bytes()
    }

    /// Reads it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.byte()? {
            1 => Self::Opened { notices: reader.many(Reader::text)? },
            2 => Self::Judged(reader.many(Reader::verdict)?),
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

impl Writer {
    fn plain<T: Plain>(&mut self, value: &T) -> &mut Self {
        // SAFETY: a `Plain` has no padding, so each of its bytes is initialised.
        self.raw(unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) })
    }

    fn settings(&mut self, settings: &Settings) -> &mut Self {
        let Settings { hook, link, config, tree, flows_max, linked, allow, unlocked } = settings;
        let place = Hook::ALL.iter().position(|other| other == hook).unwrap_or_default();
        self.byte(u8::try_from(place).unwrap_or_default())
            .byte(u8::from(*link == Link::Ip))
            .plain(config)
            .word(*flows_max)
            .byte(u8::from(*unlocked));
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

impl Reader<'_> {
    fn plain<T: Plain>(&mut self) -> Result<T, MessageError> {
        let bytes = self.take(size_of::<T>())?;
        // SAFETY: as many bytes as a `T` has, and any are one.
        Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn settings(&mut self) -> Result<Settings, MessageError> {
        let hook = *Hook::ALL.get(usize::from(self.byte()?)).ok_or(self.wrong())?;
        let link = *Link::ALL.get(usize::from(self.byte()?)).ok_or(self.wrong())?;
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
        Ok(Settings { link, linked, allow: Arc::new(allow), unlocked, ..Settings::new(hook, config, tree, flows_max) })
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
    fn a_verdict_is_read_as_it_was_written() {
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
        for reply in [Reply::Opened { notices: vec!["one".to_owned(), String::new()] }, Reply::Judged(verdicts)] {
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
