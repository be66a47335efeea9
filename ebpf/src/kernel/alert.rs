//! An alarm of the classifier becomes an alert in the ring buffer, or a reason why not.
//!
//! # What is guaranteed when CPUs meet
//!
//! The flow's time of its last alert changes by compare-and-exchange only: of CPUs that find an alert due at once, one sends it and the others
//! hold theirs back. The time changes only when the alert has its place in the ring buffer. So an alert that finds no room is lost and counted, and
//! the flow's next malicious packet is due to send one. Sent, lost and held add up to the malicious packets. A flow that another CPU opens again
//! between verdict and alert may inherit the time.

use core::arch::asm;

use aya_ebpf::helpers::{bpf_ringbuf_discard, bpf_ringbuf_submit};
use treeline_ebpf::{Alarm, FEATURES, Flow, feature};

use crate::map::{self, differ};

/// What became of an alarm.
#[derive(Clone, Copy)]
pub enum Fate {
    Sent,
    Lost,
    Held,
}

/// Sends the alert if it is due.
#[inline(always)]
pub fn send(alarm: &Alarm<'_>, interval_ns: u64, model: u64, interface: u32) -> Fate {
    let Some(flow) = map::FLOWS.get_ptr_mut(alarm.key) else { return Fate::Lost };
    // SAFETY: a live map value; its key may change at any time, which `differ` expects.
    if differ(unsafe { &*flow }, alarm.key) {
        return Fate::Lost;
    }
    // SAFETY: the field of a live map value; volatile, because another CPU may write it.
    let alerted_ns = unsafe { (&raw const (*flow).alerted_ns).read_volatile() };
    if alerted_ns != 0 && alarm.now_ns.saturating_sub(alerted_ns) < interval_ns {
        return Fate::Held;
    }
    let Some(place) = map::reserve_alert() else { return Fate::Lost };
    let alert = place.as_mut_ptr();
    if !exchange(flow, alerted_ns, alarm.now_ns) {
        // SAFETY: the reserved record, which nobody uses any more.
        unsafe { bpf_ringbuf_discard(alert.cast(), 0) };
        return Fate::Held;
    }
    let values = core::ptr::from_ref(alarm.features).cast::<i64>();
    let forward = alarm.features.value(feature::DIRECTION as u64) != 0;
    // SAFETY: the reserved record has the size of an `Alert`, and every field of it is written. Features are read volatile, so that
    // they are copied from where they are and no second vector is kept on the stack for this.
    unsafe {
        (*alert).key = *alarm.key;
        (*alert).now_ns = alarm.now_ns;
        (*alert).first_ns = (&raw const (*flow).first_ns).read_volatile();
        (*alert).packet = (alarm.features.value(feature::PACKETS as u64) >> feature::FRACTION_BITS).cast_unsigned();
        (*alert).model = model;
        let features = (&raw mut (*alert).features).cast::<i64>();
        for index in 0..FEATURES {
            features.add(index).write(values.add(index).read_volatile());
        }
        (*alert).interface = interface;
        (*alert).class = alarm.class;
        (*alert).forward = u8::from(forward);
        (*alert).originator_low = u8::from(forward == alarm.from_low);
        bpf_ringbuf_submit(alert.cast(), 0);
    }
    Fate::Sent
}

/// Sets the time of the flow's last alert if it still is `old_ns`.
#[inline(always)]
fn exchange(flow: *mut Flow, old_ns: u64, new_ns: u64) -> bool {
    let mut found_ns = old_ns;
    // SAFETY: the field of a live map value.
    unsafe {
        let alerted_ns = &raw mut (*flow).alerted_ns;
        asm!("r0 = cmpxchg_64({place} + 0, r0, {new})", place = in(reg) alerted_ns, new = in(reg) new_ns, inout("r0") found_ns);
    }
    found_ns == old_ns
}
