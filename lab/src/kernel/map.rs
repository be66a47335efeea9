//! A map in the kernel by its descriptor: its entries, read and written from the host.
//!
//! Of a per-CPU map a value is that of one CPU here, the one that the programs run on. Not here: creating maps.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::syscall::{attribute, bpf};

/// Entries read at once, at first.
const BATCH: usize = 4096;

/// A map's descriptor and sizes.
#[derive(Debug)]
pub struct Entries {
    descriptor: OwnedFd,
    key_size: usize,
    value_size: usize,
    /// Which CPU's value, and of how many; `None`: one value for all.
    processor: Option<(usize, usize)>,
    room: Vec<u8>,
}

impl Entries {
    /// A map of these sizes; `processor` (which one, of how many possible ones) for per-CPU kinds.
    #[must_use]
    pub fn new(descriptor: OwnedFd, key_size: usize, value_size: usize, processor: Option<(usize, usize)>) -> Self {
        let room = match processor {
            Some((_, count)) => value_size.next_multiple_of(8) * count,
            None => value_size,
        };
        Self { descriptor, key_size, value_size, processor, room: vec![0; room] }
    }

    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    fn call(&mut self, command: bpf_cmd, key: *const u8, value: *const u8, flags: u64) -> io::Result<()> {
        let mut attributes: bpf_attr = attribute();
        // SAFETY: plain numbers in a union that these fields are a part of.
        let element = unsafe { &mut attributes.__bindgen_anon_2 };
        element.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
        element.key = key.expose_provenance() as u64;
        element.__bindgen_anon_1.value = value.expose_provenance() as u64;
        element.flags = flags;
        // SAFETY: key and value are null or of the map's sizes, and live.
        unsafe { bpf(command, &mut attributes) }.map(|_| ())
    }

    fn own(&self) -> &[u8] {
        let start = self.processor.map_or(0, |(which, _)| which * self.value_size.next_multiple_of(8));
        &self.room[start..start + self.value_size]
    }

    /// The value under a key; of a queue or stack (no key) the next element, which stays. `None`: there is none.
    pub fn value(&mut self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        assert_eq!(key.len(), self.key_size, "the key's length");
        let room = self.room.as_mut_ptr();
        let key = if key.is_empty() { std::ptr::null() } else { key.as_ptr() };
        match self.call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, key, room, 0) {
            Ok(()) => Ok(Some(self.own().to_vec())),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A per-CPU map's values under a key, a CPU each; of another map its one value.
    pub fn values(&mut self, key: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
        let found = self.value(key)?;
        let stride = self.processor.map_or(self.value_size, |_| self.value_size.next_multiple_of(8));
        Ok(found.map(|_| self.room.chunks_exact(stride.max(1)).map(|value| value[..self.value_size].to_vec()).collect()))
    }

    /// Takes the next element out of a queue or stack.
    pub fn pop(&mut self) -> io::Result<Option<Vec<u8>>> {
        let room = self.room.as_mut_ptr();
        match self.call(bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, std::ptr::null(), room, 0) {
            Ok(()) => Ok(Some(self.own().to_vec())),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a value under a key; in a per-CPU map for every CPU.
    pub fn put(&mut self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        assert_eq!((key.len(), value.len()), (self.key_size, self.value_size), "the lengths of key and value");
        let each = self.value_size.next_multiple_of(8);
        let copies = self.processor.map_or(1, |(_, count)| count);
        for copy in 0..copies {
            self.room[copy * each..copy * each + value.len()].copy_from_slice(value);
        }
        let key = if key.is_empty() { std::ptr::null() } else { key.as_ptr() };
        self.call(bpf_cmd::BPF_MAP_UPDATE_ELEM, key, self.room.as_ptr(), flags)
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> io::Result<bool> {
        assert_eq!(key.len(), self.key_size, "the key's length");
        match self.call(bpf_cmd::BPF_MAP_DELETE_ELEM, key.as_ptr(), std::ptr::null(), 0) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The key after `key`, in the kernel's order; the first one for `None`.
    fn next_key(&mut self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        let key = key.map_or(std::ptr::null(), <[u8]>::as_ptr);
        match self.call(bpf_cmd::BPF_MAP_GET_NEXT_KEY, key, next.as_mut_ptr(), 0) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All keys. Nothing else may change the map meanwhile.
    pub fn keys(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut next = vec![0; self.key_size];
        while self.next_key(keys.last().map(Vec::as_slice), &mut next)? {
            keys.push(next.clone());
        }
        Ok(keys)
    }

    /// Calls `each` for all entries, many a system call, while programs may go on writing them: a value may be of two moments, and an entry that
    /// comes or goes meanwhile may be missed. Answers false, having called nothing, where the kernel has no such calls for the map (5.6 and later
    /// have them for most).
    pub fn visit(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<bool> {
        let width = self.room.len();
        // A bucket of a hash must fit; it grows where one does not.
        let mut count_max = BATCH;
        let (mut keys, mut values) = (vec![0; self.key_size * count_max], vec![0; width * count_max]);
        // Where the next call goes on: a key, or a number that the kernel makes of it.
        let mut place = vec![0_u8; self.key_size.max(size_of::<u64>())];
        let mut is_first = true;
        loop {
            let mut attributes: bpf_attr = attribute();
            // SAFETY: plain numbers in a union that these fields are a part of.
            let batch = unsafe { &mut attributes.batch };
            batch.map_fd = self.descriptor.as_raw_fd().cast_unsigned();
            let here = place.as_mut_ptr().expose_provenance() as u64;
            (batch.in_batch, batch.out_batch) = (if is_first { 0 } else { here }, here);
            batch.keys = keys.as_mut_ptr().expose_provenance() as u64;
            batch.values = values.as_mut_ptr().expose_provenance() as u64;
            batch.count = u32::try_from(count_max).unwrap_or(u32::MAX);
            // SAFETY: the buffers live and hold so many keys and values; the place holds a key.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attributes) };
            let is_last = match result.as_ref().err().map(io::Error::raw_os_error) {
                None => false,
                Some(Some(libc::ENOENT)) => true,
                Some(Some(libc::ENOSPC)) => {
                    count_max *= 2;
                    keys.resize(self.key_size * count_max, 0);
                    values.resize(width * count_max, 0);
                    continue;
                }
                Some(_) if is_first => return Ok(false),
                Some(_) => return result.map(|_| false),
            };
            // SAFETY: the kernel filled the field.
            let count = unsafe { attributes.batch.count } as usize;
            for (key, value) in keys.chunks_exact(self.key_size.max(1)).zip(values.chunks_exact(width.max(1))).take(count) {
                self.room.copy_from_slice(value);
                each(key, self.own());
            }
            if is_last {
                return Ok(true);
            }
            is_first = false;
        }
    }

    /// All entries, sorted by key.
    pub fn all(&mut self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut entries = Vec::new();
        if !self.visit(|key, value| entries.push((key.to_vec(), value.to_vec())))? {
            for key in self.keys()? {
                if let Some(value) = self.value(&key)? {
                    entries.push((key, value));
                }
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }
}
