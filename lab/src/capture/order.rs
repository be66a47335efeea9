//! Integers in the byte order that a file states.

use pcap_file::Endianness;

pub(super) fn u16_at(order: Endianness, bytes: &[u8], at: usize) -> u16 {
    let field = [bytes[at], bytes[at + 1]];
    if order.is_big() { u16::from_be_bytes(field) } else { u16::from_le_bytes(field) }
}

pub(super) fn u32_at(order: Endianness, bytes: &[u8], at: usize) -> u32 {
    let field = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if order.is_big() { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) }
}
