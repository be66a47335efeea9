//! Drops IPv4 UDP datagrams to a port, and counts them by source address.
#![no_std]
#![no_main]

use core::ptr::read_volatile;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::XdpContext;

#[unsafe(no_mangle)]
static PORT: u16 = 53;

#[map]
static DROPPED: HashMap<[u8; 4], u64> = HashMap::with_max_entries(1024, 0);

/// Bytes up to the end of the UDP header, where the IPv4 header has no options.
const HEADERS: usize = 14 + 20 + 8;

#[xdp]
pub fn filter(context: XdpContext) -> u32 {
    let (start, end) = (context.data(), context.data_end());
    if start + HEADERS > end {
        return XDP_PASS;
    }
    // SAFETY: checked to lie before the packet's end.
    let headers = unsafe { &*(start as *const [u8; HEADERS]) };
    if headers[12..14] != [8, 0] || headers[14] != 0x45 || headers[23] != 17 {
        return XDP_PASS;
    }
    // SAFETY: a constant that the loader may have set, which the compiler must not know.
    let port = unsafe { read_volatile(&PORT) };
    if headers[36..38] != port.to_be_bytes() {
        return XDP_PASS;
    }
    let sender = [headers[26], headers[27], headers[28], headers[29]];
    match DROPPED.get_ptr_mut(&sender) {
        // SAFETY: an element that the map keeps until the program ends.
        Some(count) => unsafe { *count += 1 },
        None => drop(DROPPED.insert(&sender, &1, 0)),
    }
    XDP_DROP
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
