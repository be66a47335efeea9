//! Helpers: the functions a program calls by number, with the kernel's results; and some of the VM's own, called by
//! instructions that `lower` adds.
//!
//! rbpf takes plain functions, so a run leaves a pointer to its [`Session`] in a thread-local. A helper that finds a fault ends
//! the run by unwinding through rbpf (no panic message: the hook is not called), so nothing runs after a fault.
//! By convention of `lower`, r5 holds the index of the calling instruction; a fifth argument waits in the session, see [`FIFTH`].
//! What each helper is, `table` says.

mod buffer;
pub(super) mod callback;
mod checksum;
mod clock;
mod dynamic;
mod map;
mod name;
mod packet;
mod program;
mod redirect;
mod ring;
mod route;
mod session;
mod skb;
mod socket;
mod table;
mod text;
mod tunnel;
mod xdp;

pub use route::{Forwarding, NextHop, Route};
pub use table::{Answer, Argument, HELPERS, Helper, Hooks, Packet, Size, find};

use super::follow;
use super::spot::Spot;
use super::{Fault, VmError};
use crate::bpf::Hook;
use crate::bpf::MapKind;
pub(super) use buffer::Buffer;
pub(super) use session::Session;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Tells the session where the stack ends: r5 is the main program's frame pointer.
pub(super) const ENTER: i32 = 0x4000_0000;
/// Ends the run, because instruction r5 would leave its frame: r2 bytes at r1 from its pointer; r3 says which [`ACCESSES`].
pub(super) const TRAP: i32 = 0x4000_0001;
/// Keeps r5 as the fifth argument of the helper called next, whose r5 is the calling instruction.
pub(super) const FIFTH: i32 = 0x4000_0002;
/// Counts at the point of number r5.
pub(super) const COUNT: i32 = 0x4000_0003;
/// Begins a frame: r5 is its frame pointer.
pub(super) const FRESH: i32 = 0x4000_0004;
/// Ends the run, because instruction r5 would read bytes of the stack, r2 from r1 on, of which some were never written.
pub(super) const UNWRITTEN: i32 = 0x4000_0005;
/// As `bpf_tail_call` in a function: whether another program ran to its end.
pub(super) const ASIDE: i32 = 0x4000_0006;
/// What that program answered.
pub(super) const ANSWER: i32 = 0x4000_0007;
/// Shows the registers at the point of number r5, with the frame pointer in r4.
pub(super) const STEP: i32 = 0x4000_0008;
/// Ends the run, because instruction r5 would write to the frame pointer.
pub(super) const READ_ONLY: i32 = 0x4000_000a;
/// Ends the run, because instruction r5 is one that the kernel does not let a program do to its context.
pub(super) const FORBIDDEN: i32 = 0x4000_0009;
/// Packet loads of classic BPF, of as many bytes as the number minus this: at r1, with the context in r2; negative beyond the packet.
pub(super) const CLASSIC: i32 = 0x4000_0080;
/// Charges what the meter of the number minus this says.
pub(super) const METER: i32 = 0x4000_0100;

/// Tests what the guard of the number minus this says.
pub(super) const GUARD: i32 = 0x4000_1000;

/// How many guards a program has at most; accesses beyond are held to the packet's room.
pub(super) const GUARDS: usize = 512;

/// What faults call an access.
pub(super) const ACCESSES: [&str; 3] = ["load", "store", "atomic operation"];

/// The kernel's number of `bpf_tail_call`.
pub(super) const TAIL_CALL: i32 = 12;

/// How many meters there are, one a loop head or function; the last one serves all that are left.
pub(super) const METERS: usize = 64;

/// What passing a loop head or a function's entry costs, and which instruction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meter {
    pub(super) instructions: usize,
    pub(super) site: Option<usize>,
}

/// The kernel's name of a helper without `bpf_`, also of those that are not here.
pub(super) fn named(number: i32) -> Option<&'static str> {
    name::name(number)
}

/// The helper of a number, if the hook has it; otherwise why the call is refused.
pub(super) fn allowed(number: i32, hook: Hook) -> Result<&'static Helper, String> {
    let named = || name::name(number).map_or_else(|| format!("{number}"), |name| format!("{number} ({name})"));
    let helper = find(number).ok_or_else(|| format!("the VM has no helper {}", named()))?;
    if !helper.hooks.has(hook) {
        return Err(format!("the kernel has no {} for {hook:?} programs", helper.name));
    }
    Ok(helper)
}

/// All functions that a lowered program with so many guards may call.
pub(super) fn functions(guards: usize) -> impl Iterator<Item = (i32, rbpf::ebpf::Helper)> {
    HELPERS.iter().map(|helper| (helper.number, helper.run)).chain(own(guards))
}

/// The VM's own helpers; of the guards' as many as a program has.
fn own(guards: usize) -> impl Iterator<Item = (i32, rbpf::ebpf::Helper)> {
    macro_rules! meters {
        ($($high:literal)*) => {
            [$(meter::<$high, 0>, meter::<$high, 1>, meter::<$high, 2>, meter::<$high, 3>),*]
        };
    }
    macro_rules! row {
        ($high:literal: $($low:literal)*) => { [$(guard::<$high, $low> as rbpf::ebpf::Helper),*] };
    }
    macro_rules! rows {
        ($($high:literal)*) => { [$(row!($high: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)),*] };
    }
    let meters: [rbpf::ebpf::Helper; METERS] = meters!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    let rows: [[rbpf::ebpf::Helper; 16]; GUARDS / 16] =
        rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    let others = [
        (ENTER, enter as rbpf::ebpf::Helper),
        (TRAP, trap),
        (FIFTH, fifth),
        (COUNT, count),
        (FRESH, fresh),
        (UNWRITTEN, unwritten),
        (ASIDE, program::aside),
        (ANSWER, program::answer),
        (STEP, step),
        (FORBIDDEN, forbidden),
        (READ_ONLY, read_only),
    ];
    let classic = [1, 2, 4].map(|size| CLASSIC + size).into_iter().zip(packet::CLASSIC);
    let others = others.into_iter().chain(classic).chain(callback::functions());
    let guards = (GUARD..).zip(rows.into_iter().flatten()).take(guards);
    others.chain((METER..).zip(meters)).chain(guards)
}

/// A map's handle in a register: an address that no memory has, plus the map's number.
pub(super) fn handle(map: usize) -> u64 {
    HANDLE | map as u64
}

/// A set of kinds of maps.
type Kinds = u64;

const fn only(kind: MapKind) -> Kinds {
    1 << kind as u32
}

const HANDLE: u64 = 0x00ba_d0ad_0000_0000;
const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const EOPNOTSUPP: i32 = 95;
const EALREADY: i32 = 114;
const EPROTO: i32 = 71;
const ENOTSUPP: i32 = 524;

thread_local! {
    static SESSION: Cell<*mut Session> = const { Cell::new(std::ptr::null_mut()) };
}

/// Why a helper ended the run; `site` is the calling instruction, if it is known.
pub(super) struct Stop {
    pub(super) site: Option<usize>,
    pub(super) cause: Cause,
}

/// See [`Stop`].
pub(super) enum Cause {
    Fault(Fault),
    /// The program at this position goes on with the context.
    TailCall(usize),
    /// A program that ran for a function of this one did not finish.
    Other(Box<VmError>),
}

/// Calls `run` with the session in reach of the helpers. `Err` is a helper's fault; other panics go on.
pub(super) fn during<R>(session: &mut Session, run: impl FnOnce() -> R) -> Result<R, Stop> {
    let outer = SESSION.replace(std::ptr::from_mut(session));
    let result = catch_unwind(AssertUnwindSafe(run));
    SESSION.set(outer);
    result.map_err(|payload| match payload.downcast::<Stop>() {
        Ok(stop) => *stop,
        Err(other) => resume_unwind(other),
    })
}

fn with<R>(work: impl FnOnce(&mut Session) -> R) -> R {
    let session = SESSION.get();
    assert!(!session.is_null(), "a helper was called outside of a run");
    // SAFETY: `during` set the pointer from a `&mut` that it holds for the whole run; rbpf calls one helper at a time and
    // helpers do not call each other, so no second reference exists.
    work(unsafe { &mut *session })
}

/// Hands the session over to who may call helpers with it in turn, unlike [`with`].
fn hand_over<R>(work: impl FnOnce(&mut Session) -> R) -> R {
    with(|session| {
        // SAFETY: as in `with`; `work` goes through `during`, whose helpers are this reference's own, and is back before it is used again.
        work(unsafe { &mut *std::ptr::from_mut(session) })
    })
}

fn stop(site: u64, fault: Fault) -> ! {
    end(site, Cause::Fault(fault))
}

fn end(site: u64, cause: Cause) -> ! {
    resume_unwind(Box::new(Stop { site: usize::try_from(site).ok(), cause }))
}

fn errno(number: i32) -> u64 {
    i64::from(-number).cast_unsigned()
}

fn result(done: Result<(), i32>) -> u64 {
    done.map_or_else(errno, |()| 0)
}

/// An argument of 32 bits: the upper half does not count.
fn word(argument: u64) -> usize {
    usize::try_from(argument & u64::from(u32::MAX)).expect("32 bits fit")
}

/// An argument of 32 bits with a sign.
fn signed(argument: u64) -> i64 {
    i64::from(u32::try_from(argument & u64::from(u32::MAX)).expect("32 bits").cast_signed())
}

fn enter(_: u64, _: u64, _: u64, _: u64, frame: u64) -> u64 {
    with(|session| session.stack.end = frame);
    0
}

fn fresh(_: u64, _: u64, _: u64, _: u64, frame: u64) -> u64 {
    with(|session| session.stack.enter(frame));
    0
}

fn unwritten(address: u64, length: u64, _: u64, _: u64, site: u64) -> u64 {
    let bytes = word(length);
    with(|session| {
        session.expect_written(None, address, bytes, site);
        // The shadow is the program's own doing if that finds nothing.
        stop(site, Fault::OutOfBounds { access: ACCESSES[0], spot: session.spot(address, bytes), size: bytes })
    })
}

fn fifth(_: u64, _: u64, _: u64, _: u64, argument: u64) -> u64 {
    with(|session| session.fifth = argument);
    0
}

fn count(_: u64, _: u64, _: u64, _: u64, point: u64) -> u64 {
    with(|session| {
        let counts = &mut session.counts[session.program];
        if let Some(count) = usize::try_from(point).ok().and_then(|point| counts.get_mut(point)) {
            *count += 1;
        }
    });
    0
}

fn step(first: u64, second: u64, third: u64, frame: u64, point: u64) -> u64 {
    with(|session| follow::step(session, [first, second, third, frame, point]));
    0
}

fn trap(offset: u64, length: u64, access: u64, _: u64, site: u64) -> u64 {
    let spot = Spot::Stack { offset: offset.cast_signed(), frame: 0 };
    stop(site, Fault::OutOfBounds { access: ACCESSES[word(access)], spot, size: word(length) })
}

fn read_only(_: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    stop(site, Fault::FramePointer)
}

fn forbidden(_: u64, _: u64, _: u64, _: u64, site: u64) -> u64 {
    stop(site, Fault::Context)
}

fn meter<const HIGH: usize, const LOW: usize>(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|session| {
        let meter = session.meters[session.program][HIGH * 4 + LOW];
        let left = session.instructions_left.checked_sub(meter.instructions as u64);
        session.instructions_left = left.unwrap_or_else(|| {
            let cause = Cause::Fault(Fault::InstructionLimit { limit: session.instructions_max });
            resume_unwind(Box::new(Stop { site: meter.site, cause }))
        });
    });
    0
}

fn guard<const HIGH: usize, const LOW: usize>(first: u64, second: u64, third: u64, fourth: u64, fifth: u64) -> u64 {
    with(|session| {
        let guard = session.guards[session.program][HIGH * 16 + LOW];
        let base = [first, second, third, fourth, fifth][usize::from(guard.register) - 1];
        let (address, size) = (base.wrapping_add_signed(guard.offset.into()), usize::from(guard.size));
        let last = address.wrapping_add(size as u64 - 1);
        let is_near = session.room.holds(address, 1) || session.room.holds(last, 1);
        if is_near && !session.reach.holds(address, size) {
            let spot = Spot::of(session, base, guard.offset.into(), size);
            stop(guard.site as u64, Fault::OutOfBounds { access: guard.access, spot, size });
        }
    });
    0
}
