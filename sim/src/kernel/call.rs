//! `bpf(2)`.

use aya_obj::generated::{bpf_attr, bpf_cmd};
use std::io;

/// The system call; the result is a descriptor, or 0.
pub(crate) fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: a `bpf_attr` is all fields of all commands; what its pointers lead to is its filler's care, and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Attributes with all fields zero.
pub(crate) fn attributes() -> bpf_attr {
    // SAFETY: a union of plain numbers, of which all bytes may be zero.
    unsafe { std::mem::zeroed() }
}
