//! Where packet programs are attached.

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
