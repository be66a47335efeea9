//! Frame -> packet at fixed places: Ethernet, IPv4 without options, two ports.

use core::arch::asm;

use aya_ebpf::programs::XdpContext;

/// What is read of a frame.
pub struct Packet {
    pub source: u32,
    pub destination: u32,
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
    /// IP total length, bytes.
    pub length: u16,
}

/// Bytes from the frame's start to the end of the ports.
const READ_BYTES: usize = 40;
/// TCP and UDP.
const WITH_PORTS: [u8; 2] = [6, 17];

/// Reads an IPv4 packet.
#[inline(always)]
pub fn parse(context: &XdpContext) -> Option<Packet> {
    // Of the words from the frame's start: bytes in network order, so the lowest byte of a word comes first.
    let [_, second, third, fourth, fifth] = words(context, 0)?;
    const { assert!(READ_BYTES == 5 * 8) };
    if (second >> 32) as u16 != 0x0008 {
        return None;
    }
    let protocol = (third >> 56) as u8;
    let has_ports = WITH_PORTS.contains(&protocol);
    let port = |bits: u64| if has_ports { u16::from_be(bits as u16) } else { 0 };
    Some(Packet {
        source: u32::from_be((fourth >> 16) as u32),
        destination: u32::from_be((fourth >> 48) as u32 | (fifth as u32) << 16),
        source_port: port(fifth >> 16),
        destination_port: port(fifth >> 32),
        protocol,
        length: u16::from_be(third as u16),
    })
}

/// Five words from `offset` on, as they lie in memory.
#[inline(always)]
pub fn words(context: &XdpContext, offset: usize) -> Option<[u64; 5]> {
    let start = context.data() + offset;
    if start + 40 > context.data_end() {
        return None;
    }
    Some([0, 8, 16, 24, 32].map(|offset| load_u64(start + offset)))
}

/// One load instruction whatever the alignment.
#[inline(always)]
fn load_u64(address: usize) -> u64 {
    let word: u64;
    // SAFETY: the caller has compared the address with the packet's end.
    unsafe { asm!("{word} = *(u64 *)({address} + 0)", word = out(reg) word, address = in(reg) address, options(pure, readonly, nostack)) };
    word
}
