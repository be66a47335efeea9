//! Memory that the host shares with the kernel: a ring buffer's pages, an array's values.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A shared mapping, unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// `length` bytes of what the descriptor is of, from byte `offset` on.
    pub(super) fn new(descriptor: BorrowedFd<'_>, length: usize, protection: ProtFlags, offset: usize) -> io::Result<Self> {
        // SAFETY: a fresh shared mapping at a place of the kernel's choice.
        let address = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, descriptor, offset as u64) }?;
        let start = NonNull::new(address.cast()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        Ok(Self { start, length })
    }

    /// `length` bytes from `start` on.
    pub(super) fn bytes(&self, start: usize, length: usize) -> &[u8] {
        assert!(start.checked_add(length).is_some_and(|end| end <= self.length), "{start} + {length} of {}", self.length);
        // SAFETY: within the mapping, which lives as long as `self`; no program runs while the host reads.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(start), length) }
    }

    /// The eight bytes at `offset`, which the kernel reads or writes as one.
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.length);
        // SAFETY: aligned, within the mapping, and shared with the kernel, which accesses it as one word.
        unsafe { self.start.add(offset).cast().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}
