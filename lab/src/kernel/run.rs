//! One run of a loaded program over bytes: `BPF_PROG_TEST_RUN`.
//!
//! What the kernel takes (`net/bpf/test_run.c`, v6.18; older kernels take a little more): see [`takes`]. A socket filter's test run starts at the
//! network header, so the frame goes behind an Ethernet header that repeats its own: the filter then sees the frame from its first byte, with
//! the protocol that a raw socket would give it, and its return value comes back whole. Not here: what the results mean ([`crate::lab`]).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use aya_obj::generated::bpf_cmd;

use super::syscall::{attribute, bpf};
use crate::bpf::Hook;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`
const LIVE_FRAMES: u32 = 1 << 1;
/// Bytes of an Ethernet header, without which nothing is taken.
const ETHERNET_BYTES: usize = 14;
/// A page less `XDP_PACKET_HEADROOM` and `struct skb_shared_info`: what a program without fragments is given.
const XDP_BYTES_MAX: usize = 4096 - 256 - 320;
/// A page less `NET_SKB_PAD` and `struct skb_shared_info`.
const SKB_BYTES_MAX: usize = 4096 - 64 - 320;
/// No helper makes a packet longer than this.
const OUTPUT_BYTES_MAX: usize = 1 << 17;

/// `sizeof(struct xdp_md)`.
const XDP_CONTEXT_BYTES: usize = 24;
/// `sizeof(struct __sk_buff)`.
const SKB_CONTEXT_BYTES: usize = 192;

/// What a run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran<'a> {
    /// The program's return value.
    pub returned: u32,
    /// The packet; of XDP, metadata before it included.
    pub data: &'a [u8],
    /// The context, unless the kernel (XDP before 5.18) cannot show it.
    pub context: Option<&'a [u8]>,
}

/// Runs programs of one hook; holds the buffers.
#[derive(Debug)]
pub struct Runner {
    hook: Hook,
    /// Bytes of the header that goes before a frame.
    before: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    context: Vec<u8>,
    shows_context: bool,
}

/// Why a test run takes no such frame, on any kernel; a short text.
#[must_use]
pub fn takes(hook: Hook, frame: &[u8]) -> Option<&'static str> {
    let kind = frame.get(12..14).map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
    let network = match kind {
        0x0800 => 20,
        0x86dd => 40,
        _ => 0,
    };
    match hook {
        _ if frame.len() < ETHERNET_BYTES => Some("shorter than an Ethernet header"),
        Hook::Xdp if frame.len() > XDP_BYTES_MAX => Some("longer than 3,520 bytes"),
        Hook::Tc if frame.len() < ETHERNET_BYTES + network => Some("shorter than its IP header"),
        Hook::Tc if frame.len() > SKB_BYTES_MAX => Some("longer than 3,712 bytes"),
        Hook::Socket if frame.len() < network => Some("shorter than its IP header"),
        Hook::Socket if frame.len() + ETHERNET_BYTES > SKB_BYTES_MAX => Some("longer than 3,698 bytes"),
        _ => None,
    }
}

/// Runs a program `repeat` times over the same bytes, with neither context nor output: what it returned at last, and the mean time of a run.
/// Fails with the kernel's error, EINVAL for bytes that it does not take.
pub fn repeated(program: BorrowedFd<'_>, bytes: &[u8], repeat: u32) -> io::Result<(u32, Duration)> {
    let mut attributes = attribute();
    // SAFETY: plain numbers in a union that `test` is a part of.
    let test = unsafe { &mut attributes.test };
    test.prog_fd = program.as_raw_fd().cast_unsigned();
    test.repeat = repeat;
    test.data_in = bytes.as_ptr().expose_provenance() as u64;
    test.data_size_in = u32::try_from(bytes.len()).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
    // SAFETY: the bytes live, as many as said.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes) }?;
    // SAFETY: the kernel filled the fields of this command.
    let test = unsafe { attributes.test };
    Ok((test.retval, Duration::from_nanos(test.duration.into())))
}

/// Has an XDP program's verdicts carried out on `count` frames as if they came from a device, `batch` at a time: those that it redirects are
/// sent (Linux 5.18).
pub fn live(program: BorrowedFd<'_>, frame: &[u8], count: u32, batch: u32) -> io::Result<()> {
    let mut attributes = attribute();
    // SAFETY: plain numbers in a union that `test` is a part of.
    let test = unsafe { &mut attributes.test };
    (test.prog_fd, test.repeat, test.batch_size, test.flags) = (program.as_raw_fd().cast_unsigned(), count, batch, LIVE_FRAMES);
    test.data_in = frame.as_ptr().expose_provenance() as u64;
    test.data_size_in = u32::try_from(frame.len()).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
    // SAFETY: the frame lives, as many bytes as said.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes) }.map(drop)
}

impl Runner {
    /// For programs of this hook.
    #[must_use]
    pub fn new(hook: Hook) -> Self {
        let context = vec![0; if hook == Hook::Xdp { XDP_CONTEXT_BYTES } else { SKB_CONTEXT_BYTES }];
        let before = if hook == Hook::Socket { ETHERNET_BYTES } else { 0 };
        Self { hook, before, input: Vec::new(), output: vec![0; OUTPUT_BYTES_MAX], context, shows_context: true }
    }

    /// The same over the bytes as they are, without a context: what a program sees of a socket's begins behind their Ethernet header.
    #[must_use]
    pub fn bare(hook: Hook) -> Self {
        Self { before: 0, shows_context: false, ..Self::new(hook) }
    }

    /// Runs a program once. Fails with the kernel's error, EINVAL for a frame that it does not take.
    pub fn run(&mut self, program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<Ran<'_>> {
        self.fill(frame);
        let (returned, length) = match self.call_plain(program) {
            Err(error) if self.hook == Hook::Xdp && self.shows_context && error.raw_os_error() == Some(libc::EINVAL) => {
                self.shows_context = false;
                self.call_plain(program)?
            }
            result => result?,
        };
        let data = &self.output[..length];
        // The kernel puts zeroes where it took the header off.
        let data = data.get(self.before..).unwrap_or_default();
        Ok(Ran { returned, data, context: self.shows_context.then_some(&self.context) })
    }

    /// Runs a program once with a context: the bytes of `struct xdp_md` or `struct __sk_buff`, or fewer.
    pub fn run_with(&mut self, program: BorrowedFd<'_>, frame: &[u8], context: &[u8]) -> io::Result<Ran<'_>> {
        self.fill(frame);
        context.clone_into(&mut self.context);
        self.shows_context = true;
        let (returned, length) = self.call(program)?;
        Ok(Ran { returned, data: self.output[..length].get(self.before..).unwrap_or_default(), context: Some(&self.context) })
    }

    /// The frame, behind the header that goes before it.
    fn fill(&mut self, frame: &[u8]) {
        self.input.clear();
        if self.before > 0 {
            self.input.extend_from_slice(frame.get(..ETHERNET_BYTES).unwrap_or(&[0; ETHERNET_BYTES]));
        }
        self.input.extend_from_slice(frame);
    }

    /// With a context of zeroes but for what XDP wants.
    fn call_plain(&mut self, program: BorrowedFd<'_>) -> io::Result<(u32, usize)> {
        self.context.fill(0);
        if self.hook == Hook::Xdp {
            let length = u32::try_from(self.input.len()).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
            self.context[4..8].copy_from_slice(&length.to_ne_bytes()); // data_end
        }
        self.call(program)
    }

    /// Return value and length of the output.
    fn call(&mut self, program: BorrowedFd<'_>) -> io::Result<(u32, usize)> {
        let length = u32::try_from(self.input.len()).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        let mut attributes = attribute();
        // SAFETY: plain numbers in a union that `test` is a part of.
        let test = unsafe { &mut attributes.test };
        test.prog_fd = program.as_raw_fd().cast_unsigned();
        test.repeat = 1;
        test.data_in = self.input.as_ptr().expose_provenance() as u64;
        test.data_size_in = length;
        test.data_out = self.output.as_mut_ptr().expose_provenance() as u64;
        test.data_size_out = u32::try_from(self.output.len()).expect("128 KiB");
        if self.shows_context {
            let context = self.context.as_mut_ptr().expose_provenance() as u64;
            let bytes = u32::try_from(self.context.len()).expect("at most 192");
            (test.ctx_in, test.ctx_out, test.ctx_size_in, test.ctx_size_out) = (context, context, bytes, bytes);
        }
        // SAFETY: the buffers live, with the lengths said.
        unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes) }?;
        // SAFETY: the kernel filled the fields of this command.
        let test = unsafe { attributes.test };
        Ok((test.retval, test.data_size_out as usize))
    }
}
