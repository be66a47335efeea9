//! What is said of the classifier: its settings there, a verdict back.

use std::sync::Arc;

use treeline_ebpf::allow::Network;
use treeline_ebpf::tree::NODES_MAX;
use treeline_ebpf::{Allowed, Config, Counters, FEATURES, Flow, Link, Node, Outcome, Tree};

use super::wire::{Reader, Writer};
use super::{MessageError, Verdict};
use crate::engine::{Hook, Observation, Settings};

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
        self.0.extend_from_slice(unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) });
        self
    }

    pub(super) fn settings(&mut self, settings: &Settings) -> &mut Self {
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

    pub(super) fn verdict(&mut self, verdict: &Verdict) -> &mut Self {
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

    pub(super) fn settings(&mut self) -> Result<Settings, MessageError> {
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

    pub(super) fn verdict(&mut self) -> Result<Verdict, MessageError> {
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
pub(super) fn empty() -> Box<Tree> {
    let nodes = vec![Node::default(); NODES_MAX].into_boxed_slice();
    let nodes: Box<[Node; NODES_MAX]> = nodes.try_into().expect("as many as asked for");
    Box::new(Tree { nodes: *nodes })
}
