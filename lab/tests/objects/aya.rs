//! A program with aya's own maps, which lie in a section `maps`. Built with aya-ebpf 0.2.1 and bpf-linker 0.13 as `ebpf/build` builds: aya.bpf.o with
//! `--btf`, aya-plain.bpf.o without; `llvm-strip --strip-debug`.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya_ebpf::programs::XdpContext;

#[map]
static PORTS: HashMap<u32, [u8; 4]> = HashMap::with_max_entries(1024, 0);
#[map]
static PACKETS: PerCpuArray<u64> = PerCpuArray::with_max_entries(256, 0);
#[map]
static BYTES: Array<u64> = Array::with_max_entries(256, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

#[unsafe(no_mangle)]
static MALICIOUS: u32 = 0;

#[xdp]
pub fn aya_xdp(context: XdpContext) -> u32 {
    judge(&context).unwrap_or(XDP_PASS)
}

fn at<T: Copy>(context: &XdpContext, offset: usize) -> Option<T> {
    let start = context.data() + offset;
    if start + size_of::<T>() > context.data_end() {
        return None;
    }
    // SAFETY: within the packet, by the test above.
    Some(unsafe { (start as *const T).read_unaligned() })
}

fn judge(context: &XdpContext) -> Option<u32> {
    if at::<[u8; 2]>(context, 12)? != [8, 0] {
        return None;
    }
    let (protocol, source) = (at::<u8>(context, 23)?, at::<u32>(context, 26)?);
    if let Some(count) = PACKETS.get_ptr_mut(u32::from(protocol)) {
        // SAFETY: a value of this CPU.
        unsafe { *count += 1 };
    }
    if let Some(bytes) = BYTES.get_ptr_mut(u32::from(protocol)) {
        // SAFETY: a value of a live map.
        unsafe { *bytes += (context.data_end() - context.data()) as u64 };
    }
    let ports = at::<[u8; 4]>(context, 34)?;
    let known = PORTS.get_ptr(&source).is_some();
    PORTS.insert(&source, &ports, 0).ok()?;
    if !known {
        EVENTS.output::<u32>(&source, 0).ok()?;
    }
    // SAFETY: a constant that a loader may set.
    let limit = unsafe { core::ptr::read_volatile(&raw const MALICIOUS) };
    Some(if u32::from(protocol) < limit { XDP_DROP } else { XDP_PASS })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
