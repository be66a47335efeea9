//! Raw sockets (`AF_PACKET`): opened, bound to an interface, asked for what the kernel counted.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::interface::{Direction, index};

/// A raw socket that receives nothing until it is [bound](bind).
pub fn open(interface: &str, direction: Direction) -> Result<OwnedFd, String> {
    // SAFETY: no pointers; protocol 0 receives nothing until it is bound.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(format!("{interface}: cannot open a raw socket: {}", io::Error::last_os_error()));
    }
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    if direction == Direction::Ingress {
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
            .map_err(|error| format!("{interface}: ingress alone: {error}"))?;
    }
    Ok(socket)
}

/// Has it receive the packets of an interface from now on, each once.
pub fn bind(socket: &OwnedFd, interface: &str) -> Result<(), String> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET.cast_unsigned().try_into().unwrap_or_default(),
        sll_protocol: u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be(),
        sll_ifindex: index(interface)?.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = u32::try_from(size_of_val(&address)).unwrap_or_default();
    // SAFETY: the address and its length belong together and outlive the call.
    if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
        return Err(format!("{interface}: cannot bind a raw socket: {}", io::Error::last_os_error()));
    }
    Ok(())
}

/// Sets an option, whose kernel type `T` must be.
pub fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = u32::try_from(size_of_val(value)).unwrap_or_default();
    // SAFETY: the value and its length belong together and outlive the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for an option; the kernel overwrites as much of `value` as it has.
fn get<T>(socket: &OwnedFd, level: i32, option: i32, value: &mut T) -> io::Result<()> {
    let mut length = u32::try_from(size_of_val(value)).unwrap_or_default();
    // SAFETY: the kernel writes at most `length` bytes; both callers' types are integers, or a struct of them.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, std::ptr::from_mut(value).cast(), &raw mut length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Packets that came for the socket since it was last asked, and how many of them it had no room for.
pub fn statistics(socket: &OwnedFd) -> io::Result<[u64; 2]> {
    let mut counted = [0_u32; 3];
    get(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut counted)?;
    let [packets, drops, _] = counted.map(u64::from);
    Ok([packets, drops])
}

/// Takes the error that waits, such as that the interface went down; without that, poll would report it for ever.
pub fn take_error(socket: &OwnedFd) {
    let mut error = 0_i32;
    let _ = get(socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error);
}

/// Has the kernel cut frames to their first `bytes` before it copies them.
pub fn cut(socket: &OwnedFd, bytes: u32) -> io::Result<()> {
    /// Returns a constant: so many bytes are kept.
    const RETURN: u16 = 0x06;
    let mut filter = libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: bytes };
    let program = libc::sock_fprog { len: 1, filter: &raw mut filter };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}
