//! Helpers that hand over to another program.

use super::super::loaded::go_aside;
use super::{Cause, EINVAL, Session, end, errno, hand_over, only, with, word};
use crate::bpf::MapKind;

/// So many tail calls a run may make.
const TAIL_CALLS_MAX: u32 = 33;

/// As `bpf_tail_call` in the main program: does not come back, unless there is no such program or the limit is reached.
pub(super) fn tail_call(context: u64, map: u64, index: u64, _: u64, site: u64) -> u64 {
    match with(|session| session.next_program(context, map, index, site)) {
        Some(position) => end(site, Cause::TailCall(position)),
        None => errno(EINVAL),
    }
}

/// The same in a function, whose caller gets what that program answers: zero if there is none, else its answer waits for [`answer`].
pub(super) fn aside(context: u64, map: u64, index: u64, _: u64, site: u64) -> u64 {
    let Some(position) = with(|session| session.next_program(context, map, index, site)) else { return 0 };
    match hand_over(|session| go_aside(session, position)) {
        Ok(answer) => with(|session| session.answer = answer),
        Err(error) => end(site, Cause::Other(Box::new(error))),
    }
    1
}

pub(super) fn answer(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| session.answer)
}

impl Session {
    /// Which program a tail call leads to; it is counted.
    fn next_program(&mut self, context: u64, map: u64, index: u64, site: u64) -> Option<usize> {
        self.expect_context(context, site);
        let number = self.map_of(2, map, only(MapKind::ProgArray), site);
        let key = u32::try_from(word(index)).expect("32 bits").to_le_bytes();
        self.maps[number].touch(&key);
        let next = self.maps[number].target(&key).and_then(|position| usize::try_from(position).ok())?;
        let is_alike = self.hooks.get(next) == Some(&self.hook);
        if !is_alike || self.tail_calls >= TAIL_CALLS_MAX {
            return None;
        }
        self.tail_calls += 1;
        Some(next)
    }
}
