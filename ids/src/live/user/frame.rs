//! What a source hands over: a frame as it was on the wire, its VLAN tag put back.

use treeline_ebpf::Link;

/// Bytes kept of a frame. No header is read beyond them.
pub const SNAP_BYTES: usize = 2048;

const _: () = assert!(treeline_ebpf::packet::OFFSET_MAX + treeline_ebpf::packet::HEADER_BYTES_MAX <= SNAP_BYTES);

/// One frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its start.
    pub bytes: &'a [u8],
    /// The whole frame's length, bytes.
    pub length: u32,
    /// Its time on the monotonic clock, nanoseconds.
    pub now_ns: u64,
}

/// A VLAN tag that the kernel took out of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    protocol: u16,
    control: u16,
}

impl Tag {
    /// The tag that the kernel tells of, if it does.
    pub fn of(status: u32, control: u16, protocol: u16) -> Option<Self> {
        const CUSTOMER: u16 = 0x8100;
        let protocol = if status & libc::TP_STATUS_VLAN_TPID_VALID == 0 { CUSTOMER } else { protocol };
        (status & libc::TP_STATUS_VLAN_VALID != 0).then_some(Self { protocol, control })
    }
}

/// The frame with its tag, made in `scratch` if it has one. A tag has no place in a frame without an Ethernet header.
pub fn tagged<'a>(link: Link, frame: Frame<'a>, tag: Option<Tag>, scratch: &'a mut Vec<u8>) -> Frame<'a> {
    const ADDRESS_BYTES: usize = 12;
    let tag = tag.filter(|_| link == Link::Ethernet);
    let (Some(tag), Some((addresses, rest))) = (tag, frame.bytes.split_at_checked(ADDRESS_BYTES)) else { return frame };
    scratch.clear();
    scratch.extend_from_slice(addresses);
    scratch.extend(tag.protocol.to_be_bytes());
    scratch.extend(tag.control.to_be_bytes());
    scratch.extend_from_slice(rest);
    Frame { bytes: scratch, length: frame.length.saturating_add(4), ..frame }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_put_back_where_it_was() {
        let bytes: Vec<u8> = (0..20).collect();
        let frame = Frame { bytes: &bytes, length: 60, now_ns: 7 };
        let mut scratch = vec![9; 50];
        assert_eq!(tagged(Link::Ethernet, frame, Tag::of(0, 5, 0x88a8), &mut scratch).bytes, bytes);
        let valid = libc::TP_STATUS_VLAN_VALID;
        for (status, protocol) in [(valid, [0x81, 0x00]), (valid | libc::TP_STATUS_VLAN_TPID_VALID, [0x88, 0xa8])] {
            let tag = Tag::of(status, 0x0123, 0x88a8);
            assert_eq!(tagged(Link::Ip, frame, tag, &mut scratch).bytes, bytes);
            let tagged = tagged(Link::Ethernet, frame, tag, &mut scratch);
            let expected = [&bytes[..12], &protocol, &[0x01, 0x23], &bytes[12..]].concat();
            assert_eq!((tagged.bytes, tagged.length, tagged.now_ns), (&expected[..], 64, 7));
        }
    }
}
