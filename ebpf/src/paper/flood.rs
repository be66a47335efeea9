//! The generator: a live-frames test run sends the frame that it is given again and again, each time as the next flow's.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

use crate::map;

/// Where the ports lie behind Ethernet and IPv4.
const PORTS: usize = 34;
/// Source ports in use; then the next destination port.
const SOURCE_PORTS: u64 = 50_000;
const PORT_MIN: u64 = 1_024;

/// Writes the ports of the next flow and sends the frame out of the interface that the loader names.
#[xdp]
pub fn flood_xdp(context: XdpContext) -> u32 {
    let Some(count) = map::SENT.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: a live map value; the loader runs this on one CPU at a time.
    let number = unsafe {
        *count += 1;
        *count
    };
    let flow = number % u64::from(map::flows()).max(1);
    let ports = context.data() + PORTS;
    if ports + 4 > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    let words = [PORT_MIN + flow % SOURCE_PORTS, PORT_MIN + flow / SOURCE_PORTS];
    for (place, word) in [ports, ports + 2].into_iter().zip(words) {
        // SAFETY: inside the frame, as just compared, and at an even address.
        unsafe { (place as *mut u16).write((word as u16).to_be()) };
    }
    // SAFETY: a helper without pointers.
    unsafe { bpf_redirect(map::interface(), 0) as u32 }
}
