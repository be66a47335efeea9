//! What a run sends elsewhere: records to user space, the packet to another place.

/// A record that a program sent through a ring buffer or a perf event array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Name of the map.
    pub map: String,
    /// The bytes sent; of a perf event with those of the packet that its flags ask for.
    pub bytes: Vec<u8>,
}

/// Where a program sent the packet; the verdict decides whether it goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// `bpf_redirect`
    Interface {
        /// The interface's index.
        index: u32,
        /// The flags, of which 1 means ingress.
        flags: u64,
    },
    /// `bpf_redirect_peer`
    Peer {
        /// The interface's index.
        index: u32,
    },
    /// `bpf_redirect_neigh`
    Neighbour {
        /// The interface's index.
        index: u32,
        /// The next hop as given: `struct bpf_redir_neigh`, or nothing.
        next_hop: Vec<u8>,
    },
    /// `bpf_redirect_map`
    Map {
        /// Name of the map.
        map: String,
        /// The key, which was there if the helper answered a redirect.
        key: u32,
        /// The flags.
        flags: u64,
    },
}
