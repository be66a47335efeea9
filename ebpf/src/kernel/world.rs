//! The classifier's [`Platform`] over maps, and the lock that guards a flow.
//!
//! # What is guaranteed when CPUs meet
//!
//! A flow is written only under its lock word, taken by compare-and-exchange with at most [`TRIES_MAX`] tries; a packet that does not
//! get it is passed and counted ([`Skip::Contended`]), so counts and sums are exact, or short by exactly that counter. Counters are per
//! CPU and written without atomics: XDP and TC run with softirqs disabled, so no second program of theirs interrupts one on its CPU. A socket
//! filter on a network device runs so as well; on an `AF_UNIX` socket it runs in process context and may be preempted: its flow
//! sums stay exact under the lock, its counters may then lose an increment.

use core::arch::asm;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use treeline_ebpf::replay::{Cell, Record};
use treeline_ebpf::{Alarm, Allowed, Config, Counter, Counters, Features, Flow, Key, Link, Live, Platform, Skip};

use crate::alert::{self, Fate};
use crate::reach::Reach;
use crate::{map, tree};

/// Attempts at a flow's lock.
const TRIES_MAX: u32 = 128;

/// `IP`: its frames begin with the IP header. As a part of the type it makes two of every function, each with one caller, into which the compiler
/// puts it.
struct World<const IP: bool, R> {
    reach: R,
    counters: &'static mut Counters,
    /// Present in a replay.
    record: Option<&'static mut Record>,
}

/// Frames begin with an Ethernet header.
pub const ETHERNET: bool = false;
/// Frames begin with the IP header.
pub const IP: bool = true;

/// Classifies the packet in reach; true if it is to be dropped.
#[inline(always)]
pub fn classify<const IP: bool, R: Reach>(reach: R) -> bool {
    // SAFETY: this CPU's own value and nothing else on this CPU runs meanwhile (the module's text); a replay runs one packet at a time.
    let (counters, record) = if map::config().replay == 0 {
        let Some(counters) = map::COUNTERS.get_ptr_mut(0) else { return false };
        (unsafe { &mut *counters }, None)
    } else {
        let Some(cell) = map::REPLAY.get_ptr_mut(0) else { return false };
        let Cell { counters, record } = unsafe { &mut *cell };
        record.reached_flow = 0;
        (counters, Some(record))
    };
    let mut world = World::<IP, R> { reach, counters, record };
    let outcome = treeline_ebpf::classify(&mut world);
    if let Some(live) = live() {
        live.bytes += u64::from(world.reach.length());
    }
    if let Some(record) = world.record {
        record.packets += 1;
        record.outcome = outcome.code();
    }
    outcome.drops(map::config())
}

/// This CPU's live numbers; none in a replay. Looked up where it is needed: most packets need it once, and a pointer kept would be in the way.
#[inline(always)]
fn live() -> Option<&'static mut Live> {
    if map::config().replay != 0 {
        return None;
    }
    // SAFETY: as in `classify`: nothing else writes this CPU's value meanwhile, and no caller keeps it.
    map::LIVE.get_ptr_mut(0).map(|live| unsafe { &mut *live })
}

impl<const IP: bool, R: Reach> Platform for World<IP, R> {
    #[inline(always)]
    fn link(&self) -> Link {
        if IP { Link::Ip } else { Link::Ethernet }
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        self.reach.words(offset)
    }

    #[inline(always)]
    fn byte(&self, offset: usize) -> Option<u8> {
        self.reach.byte(offset)
    }

    #[inline(always)]
    fn half(&self, offset: usize) -> Option<u16> {
        self.reach.half(offset)
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        self.reach.holds(length)
    }

    #[inline(always)]
    fn forget(&self, offset: usize) -> usize {
        self.reach.forget(offset, self.counters[0])
    }

    #[inline(always)]
    fn pull(&mut self) -> bool {
        self.reach.pull()
    }

    #[inline(always)]
    fn now_ns(&mut self) -> u64 {
        match &self.record {
            Some(record) => record.now_ns,
            // SAFETY: a helper without arguments.
            None => unsafe { bpf_ktime_get_ns() },
        }
    }

    #[inline(always)]
    fn config(&self) -> Config {
        *map::config()
    }

    #[inline(always)]
    fn with_flow<T>(&mut self, key: &Key, apply: impl FnOnce(&mut Flow) -> T) -> Result<T, Skip> {
        let flow = self.find_or_insert(key)?;
        lock(flow)?;
        // SAFETY: the pointer is a live map value, and the lock keeps every other writer of this flow out.
        let flow = unsafe { &mut *flow };
        if flow.key.version == 0 {
            flow.key = *key;
        } else if map::differ(flow, key) {
            // Evicted between lookup and lock, and given to another flow. If that was done to us by a CPU that came
            // first to a fresh entry of ours, the entry is wrong for good: remove it, so that the next packet makes a new one.
            unlock(flow);
            self.remove(key);
            return Err(Skip::TableFull);
        }
        let result = apply(flow);
        if let Some(record) = &mut self.record {
            record.flow = Flow { lock: 0, ..*flow };
            record.reached_flow = 1;
        }
        let evicted = map::differ(flow, key);
        unlock(flow);
        if evicted {
            self.count(Counter::Evicted);
        }
        Ok(result)
    }

    #[inline(always)]
    fn decide(&mut self, features: &Features) -> Result<u16, Skip> {
        tree::decide(features)
    }

    #[inline(always)]
    fn allowed(&self, address: [u64; 2]) -> Option<&Allowed> {
        map::allowed(address)
    }

    #[inline(always)]
    fn alarm(&mut self, alarm: &Alarm<'_>) {
        let Config { alert_interval_ns, model, .. } = *map::config();
        let Some(live) = live() else { return };
        let mut slot = Live::slot(alarm.class);
        // SAFETY: keeps a register as it is, so that the compiler, which knows the bound, leaves the mask that the verifier wants.
        unsafe { asm!("{0} = {0}", inout(reg) slot, options(pure, nomem, nostack, preserves_flags)) };
        live.judged(slot);
        if alert_interval_ns == 0 {
            return;
        }
        match alert::send(alarm, alert_interval_ns, model, self.reach.interface()) {
            Fate::Sent => live.alerts_sent += 1,
            Fate::Lost => live.alerts_lost += 1,
            Fate::Held => live.alerts_held += 1,
        }
    }

    #[inline(always)]
    fn count(&mut self, counter: Counter) {
        self.counters[counter as usize] += 1;
    }

    #[inline(always)]
    fn trace(&mut self, features: &Features) {
        if let Some(record) = &mut self.record {
            let values = core::ptr::from_ref(features).cast::<i64>();
            for (index, value) in record.features.iter_mut().enumerate() {
                // SAFETY: the vector has more slots than features; volatile, so that live code keeps no second copy of it for this.
                *value = unsafe { values.add(index).read_volatile() };
            }
        }
    }
}

impl<const IP: bool, R> World<IP, R> {
    #[inline(always)]
    fn find_or_insert(&mut self, key: &Key) -> Result<*mut Flow, Skip> {
        if let Some(flow) = map::FLOWS.get_ptr_mut(key) {
            return Ok(flow);
        }
        // Another CPU may insert the same key first, or the table may be full: the lookup that follows tells.
        let inserted = map::FLOWS.insert(key, &map::EMPTY, u64::from(BPF_NOEXIST)).is_ok();
        if let Some(live) = live() {
            live.flows_inserted += u64::from(inserted);
        }
        map::FLOWS.get_ptr_mut(key).ok_or(Skip::TableFull)
    }

    #[inline(always)]
    fn remove(&mut self, key: &Key) {
        let removed = map::FLOWS.remove(key).is_ok();
        if let Some(live) = live() {
            live.flows_removed += u64::from(removed);
        }
    }
}

#[inline(always)]
fn lock(flow: *mut Flow) -> Result<(), Skip> {
    for _ in 0..TRIES_MAX {
        let mut held: u64 = 0;
        // SAFETY: `lock` is the first field of a live map value; a full barrier on every architecture.
        unsafe {
            asm!("r0 = cmpxchg_64({lock} + 0, r0, {taken})", lock = in(reg) flow, taken = in(reg) 1_u64, inout("r0") held);
        }
        if held == 0 {
            return Ok(());
        }
    }
    Err(Skip::Contended)
}

#[inline(always)]
fn unlock(flow: *mut Flow) {
    // SAFETY: as in `lock`; the assembly is a barrier to the compiler, and a store is a release on x86-64.
    unsafe {
        asm!("*(u64 *)({lock} + 0) = {free}", lock = in(reg) flow, free = in(reg) 0_u64);
    }
}

/// The clock and one lookup of the packet's flow.
#[inline(always)]
pub fn floor<R: Reach>(_reach: &R) {
    let key = Key { protocol: 6, ..Key::default() };
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if let Some(flow) = map::FLOWS.get_ptr_mut(key) {
        // SAFETY: a live map value; the result is thrown away.
        unsafe { (*flow).last_ns = now_ns };
    }
}
