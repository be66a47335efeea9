//! The committed kernel object, the names of what is in it, and its form for packets in several buffers.

use object::build::elf::Builder;

/// The object's bytes, aligned as an ELF reader wants them.
pub static OBJECT: &[u8] = &ALIGNED.0;

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../ebpf/object/treeline.bpf.o"));

#[repr(align(32))]
struct Aligned<T: ?Sized>(T);

/// The constant that holds [`treeline_ebpf::Config`].
pub const CONFIG: &str = "CONFIG";
/// The flow table.
pub const FLOWS: &str = "FLOWS";
/// The tree.
pub const MODEL: &str = "MODEL";
/// Each CPU's counters.
pub const COUNTERS: &str = "COUNTERS";
/// Each CPU's [`treeline_ebpf::Live`].
pub const LIVE: &str = "LIVE";
/// The ring buffer of [`treeline_ebpf::Alert`].
pub const ALERTS: &str = "ALERTS";
/// The allow-list: [`treeline_ebpf::allow::Network`] to [`treeline_ebpf::Allowed`].
pub const ALLOW: &str = "ALLOW";
/// The replay cell.
pub const REPLAY: &str = "REPLAY";
/// The program that costs what any flow tracker does.
pub const FLOOR: &str = "treeline_floor";

/// The section of the XDP programs, and the one whose programs the kernel gives packets in several buffers (Linux 5.18).
const XDP: (&[u8], &[u8]) = (b"xdp", b"xdp.frags");

/// The object with its XDP programs for packets in several buffers, as an MTU beyond a page makes them. The programs know it by
/// [`treeline_ebpf::Config::fragments`].
pub fn fragmented(object: &[u8]) -> Result<Vec<u8>, object::build::Error> {
    let mut elf = Builder::read64(object)?;
    for section in elf.sections.iter_mut().filter(|section| &*section.name == XDP.0) {
        section.name = XDP.1.into();
    }
    elf.set_section_sizes();
    let mut bytes = Vec::new();
    elf.write(&mut bytes)?;
    Ok(bytes)
}
