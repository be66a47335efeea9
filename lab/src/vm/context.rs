//! The context: what r1 points to, laid out as Linux lays it out for each hook (`include/uapi/linux/bpf.h`, v6.18).
//!
//! Before a run it is filled as `BPF_PROG_TEST_RUN` fills it (`net/bpf/test_run.c`), after it read back the same way.

use super::Hook;
use super::memory::Piece;

impl Hook {
    /// Bytes of the context.
    pub(super) fn context_length(self) -> usize {
        match self {
            Self::Xdp => 24,
            Self::Tc | Self::Socket => 192,
        }
    }

    /// Where the context holds the address of the packet.
    pub(super) fn data_offset(self) -> Option<i32> {
        match self {
            Self::Xdp => Some(0),
            Self::Tc => Some(76),
            Self::Socket => None,
        }
    }
}

/// What one run gets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// The packet; under XDP with the metadata before it, as many bytes as the context's `data` says.
    pub packet: &'a [u8],
    /// What the clocks answer.
    pub now_ns: u64,
    /// The context as `BPF_PROG_TEST_RUN` takes it (`ctx_in`): the bytes of `struct xdp_md` or `struct __sk_buff`, or fewer, the rest
    /// being zero. Where it names no interface that is number 1. `wire_len` is zero without a context, and the packet's length with one that
    /// says nothing else.
    pub context: Option<&'a [u8]>,
}

/// Offsets in `struct xdp_md`.
pub(super) mod xdp {
    pub(crate) const DATA: usize = 0;
    pub(crate) const DATA_END: usize = 4;
    pub(crate) const DATA_META: usize = 8;
    pub(crate) const INGRESS_IFINDEX: usize = 12;
}

/// Offsets in `struct __sk_buff`.
pub(super) mod skb {
    pub(crate) const LEN: usize = 0;
    pub(crate) const PKT_TYPE: usize = 4;
    pub(crate) const MARK: usize = 8;
    pub(crate) const PROTOCOL: usize = 16;
    pub(crate) const VLAN_PRESENT: usize = 20;
    pub(crate) const VLAN_TCI: usize = 24;
    pub(crate) const VLAN_PROTO: usize = 28;
    pub(crate) const PRIORITY: usize = 32;
    pub(crate) const INGRESS_IFINDEX: usize = 36;
    pub(crate) const IFINDEX: usize = 40;
    pub(crate) const CB: usize = 48;
    pub(crate) const HASH: usize = 68;
    pub(crate) const DATA: usize = 76;
    pub(crate) const DATA_END: usize = 80;
    pub(crate) const DATA_META: usize = 140;
    pub(crate) const TSTAMP: usize = 152;
    pub(crate) const WIRE_LEN: usize = 160;
    pub(crate) const GSO_SEGS: usize = 164;
    pub(crate) const GSO_SIZE: usize = 176;
    pub(crate) const TSTAMP_TYPE: usize = 180;
    pub(crate) const HWTSTAMP: usize = 184;
    /// What a caller may set and read back, offset and length.
    pub(crate) const OPEN: [(usize, usize); 10] = [
        (MARK, 4),
        (PRIORITY, 4),
        (INGRESS_IFINDEX, 4),
        (IFINDEX, 4),
        (CB, 20),
        (TSTAMP, 8),
        (WIRE_LEN, 4),
        (GSO_SEGS, 4),
        (GSO_SIZE, 4),
        (HWTSTAMP, 8),
    ];
}

/// A 32-bit field.
pub(super) fn word(context: &Piece, offset: usize) -> u32 {
    u32::from_le_bytes(context.bytes()[offset..offset + 4].try_into().expect("four bytes"))
}

/// Sets a 32-bit field.
pub(super) fn set_word(context: &mut Piece, offset: usize, value: u32) {
    context.bytes_mut()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

/// Bytes of metadata that a context given for an XDP program puts before the packet.
pub(super) fn metadata_length(hook: Hook, given: Option<&[u8]>) -> usize {
    let data = given.filter(|_| hook == Hook::Xdp).and_then(|given| given.first_chunk());
    data.map_or(0, |data| u32::from_le_bytes(*data) as usize)
}

/// Fills the context for a packet, before which `metadata` bytes lie.
pub(super) fn fill(hook: Hook, context: &mut Piece, packet: &Piece, metadata: usize, given: Option<&[u8]>) {
    context.bytes_mut().fill(0);
    match hook {
        Hook::Xdp => {
            if let Some(given) = given {
                copy(context, given, xdp::INGRESS_IFINDEX, 8);
            }
            default(context, xdp::INGRESS_IFINDEX, 1);
        }
        Hook::Tc | Hook::Socket => {
            let bytes = packet.bytes();
            if let Some(&[high, low]) = bytes.get(12..14) {
                let kind = protocol([high, low], bytes.get(14..));
                set_word(context, skb::PROTOCOL, u32::from(kind.swap_bytes()));
                set_word(context, skb::PKT_TYPE, packet_type(bytes));
            }
            if let Some(given) = given {
                for (offset, length) in skb::OPEN {
                    copy(context, given, offset, length);
                }
            }
            default(context, skb::IFINDEX, 1);
            // A test run that is given no context leaves it at zero.
            if given.is_some() {
                default(context, skb::WIRE_LEN, word_of(packet.length()));
            }
        }
    }
    point(hook, context, packet, metadata);
}

/// Copies a field out of a context that may be shorter.
fn copy(context: &mut Piece, given: &[u8], offset: usize, length: usize) {
    let given = given.get(offset..).unwrap_or(&[]);
    let given = &given[..given.len().min(length)];
    context.bytes_mut()[offset..offset + given.len()].copy_from_slice(given);
}

/// Sets a 32-bit field that nobody set.
fn default(context: &mut Piece, offset: usize, value: u32) {
    if word(context, offset) == 0 {
        set_word(context, offset, value);
    }
}

/// The protocol that the kernel takes a frame for by its type field (`eth_type_trans`): below 1536 that is a length, and what lies behind it decides.
pub(super) fn protocol(kind: [u8; 2], behind: Option<&[u8]>) -> u16 {
    const ETH_P_802_3: u16 = 1;
    const ETH_P_802_2: u16 = 4;
    match u16::from_be_bytes(kind) {
        kind @ 0x600.. => kind,
        _ if behind.is_some_and(|behind| behind.starts_with(&[0xff, 0xff])) => ETH_P_802_3,
        _ => ETH_P_802_2,
    }
}

/// Whom a frame is for, as the loopback interface sees it: its address is zero, and so is its broadcast address.
fn packet_type(frame: &[u8]) -> u32 {
    match frame[..6] {
        [0, 0, 0, 0, 0, 0] => 0,
        [first, ..] if first & 1 == 1 => 2,
        _ => 3,
    }
}

/// Sets the context's pointers and lengths after the packet's place.
pub(super) fn point(hook: Hook, context: &mut Piece, packet: &Piece, metadata: usize) {
    let data = u32::try_from(packet.address()).expect("packets lie below 4 GiB");
    let data_end = data + word_of(packet.length());
    match hook {
        Hook::Xdp => {
            set_word(context, xdp::DATA, data);
            set_word(context, xdp::DATA_END, data_end);
            set_word(context, xdp::DATA_META, data - word_of(metadata));
        }
        Hook::Tc => {
            set_word(context, skb::LEN, data_end - data);
            set_word(context, skb::DATA, data);
            set_word(context, skb::DATA_END, data_end);
            set_word(context, skb::DATA_META, data - word_of(metadata));
        }
        Hook::Socket => set_word(context, skb::LEN, data_end - data),
    }
}

/// The context as `BPF_PROG_TEST_RUN` gives it back (`ctx_out`): offsets in place of addresses, and of `struct __sk_buff` what may be set.
/// Of `struct xdp_md` the fields behind the addresses are as they were given.
pub(super) fn given_back(hook: Hook, context: &Piece, given: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![0; hook.context_length()];
    match hook {
        Hook::Xdp => {
            out.copy_from_slice(context.bytes());
            if let Some(given) = given {
                let given = given.get(xdp::INGRESS_IFINDEX..).unwrap_or(&[]);
                let fields = &mut out[xdp::INGRESS_IFINDEX..];
                let count = given.len().min(fields.len());
                fields.fill(0);
                fields[..count].copy_from_slice(&given[..count]);
            }
            let start = word(context, xdp::DATA_META);
            for (offset, value) in
                [(xdp::DATA, word(context, xdp::DATA) - start), (xdp::DATA_END, word(context, xdp::DATA_END) - start), (xdp::DATA_META, 0)]
            {
                out[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        Hook::Tc | Hook::Socket => {
            for (offset, length) in skb::OPEN {
                out[offset..offset + length].copy_from_slice(&context.bytes()[offset..offset + length]);
            }
        }
    }
    out
}

fn word_of(length: usize) -> u32 {
    u32::try_from(length).expect("packets lie below 4 GiB")
}
