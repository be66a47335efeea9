//! The context: what r1 points to, laid out as Linux lays it out for each hook (`include/uapi/linux/bpf.h`, v6.18).

use super::memory::Piece;

/// Where a program is attached; it decides the context and the helpers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `struct xdp_md`, packet by `data` and `data_end`.
    Xdp,
    /// TC classifier: `struct __sk_buff`, packet by `data` and `data_end` or by `bpf_skb_load_bytes`.
    Tc,
    /// Socket filter: `struct __sk_buff`, packet only by `bpf_skb_load_bytes`.
    Socket,
}

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

    /// Whether the kernel gives this hook the helper, among those the VM has.
    pub(super) fn has_helper(self, number: i32) -> bool {
        match number {
            26 => self != Self::Xdp,
            39 => self == Self::Tc,
            _ => true,
        }
    }
}

/// Fills the context for a packet. Interface numbers are 1, the loopback's, as in `BPF_PROG_TEST_RUN`; fields that say
/// nothing here are zero.
pub(super) fn fill(hook: Hook, context: &mut Piece, packet: &Piece) {
    let addresses = packet.range();
    let address = |address: u64| u32::try_from(address).expect("packets lie below 4 GiB");
    let (data, data_end) = (address(addresses.start), address(addresses.end));
    let length = data_end - data;
    let bytes = context.bytes_mut();
    bytes.fill(0);
    let mut put = |offset: usize, value: u32| bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    match hook {
        Hook::Xdp => {
            put(0, data);
            put(4, data_end);
            put(8, data); // data_meta: none
            put(12, 1); // ingress_ifindex
        }
        Hook::Tc | Hook::Socket => {
            put(0, length);
            put(16, packet.bytes().get(12..14).map_or(0, |kind| u32::from(u16::from_le_bytes([kind[0], kind[1]]))));
            put(36, 1); // ingress_ifindex
            put(40, 1); // ifindex
            put(160, length); // wire_len
            if hook == Hook::Tc {
                put(76, data);
                put(80, data_end);
                put(140, data); // data_meta: none
            }
        }
    }
}
