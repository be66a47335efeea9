//! How each hook reaches a packet's bytes.

use core::arch::asm;

use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_NET;
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_skb_pull_data, bpf_xdp_get_buff_len};
use aya_ebpf::programs::{SkBuffContext, TcContext, XdpContext};
use treeline_ebpf::packet::{HEADER_BYTES_MAX, OFFSET_MAX};

use crate::map;

/// Reads packet bytes; the methods are those of [`treeline_ebpf::Platform`].
pub trait Reach {
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    fn byte(&self, offset: usize) -> Option<u8>;

    fn half(&self, offset: usize) -> Option<u16>;

    fn holds(&self, length: usize) -> bool;

    /// `noise` is anything that the verifier cannot know. A helper takes any offset, so by default nothing is to be forgotten.
    fn forget(&self, offset: usize, _noise: u64) -> usize {
        offset
    }

    fn pull(&mut self) -> bool {
        false
    }

    /// The frame's length in bytes, with its Ethernet header if it has one.
    fn length(&self) -> u32;

    /// Index of the interface.
    fn interface(&self) -> u32;
}

/// No header in front of the network header is longer.
const OUTER_BYTES_MAX: usize = 256;

/// XDP: direct packet access.
pub struct Direct(pub XdpContext);

/// TC: direct access to the linear part, which can grow.
pub struct Linear(pub TcContext);

/// TC on interfaces without Ethernet header: a helper copies from the network header on. Some tunnels leave the header of the interface below in
/// front of a packet that comes in, where the direct bytes would begin.
pub struct Inner(pub TcContext);

/// Socket filters: a helper copies.
pub struct Loaded(pub SkBuffContext);

macro_rules! direct {
    () => {
        #[inline(always)]
        fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
            let start = self.0.data() + offset;
            if start + 4 * N > self.0.data_end() {
                return None;
            }
            let mut words = [0; N];
            for (index, word) in words.iter_mut().enumerate() {
                *word = load_u32(start + 4 * index);
            }
            Some(words)
        }

        #[inline(always)]
        fn byte(&self, offset: usize) -> Option<u8> {
            let mut offset = offset;
            // SAFETY: out comes what went in. A compiler that knew the 0 would compare the lower halves alone, which the verifier does not take.
            unsafe { asm!("{0} = {0}", inout(reg) offset, options(pure, nomem, nostack)) };
            let start = self.0.data() + offset;
            if start + 1 > self.0.data_end() { None } else { Some(load_u8(start)) }
        }

        #[inline(always)]
        fn half(&self, offset: usize) -> Option<u16> {
            let start = self.0.data() + offset;
            if start + 2 > self.0.data_end() { None } else { Some(load_u16(start)) }
        }

        #[inline(always)]
        fn holds(&self, length: usize) -> bool {
            self.0.data() + length <= self.0.data_end()
        }

        #[inline(always)]
        fn forget(&self, offset: usize, noise: u64) -> usize {
            const MASK: usize = (2 * OFFSET_MAX).next_power_of_two() - 1;
            let mut offset = offset;
            // SAFETY: out comes what went in.
            unsafe { asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) offset, in(reg) noise, options(pure, nomem, nostack)) };
            offset & MASK
        }
    };
}

impl Reach for Direct {
    direct!();

    #[inline(always)]
    fn length(&self) -> u32 {
        if map::config().fragments == 0 {
            return (self.0.data_end() - self.0.data()) as u32;
        }
        // SAFETY: the context is the hook's own. Linux 5.18 has the helper; before that, nothing is loaded with the setting.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) as u32 }
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the context is the hook's own.
        unsafe { (*self.0.ctx).ingress_ifindex }
    }
}

macro_rules! buffer {
    () => {
        #[inline(always)]
        fn length(&self) -> u32 {
            self.0.len()
        }

        #[inline(always)]
        fn interface(&self) -> u32 {
            // SAFETY: the context is the hook's own.
            unsafe { (*self.0.skb.skb).ifindex }
        }
    };
}

impl Reach for Linear {
    direct!();
    buffer!();

    /// The headers may lie in fragments behind the linear part.
    #[inline(always)]
    fn pull(&mut self) -> bool {
        let reachable = self.0.data_end() - self.0.data();
        let wanted = (self.0.len() as usize).min(OFFSET_MAX + HEADER_BYTES_MAX);
        // SAFETY: the context is the hook's own; the data pointers are read again after the call.
        wanted > reachable && unsafe { bpf_skb_pull_data(self.0.skb.skb, wanted as u32) } == 0
    }
}

macro_rules! copied {
    () => {
        #[inline(always)]
        fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
            let mut words = [0; N];
            self.copy(offset, words.as_mut_ptr().cast(), 4 * N).then(|| words.map(u32::from_be))
        }

        #[inline(always)]
        fn byte(&self, offset: usize) -> Option<u8> {
            let mut byte = 0_u8;
            self.copy(offset, &raw mut byte, 1).then_some(byte)
        }

        #[inline(always)]
        fn half(&self, offset: usize) -> Option<u16> {
            let mut half = 0_u16;
            self.copy(offset, (&raw mut half).cast(), 2).then(|| u16::from_be(half))
        }
    };
}

impl Inner {
    /// Copies `length` bytes at `offset` from the network header to `to`, which has room for them.
    #[inline(always)]
    fn copy(&self, offset: usize, to: *mut u8, length: usize) -> bool {
        // SAFETY: the context is the hook's own and all callers pass a buffer of that length.
        unsafe { bpf_skb_load_bytes_relative(self.0.skb.skb.cast(), offset as u32, to.cast(), length as u32, BPF_HDR_START_NET) == 0 }
    }
}

impl Reach for Inner {
    buffer!();
    copied!();

    /// The header's last byte is there.
    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        self.byte(length.wrapping_sub(1)).is_some()
    }

    /// The helper copies out of the linear part alone.
    #[inline(always)]
    fn pull(&mut self) -> bool {
        let reachable = self.0.data_end() - self.0.data();
        let wanted = (self.0.len() as usize).min(OFFSET_MAX + HEADER_BYTES_MAX + OUTER_BYTES_MAX);
        // SAFETY: the context is the hook's own.
        wanted > reachable && unsafe { bpf_skb_pull_data(self.0.skb.skb, wanted as u32) } == 0
    }
}

impl Reach for Loaded {
    buffer!();
    copied!();

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        length <= self.0.len() as usize
    }
}

impl Loaded {
    /// Copies `length` bytes at `offset` to `to`, which has room for them.
    #[inline(always)]
    fn copy(&self, offset: usize, to: *mut u8, length: usize) -> bool {
        // SAFETY: the context is the hook's own and all callers pass a buffer of that length.
        unsafe { bpf_skb_load_bytes(self.0.skb.skb.cast(), offset as u32, to.cast(), length as u32) == 0 }
    }
}

/// One load instruction whatever the alignment: the compiler would load byte by byte. The verifier checks the address.
#[inline(always)]
fn load_u32(address: usize) -> u32 {
    let word: u64;
    // SAFETY: the callers have compared the address with the packet's end.
    unsafe { asm!("{word} = *(u32 *)({address} + 0)", word = out(reg) word, address = in(reg) address, options(pure, readonly, nostack)) };
    u32::from_be(word as u32)
}

/// As [`load_u32`].
#[inline(always)]
fn load_u16(address: usize) -> u16 {
    let half: u64;
    // SAFETY: as in `load_u32`.
    unsafe { asm!("{half} = *(u16 *)({address} + 0)", half = out(reg) half, address = in(reg) address, options(pure, readonly, nostack)) };
    u16::from_be(half as u16)
}

/// As [`load_u32`].
#[inline(always)]
fn load_u8(address: usize) -> u8 {
    let byte: u64;
    // SAFETY: as in `load_u32`.
    unsafe { asm!("{byte} = *(u8 *)({address} + 0)", byte = out(reg) byte, address = in(reg) address, options(pure, readonly, nostack)) };
    byte as u8
}
