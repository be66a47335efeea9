//! Loops that call a function of the program's: `bpf_loop` and `bpf_for_each_map_elem`.
//!
//! `lower` makes a loop of such a call, out of calls of these helpers and of the function. What a loop has to keep it keeps in the session,
//! because the program's registers and stack are the program's.

use super::super::instruction::CALL;
use super::super::memory::Piece;
use super::{E2BIG, EINVAL, Kinds, Session, errno, only, with};
use crate::bpf::MapKind;
use rbpf::ebpf::Insn;

/// Begins a `bpf_loop`: r1 turns, r3 handed on, r4 flags.
pub(in crate::vm) const LOOP: i32 = 0x4000_0010;
/// Begins a `bpf_for_each_map_elem`: r1 the map, r3 handed on, r4 flags.
pub(in crate::vm) const EACH: i32 = 0x4000_0011;
/// Whether there is another turn.
pub(in crate::vm) const NEXT: i32 = 0x4000_0012;
/// The function's arguments, of this turn: the number minus this is which, 0 for r1.
pub(in crate::vm) const ARGUMENT: i32 = 0x4000_0013;
/// Ends a turn: r1 is what the function returned.
pub(in crate::vm) const TURNED: i32 = 0x4000_0018;
/// Ends the loop and answers for it.
pub(in crate::vm) const DONE: i32 = 0x4000_0019;

/// Places for keys, one a loop: as many lie in one another at most as frames do.
pub(in crate::vm) const KEYS_MAX: usize = 8;
/// The longest key that a function is shown.
pub(in crate::vm) const KEY_MAX: usize = 512;
/// `BPF_MAX_LOOPS`
const TURNS_MAX: u64 = 1 << 23;

const ITERATED: Kinds = only(MapKind::Hash)
    | only(MapKind::Array)
    | only(MapKind::PerCpuHash)
    | only(MapKind::PerCpuArray)
    | only(MapKind::LruHash)
    | only(MapKind::LruPerCpuHash);

/// All functions of this module, by number.
pub(super) fn functions() -> [(i32, rbpf::ebpf::Helper); 9] {
    [
        (LOOP, begin_loop),
        (EACH, begin_each),
        (NEXT, next),
        (ARGUMENT, argument::<0>),
        (ARGUMENT + 1, argument::<1>),
        (ARGUMENT + 2, argument::<2>),
        (ARGUMENT + 3, argument::<3>),
        (TURNED, turned),
        (DONE, done),
    ]
}

/// Whether a program has a function that is shown keys.
pub(in crate::vm) fn shows_keys(program: &[Insn]) -> bool {
    program.iter().any(|insn| insn.opc == CALL && insn.src == 0 && insn.imm == 164)
}

/// A loop under way.
#[derive(Debug)]
pub(in crate::vm) struct Turns {
    /// How many turns were made, and may be made.
    made: u64,
    limit: u64,
    is_stopped: bool,
    error: Option<u64>,
    handed: u64,
    /// Of a map: its number, its handle, and where the next turn looks.
    map: Option<(usize, u64)>,
    cursor: u32,
    /// How many windows were open before the turn.
    windows: usize,
    key: u64,
    value: u64,
}

impl Turns {
    fn new(limit: u64, handed: u64, error: Option<u64>) -> Self {
        Self { made: 0, limit, is_stopped: error.is_some(), error, handed, map: None, cursor: 0, windows: 0, key: 0, value: 0 }
    }
}

fn begin_loop(turns: u64, _: u64, handed: u64, flags: u64, _: u64) -> u64 {
    with(|session| {
        // Where the flags are zero the kernel puts instructions in place of the call. They look at all of r1, and their error has no sign
        // in the upper half.
        let error = if flags != 0 { Some(errno(EINVAL)) } else { (turns > TURNS_MAX).then_some(errno(E2BIG) & u64::from(u32::MAX)) };
        session.loops.push(Turns::new(turns, handed, error));
    });
    0
}

fn begin_each(map: u64, _: u64, handed: u64, flags: u64, site: u64) -> u64 {
    with(|session| {
        let number = session.map_of(1, map, ITERATED, site);
        let mut turns = Turns::new(u64::MAX, handed, (flags != 0).then_some(errno(EINVAL)));
        turns.map = Some((number, map));
        session.loops.push(turns);
    });
    0
}

fn next(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        let depth = session.loops.len();
        let Some(mut turns) = session.loops.pop() else { return 0 };
        let mut has_next = !turns.is_stopped && turns.made < turns.limit;
        if has_next && let Some((number, _)) = turns.map {
            has_next = session.show(&mut turns, number, depth);
        }
        session.loops.push(turns);
        u64::from(has_next)
    })
}

fn argument<const WHICH: usize>(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        let Some(turns) = session.loops.last() else { return 0 };
        let arguments = match turns.map {
            None => [turns.made, turns.handed, 0, 0],
            Some((_, map)) => [map, turns.key, turns.value, turns.handed],
        };
        arguments[WHICH]
    })
}

fn turned(returned: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        let Some(turns) = session.loops.last_mut() else { return };
        turns.made += 1;
        turns.is_stopped = returned != 0;
        if let Some((number, _)) = turns.map {
            session.maps[number].close_beyond(turns.windows);
        }
    });
    0
}

fn done(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| session.loops.pop().map_or(0, |turns| turns.error.unwrap_or(turns.made)))
}

impl Session {
    /// Shows the function the next entry of a map; whether there is one.
    fn show(&mut self, turns: &mut Turns, number: usize, depth: usize) -> bool {
        let map = &mut self.maps[number];
        turns.windows = map.open_count();
        let Some((cursor, key, value)) = map.next_entry(turns.cursor) else { return false };
        map.touch(&key);
        (turns.cursor, turns.value) = (cursor + 1, value);
        let place: &mut Piece = &mut self.keys[(depth - 1).min(KEYS_MAX - 1)];
        let Some(bytes) = place.bytes_mut().get_mut(..key.len()) else { return false };
        bytes.copy_from_slice(&key);
        turns.key = place.address();
        true
    }
}
