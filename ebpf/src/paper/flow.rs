//! Packet -> features: the state in a hash map, read and written unlocked, and the shared vector.

use treeline_ebpf::feature::FRACTION_BITS;

use crate::map::{self, Flow, Key};
use crate::packet::Packet;

/// Adds the packet to its flow and writes the features. None if the table is full. `HELPERS`: the state is copied, and copy and features
/// go back by the helper that updates a map; else both are written in place, which is the cheapest that the description allows.
#[inline(always)]
pub fn observe<const HELPERS: bool>(packet: &Packet, now_ns: u64) -> Option<()> {
    let Packet { source, destination, source_port, destination_port, protocol, .. } = *packet;
    let from_low = (source, source_port) <= (destination, destination_port);
    let key = if from_low {
        Key { low: source, high: destination, low_port: source_port, high_port: destination_port, protocol: protocol.into() }
    } else {
        Key { low: destination, high: source, low_port: destination_port, high_port: source_port, protocol: protocol.into() }
    };
    let place = match map::STATES.get_ptr_mut(key) {
        Some(place) => place,
        None => {
            let flow = Flow { originator_low: from_low.into(), last_ns: now_ns, packets: 0, sums: [0; 3], deviation_sums: [0; 3] };
            map::STATES.insert(key, flow, 0).ok()?;
            map::STATES.get_ptr_mut(key)?
        }
    };
    // SAFETY: a live map value. That another CPU may write it meanwhile is the layout's.
    let place = unsafe { &mut *place };
    if HELPERS {
        let mut flow = *place;
        add::<HELPERS>(&mut flow, packet, from_low, now_ns)?;
        map::STATES.insert(key, flow, 0).ok()
    } else {
        add::<HELPERS>(place, packet, from_low, now_ns)
    }
}

#[inline(always)]
fn add<const HELPERS: bool>(flow: &mut Flow, packet: &Packet, from_low: bool, now_ns: u64) -> Option<()> {
    let Packet { source_port, destination_port, protocol, length, .. } = *packet;
    let forward = from_low == (flow.originator_low != 0);
    let values = [length.into(), now_ns.saturating_sub(flow.last_ns), u64::from(forward)];
    flow.last_ns = now_ns;
    flow.packets += 1;
    let (originator, responder) = if forward { (source_port, destination_port) } else { (destination_port, source_port) };
    write::<HELPERS>(0, originator.into())?;
    write::<HELPERS>(1, responder.into())?;
    write::<HELPERS>(2, protocol.into())?;
    for (place, value) in (0..).zip(values) {
        write::<HELPERS>(3 + place, value)?;
    }
    let packets = flow.packets.max(1);
    for ((place, value), (sum, deviations)) in (0..).zip(values).zip(flow.sums.iter_mut().zip(&mut flow.deviation_sums)) {
        *sum += value;
        let mean = (*sum << FRACTION_BITS) / packets;
        *deviations += (value << FRACTION_BITS).abs_diff(mean);
        write_fixed::<HELPERS>(6 + place, mean)?;
        write_fixed::<HELPERS>(9 + place, *deviations / packets)?;
    }
    if map::is_numbered() {
        write::<HELPERS>(12, packets)?;
    }
    Some(())
}

/// Writes a whole number as a feature.
#[inline(always)]
fn write<const HELPERS: bool>(feature: u32, value: u64) -> Option<()> {
    write_fixed::<HELPERS>(feature, value << FRACTION_BITS)
}

/// Writes a fixed-point number as a feature.
#[inline(always)]
fn write_fixed<const HELPERS: bool>(feature: u32, value: u64) -> Option<()> {
    let value = value.cast_signed();
    if HELPERS {
        return map::FEATURES.set(feature, value, 0).ok();
    }
    let slot = map::FEATURES.get_ptr_mut(feature)?;
    // SAFETY: a live map value.
    unsafe { slot.write_volatile(value) };
    Some(())
}
