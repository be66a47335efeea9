//! Records that programs send: the host's end of a ring buffer and of a perf event array, read out after each packet.
//!
//! Layouts: `kernel/bpf/ringbuf.c` and `include/uapi/linux/perf_event.h`, v6.18. Not here: waiting. A test run is over before anyone reads.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::mm::ProtFlags;
use rustix::param::page_size;

use super::mapping::Mapping;

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER_BYTES: usize = 8;

fn half(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes(bytes.try_into().expect("four bytes"))
}

/// A ring buffer's reader.
#[derive(Debug)]
pub struct Ring {
    consumer: Mapping,
    producer: Mapping,
    length: usize,
}

impl Ring {
    /// Of a ring buffer with `length` bytes (its `max_entries`).
    pub fn new(map: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let consumer = Mapping::new(map, page_size(), ProtFlags::READ | ProtFlags::WRITE, 0)?;
        // The data lie there twice, so that no record is cut at the end.
        let producer = Mapping::new(map, page_size() + 2 * length, ProtFlags::READ, page_size())?;
        Ok(Self { consumer, producer, length })
    }

    /// Takes the records that are there; those discarded only make room.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut position = usize::try_from(self.consumer.word(0).load(Ordering::Relaxed)).expect("64 bits");
        let end = usize::try_from(self.producer.word(0).load(Ordering::Acquire)).expect("64 bits");
        while position < end {
            let start = page_size() + position % self.length;
            let header = half(self.producer.bytes(start, 4));
            if header & BUSY != 0 {
                break;
            }
            let length = (header & !(BUSY | DISCARDED)) as usize;
            if header & DISCARDED == 0 {
                records.push(self.producer.bytes(start + HEADER_BYTES, length).to_vec());
            }
            position += (length + HEADER_BYTES).next_multiple_of(8);
        }
        self.consumer.word(0).store(position as u64, Ordering::Release);
        records
    }
}

/// A reader of what one CPU sends to a perf event array.
#[derive(Debug)]
pub struct Perf {
    event: OwnedFd,
    buffer: Mapping,
}

/// Pages of a perf buffer: room for a few of the longest packets.
const PERF_PAGES: usize = 64;
const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_BPF_OUTPUT: u64 = 10;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
const PERF_RECORD_SAMPLE: u32 = 9;
/// Offsets in `struct perf_event_mmap_page`.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

impl Perf {
    /// An event of this CPU; the caller puts its descriptor into the array.
    pub fn new(processor: i32) -> io::Result<Self> {
        let mut attributes = [0_u8; 112]; // struct perf_event_attr, version 5
        attributes[..4].copy_from_slice(&PERF_TYPE_SOFTWARE.to_ne_bytes());
        attributes[4..8].copy_from_slice(&112_u32.to_ne_bytes());
        attributes[8..16].copy_from_slice(&PERF_COUNT_SW_BPF_OUTPUT.to_ne_bytes());
        attributes[16..24].copy_from_slice(&1_u64.to_ne_bytes()); // sample_period
        attributes[24..32].copy_from_slice(&PERF_SAMPLE_RAW.to_ne_bytes());
        // SAFETY: attributes of the size they state.
        let event = unsafe {
            libc::syscall(libc::SYS_perf_event_open, attributes.as_mut_ptr(), -1, processor, -1, 8_u64 /* PERF_FLAG_FD_CLOEXEC */)
        };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the kernel has just given to us alone.
        let event = unsafe { OwnedFd::from_raw_fd(i32::try_from(event).map_err(io::Error::other)?) };
        let buffer = Mapping::new(
            // SAFETY: borrowed for this call, which `event` outlives.
            unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) },
            (1 + PERF_PAGES) * page_size(),
            ProtFlags::READ | ProtFlags::WRITE,
            0,
        )?;
        Ok(Self { event, buffer })
    }

    /// The event's descriptor, as the array wants it.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.event.as_raw_fd()
    }

    /// Takes the records that are there, each with the padding that perf adds.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut tail = usize::try_from(self.buffer.word(DATA_TAIL).load(Ordering::Relaxed)).expect("64 bits");
        let head = usize::try_from(self.buffer.word(DATA_HEAD).load(Ordering::Acquire)).expect("64 bits");
        while tail < head {
            let header = self.wrapped(tail, HEADER_BYTES);
            let (kind, size) = (half(&header[..4]), usize::from(u16::from_ne_bytes([header[6], header[7]])));
            if size == 0 {
                break;
            }
            if kind == PERF_RECORD_SAMPLE {
                let length = half(&self.wrapped(tail + HEADER_BYTES, 4)) as usize;
                records.push(self.wrapped(tail + HEADER_BYTES + 4, length));
            }
            tail += size;
        }
        self.buffer.word(DATA_TAIL).store(tail as u64, Ordering::Release);
        records
    }

    /// Bytes from a position of the ring on, over its end.
    fn wrapped(&self, position: usize, length: usize) -> Vec<u8> {
        let room = PERF_PAGES * page_size();
        let start = position % room;
        let first = length.min(room - start);
        let mut bytes = self.buffer.bytes(page_size() + start, first).to_vec();
        bytes.extend_from_slice(self.buffer.bytes(page_size(), length - first));
        bytes
    }
}
