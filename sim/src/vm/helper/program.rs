//! Helpers that hand over to another program.

use super::super::map::MapKind;
use super::{Cause, EINVAL, end, errno, only, with, word};

/// So many tail calls a run may make.
const TAIL_CALLS_MAX: u32 = 33;

/// As `bpf_tail_call`: does not come back, unless there is no such program or the limit is reached.
pub(super) fn tail_call(context: u64, map: u64, index: u64, _: u64, site: u64) -> u64 {
    let next = with(|session| {
        session.expect_context(context, site);
        let number = session.map_of(2, map, only(MapKind::ProgArray), site);
        let key = u32::try_from(word(index)).expect("32 bits").to_le_bytes();
        session.maps[number].touch(&key);
        let next = session.maps[number].target(&key).and_then(|position| usize::try_from(position).ok())?;
        let is_alike = session.hooks.get(next) == Some(&session.hook);
        if !is_alike || session.tail_calls >= TAIL_CALLS_MAX {
            return None;
        }
        session.tail_calls += 1;
        Some(next)
    });
    match next {
        Some(position) => end(site, Cause::TailCall(position)),
        None => errno(EINVAL),
    }
}
