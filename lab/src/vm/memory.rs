//! Memory the program may point into: mapped once, never moved, cut into pieces with red zones between them.
//!
//! `xdp_md.data` is 32 bits wide, so the packet and the context live below 4 GiB; map values live anywhere.

use super::VmError;

/// Bytes between two pieces that belong to nobody. Wider than any access, so that an access whose first and last byte are
/// both allowed lies in one piece.
const RED_ZONE: usize = 16;

/// One anonymous mapping, handed out piece by piece from its start.
#[derive(Debug)]
pub(super) struct Arena {
    base: *mut u8,
    length: usize,
    used: usize,
}

impl Arena {
    /// Bytes that a piece of `length` bytes takes from an arena.
    pub(super) fn room(length: usize) -> usize {
        length.next_multiple_of(RED_ZONE) + RED_ZONE
    }

    /// A mapping of at least `length` bytes anywhere.
    pub(super) fn anywhere(length: usize) -> Result<Self, VmError> {
        // SAFETY: an anonymous private mapping without a fixed address touches no other memory.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), length.max(1), PROTECTION, FLAGS, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(failure(length, "anywhere"));
        }
        Ok(Self { base: base.cast(), length: length.max(1), used: 0 })
    }

    /// A mapping of at least `length` bytes that ends below 4 GiB.
    pub(super) fn low(length: usize) -> Result<Self, VmError> {
        let length = length.max(1);
        let base = map_low(length).ok_or_else(|| failure(length, "below 4 GiB"))?;
        Ok(Self { base, length, used: 0 })
    }

    /// The next piece, aligned to 16 bytes. Asking for more than the arena was made for is a bug.
    pub(super) fn piece(&mut self, length: usize) -> Piece {
        let start = self.used;
        self.used += Self::room(length);
        assert!(self.used <= self.length, "arena of {} bytes, {} asked for", self.length, self.used);
        // SAFETY: `start + length` lies inside the mapping, by the assertion.
        let address = unsafe { self.base.add(start) };
        Piece { address, length }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: `base` and `length` are what mmap returned and was asked for; pieces do not outlive the VM that owns the arena.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}

/// A range of bytes inside an [`Arena`]; its address never changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    address: *mut u8,
    length: usize,
}

impl Piece {
    /// The address as the program sees it.
    pub(super) fn address(&self) -> u64 {
        self.address.expose_provenance() as u64
    }

    /// Bytes in this piece.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The addresses of this piece.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        self.address()..self.address() + self.length as u64
    }

    /// Whether `length` bytes from `address` all lie in this piece.
    pub(super) fn holds(&self, address: u64, length: usize) -> bool {
        let offset = address.wrapping_sub(self.address());
        offset <= self.length as u64 && length as u64 <= self.length as u64 - offset
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the piece lies in a live mapping (the VM owns both) and nobody writes it while the host reads: a run borrows
        // the whole VM.
        unsafe { std::slice::from_raw_parts(self.address, self.length) }
    }

    /// The bytes, to write.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; two pieces never overlap, and the VM hands out one `&mut` at a time.
        unsafe { std::slice::from_raw_parts_mut(self.address, self.length) }
    }

    /// The `length` bytes from `start` on as a piece of their own.
    pub(super) fn part(&self, start: usize, length: usize) -> Self {
        let is_inside = start <= self.length && length <= self.length - start;
        assert!(is_inside, "{length} bytes from {start} in a piece of {}", self.length);
        // SAFETY: `start` lies inside the piece, by the assertion.
        Self { address: unsafe { self.address.add(start) }, length }
    }

    /// Where in this piece another one starts that is a part of it.
    pub(super) fn offset_of(&self, part: &Self) -> usize {
        part.address.addr() - self.address.addr()
    }
}

const PROTECTION: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn failure(length: usize, place: &'static str) -> VmError {
    VmError::Memory { length, place, text: std::io::Error::last_os_error().to_string() }
}

/// The flag that asks for low memory by itself, where there is one.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const LOW: libc::c_int = libc::MAP_32BIT;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
const LOW: libc::c_int = 0;

/// First without a hint (x86-64 has a flag for it), then at low hints, 16 MiB apart; a mapping that came out high is given back.
fn map_low(length: usize) -> Option<*mut u8> {
    let hints = std::iter::once(0).chain((1..255).map(|step| step << 24));
    for hint in hints {
        // SAFETY: without MAP_FIXED the hint never replaces a mapping.
        let base = unsafe { libc::mmap(std::ptr::without_provenance_mut(hint), length, PROTECTION, FLAGS | LOW, -1, 0) };
        if base == libc::MAP_FAILED {
            continue;
        }
        if u32::try_from(base.addr() + length).is_ok() {
            return Some(base.cast());
        }
        // SAFETY: the mapping was made above and nothing points into it.
        unsafe { libc::munmap(base, length) };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_memory_ends_below_4_gib() {
        let mut arena = Arena::low(1 << 16).expect("low memory");
        let piece = arena.piece(4096);
        assert!(u32::try_from(piece.range().end).is_ok());
    }

    #[test]
    fn pieces_hold_their_bytes_and_not_one_more() {
        let mut arena = Arena::anywhere(Arena::room(20) * 2).expect("memory");
        let (first, second) = (arena.piece(20), arena.piece(20));
        let start = first.address();
        assert!(first.holds(start, 20) && first.holds(start + 20, 0) && first.holds(start + 19, 1));
        assert!(!first.holds(start, 21) && !first.holds(start + 19, 2) && !first.holds(start - 1, 1) && !first.holds(0, 1));
        assert!(second.address() >= start + 20 + 8);
    }
}
