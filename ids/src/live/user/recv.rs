//! Frames by one receive call each, as the paper's user-space IDS took them. A packet's time is the clock's when it was read.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use treeline_ebpf::Link;

use super::frame::{Frame, SNAP_BYTES, Tag, tagged};
use crate::live::eve::now_ns;
use crate::live::interface::Direction;
use crate::live::raw;

/// The kernel's buffer for packets that wait, bytes: as many as the [ring](super::ring) has.
const BUFFER_BYTES: i32 = 8 << 20;
/// Frames taken before something else has its turn.
const FRAMES_MAX: u64 = 64;

/// A raw socket that is read.
#[derive(Debug)]
pub struct Recv {
    socket: OwnedFd,
    bytes: Vec<u8>,
    scratch: Vec<u8>,
}

impl Recv {
    /// On an interface; it receives from now on.
    pub fn open(interface: &str, direction: Direction) -> Result<Self, String> {
        let socket = raw::open(interface, direction)?;
        let failed = |what: &str, error: &io::Error| format!("{interface}: {what}: {error}");
        raw::set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32).map_err(|error| failed("VLAN tags", &error))?;
        // Without CAP_NET_ADMIN it is as much as the system's limit allows.
        raw::set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER_BYTES)
            .or_else(|_| raw::set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &BUFFER_BYTES))
            .map_err(|error| failed("receive buffer", &error))?;
        raw::bind(&socket, interface)?;
        Ok(Self { socket, bytes: vec![0; SNAP_BYTES], scratch: vec![] })
    }

    /// The socket.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Hands over frames that wait, some at most; says how many.
    pub fn read(&mut self, link: Link, mut each: impl FnMut(&Frame<'_>)) -> u64 {
        for count in 0..FRAMES_MAX {
            let Some((kept, auxiliary)) = self.receive() else { return count };
            let bytes = self.bytes.get(..kept).unwrap_or_default();
            let tag = Tag::of(auxiliary.tp_status, auxiliary.tp_vlan_tci, auxiliary.tp_vlan_tpid);
            let frame = Frame { bytes, length: auxiliary.tp_len, now_ns: now_ns() };
            each(&tagged(link, frame, tag, &mut self.scratch));
        }
        FRAMES_MAX
    }

    /// One packet: the bytes that were kept of it, and what the kernel says of it. None if none waits.
    fn receive(&mut self) -> Option<(usize, libc::tpacket_auxdata)> {
        let mut part = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: self.bytes.len() };
        // More than the header of a control message and `tpacket_auxdata`, aligned as the header wants.
        let mut control = [0_u64; 8];
        // SAFETY: integers and pointers, for which zeros are valid.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: the buffers are as long as said and outlive the call.
        let received = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        let kept = usize::try_from(received).ok()?;
        // SAFETY: the message that `recvmsg` has filled; its control buffer is still there.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
        let header = header.filter(|header| (header.cmsg_level, header.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA));
        // SAFETY: a control message of this type holds this struct of integers.
        let auxiliary = header.map(|header| unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() });
        Some((kept, auxiliary?))
    }
}
