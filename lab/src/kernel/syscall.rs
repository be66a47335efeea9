//! `bpf(2)`, command by command. All `unsafe` of loading is here.

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// An attribute of zeroes, as every command starts with.
#[must_use]
pub fn attribute() -> bpf_attr {
    // SAFETY: a union of plain data; all zeroes is the kernel's own default.
    unsafe { std::mem::zeroed() }
}

/// The system call; a file descriptor or another number that is not negative.
///
/// # Safety
/// The addresses in `attr` must hold what the command reads and writes there.
pub unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    loop {
        // SAFETY: `attr` is a whole attribute; its addresses are the caller's affair.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command as i32, std::ptr::from_mut(attr), size_of::<bpf_attr>()) };
        match i32::try_from(result) {
            Ok(result) if result >= 0 => return Ok(result),
            _ => {
                let error = io::Error::last_os_error();
                // The verifier answers EAGAIN when a signal comes in between.
                if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
                    return Err(error);
                }
            }
        }
    }
}

/// A command that answers a file descriptor.
///
/// # Safety
/// As [`bpf`].
pub unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the command made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A name as the kernel takes it: 15 letters, digits, dots and underscores.
#[must_use]
pub fn name(name: &str) -> [std::ffi::c_char; 16] {
    let mut bytes = [0; 16];
    for (place, letter) in bytes.iter_mut().take(15).zip(name.bytes()) {
        let letter = if letter.is_ascii_alphanumeric() || letter == b'.' { letter } else { b'_' };
        *place = std::ffi::c_char::from_ne_bytes([letter]);
    }
    bytes
}

/// Puts a value under a key; `key` is empty for maps without keys. Lengths are the map's, which the caller knows.
pub fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let mut attr = attribute();
    // SAFETY: the union's part of this command.
    let part = unsafe { &mut attr.__bindgen_anon_2 };
    part.map_fd = map.as_raw_fd().cast_unsigned();
    part.key = if key.is_empty() { 0 } else { key.as_ptr() as u64 };
    part.__bindgen_anon_1.value = value.as_ptr() as u64;
    part.flags = flags;
    // SAFETY: key and value live, and are as long as the map's.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(|_| ())
}

/// Forbids later writes by system call, which lets the verifier know the values.
pub fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attribute();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    // SAFETY: no addresses.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(|_| ())
}

/// What is pinned at a path.
pub fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attribute();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    // SAFETY: the path lives and ends with a zero.
    unsafe { bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }
}

/// Takes a link's program out of its place, whoever else holds the link (Linux 5.9).
pub fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attribute();
    attr.link_detach.link_fd = link.as_raw_fd().cast_unsigned();
    // SAFETY: no addresses.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr) }.map(|_| ())
}

/// Makes a program the filter of a socket, in the place of one before it.
pub fn attach_filter(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let fd = program.as_raw_fd();
    let length = libc::socklen_t::try_from(size_of_val(&fd)).expect("four bytes");
    // SAFETY: the option's value is a descriptor that lives, of the length said.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_BPF, (&raw const fd).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel says of a loaded program.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: plain data.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    // SAFETY: `info` lives and is as long as said.
    unsafe { information(program, (&raw mut info) as u64, size_of::<bpf_prog_info>()) }?;
    Ok(info)
}

/// # Safety
/// `length` bytes at `address` are the caller's to be written.
unsafe fn information(object: BorrowedFd<'_>, address: u64, length: usize) -> io::Result<()> {
    let mut attr = attribute();
    attr.info.bpf_fd = object.as_raw_fd().cast_unsigned();
    attr.info.info_len = u32::try_from(length).expect("a small structure");
    attr.info.info = address;
    // SAFETY: the caller's.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }.map(|_| ())
}
