//! Frames from a memory-mapped ring of blocks (`TPACKET_V3`): no call and no copy out of the kernel a packet.
//!
//! The kernel fills a block and hands it over when it is full, or [`RETIRE_MS`] after its first packet; it is given back when all its frames are
//! classified. A packet's time is the kernel's when it came, on the wall clock, and brought to the monotonic one when its block is read:
//! while the wall clock is set, packets of one block may be off by the step.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use treeline_ebpf::Link;

use super::frame::{Frame, SNAP_BYTES, Tag, tagged};
use crate::live::eve::now_ns;
use crate::live::interface::Direction;
use crate::live::raw;

/// Bytes of a block: a power of two, and many frames.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks in the ring.
const BLOCKS: usize = 32;
/// A block that is not full is handed over after this long, milliseconds.
pub const RETIRE_MS: u32 = 10;
/// What the kernel reckons a frame takes; in this version frames have any length.
const FRAME_BYTES: usize = 2048;
/// Where a block's header begins, behind its version and the offset of its private part.
const HEADER: usize = std::mem::offset_of!(libc::tpacket_block_desc, hdr);

/// A raw socket with its ring.
#[derive(Debug)]
pub struct Ring {
    socket: OwnedFd,
    memory: NonNull<u8>,
    /// The block that is next.
    next: usize,
    scratch: Vec<u8>,
}

// SAFETY: the memory belongs to this value alone, like a `Box`.
unsafe impl Send for Ring {}

impl Ring {
    /// On an interface; it receives from now on.
    pub fn open(interface: &str, direction: Direction) -> Result<Self, String> {
        let socket = raw::open(interface, direction)?;
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let request = libc::tpacket_req3 {
            tp_block_size: number(BLOCK_BYTES),
            tp_block_nr: number(BLOCKS),
            tp_frame_size: number(FRAME_BYTES),
            tp_frame_nr: number(BLOCK_BYTES / FRAME_BYTES * BLOCKS),
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        let version = libc::tpacket_versions::TPACKET_V3 as i32;
        raw::set(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .and_then(|()| raw::cut(&socket, number(SNAP_BYTES)))
            .and_then(|()| raw::set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request))
            .map_err(|error| format!("{interface}: no receive ring of {} MiB: {error}", (BLOCK_BYTES * BLOCKS) >> 20))?;
        let memory = map(&socket).map_err(|error| format!("{interface}: the receive ring cannot be mapped: {error}"))?;
        let ring = Self { socket, memory, next: 0, scratch: vec![] };
        raw::bind(&ring.socket, interface)?;
        Ok(ring)
    }

    /// The socket.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Hands over the frames of the next block, if the kernel has handed it over; says how many.
    pub fn read(&mut self, link: Link, mut each: impl FnMut(&Frame<'_>)) -> u64 {
        // SAFETY: within the mapping, as `next` is less than `BLOCKS`.
        let start = unsafe { self.memory.add(self.next * BLOCK_BYTES) };
        let status_offset = HEADER + std::mem::offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: aligned, in the mapping, which lives as long as `self`; the kernel writes it while this reads, hence atomic.
        let status = unsafe { AtomicU32::from_ptr(start.as_ptr().add(status_offset).cast()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return 0;
        }
        // SAFETY: a block that is the user's is written by nobody until it is given back below, and the slice is gone by then.
        let block = unsafe { std::slice::from_raw_parts(start.as_ptr(), BLOCK_BYTES) };
        let count = frames(link, block, &mut self.scratch, &mut each);
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
        count
    }
}

/// Hands over the frames of a block; says how many.
fn frames(link: Link, block: &[u8], scratch: &mut Vec<u8>, each: &mut impl FnMut(&Frame<'_>)) -> u64 {
    let Some(header) = get::<libc::tpacket_hdr_v1>(block, HEADER) else { return 0 };
    let clock = Clock::read();
    let mut offset = header.offset_to_first_pkt as usize;
    for count in 0..header.num_pkts {
        let Some(packet) = get::<libc::tpacket3_hdr>(block, offset) else { return count.into() };
        let start = offset + usize::from(packet.tp_mac);
        let bytes = block.get(start..start.saturating_add(packet.tp_snaplen as usize)).unwrap_or_default();
        let tag =
            u16::try_from(packet.hv1.tp_vlan_tci).ok().and_then(|control| Tag::of(packet.tp_status, control, packet.hv1.tp_vlan_tpid));
        let frame = Frame { bytes, length: packet.tp_len, now_ns: clock.monotonic_ns(packet.tp_sec, packet.tp_nsec) };
        each(&tagged(link, frame, tag, scratch));
        offset += packet.tp_next_offset as usize;
    }
    header.num_pkts.into()
}

/// A struct of the kernel's at an offset of a block.
fn get<T: Plain>(block: &[u8], offset: usize) -> Option<T> {
    let bytes = block.get(offset..offset.checked_add(size_of::<T>())?)?;
    // SAFETY: as many bytes as the type has, any of which are one.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Any bytes are one.
///
/// # Safety
/// Integers alone.
unsafe trait Plain {}
// SAFETY: integers.
unsafe impl Plain for libc::tpacket_hdr_v1 {}
// SAFETY: integers.
unsafe impl Plain for libc::tpacket3_hdr {}

/// Both clocks at one moment.
struct Clock {
    monotonic_ns: u64,
    wall_ns: u64,
}

impl Clock {
    fn read() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        Self { wall_ns: part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec), monotonic_ns: now_ns() }
    }

    /// A time of the wall clock on the monotonic one. Nothing is later than now.
    fn monotonic_ns(&self, seconds: u32, nanoseconds: u32) -> u64 {
        let age_ns = self.wall_ns.saturating_sub(u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds));
        self.monotonic_ns.saturating_sub(age_ns)
    }
}

fn map(socket: &OwnedFd) -> io::Result<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of the size that was asked for, at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), BLOCK_BYTES * BLOCKS, access, libc::MAP_SHARED, socket.as_raw_fd(), 0) };
    match NonNull::new(memory.cast()) {
        Some(start) if memory != libc::MAP_FAILED => Ok(start),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this size; nothing points there any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), BLOCK_BYTES * BLOCKS) };
    }
}
