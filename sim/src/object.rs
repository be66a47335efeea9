//! The committed kernel object, the names of what is in it, and its form for kernels without compare-and-exchange.

use std::borrow::Cow;

use object::build::elf::Builder;
use object::elf::SHF_EXECINSTR;
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, SectionFlags};

use treeline_lab::kernel::rewrite;

/// The object's bytes, aligned as an ELF reader wants them.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/object/treeline.bpf.o");

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

/// Bytes of an instruction.
const INSTRUCTION_BYTES: usize = 8;

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

/// The object with each compare-and-exchange as a plain store of the same size.
///
/// Kernels before 5.12 refuse the instruction. Register 0 keeps the value that was expected, so the lock seems taken: on one CPU, where a
/// program is not interrupted by itself, that is what happens, and on several it excludes nobody.
pub fn unlocked(object: &[u8]) -> Result<Cow<'_, [u8]>, object::Error> {
    let mut bytes = object.to_vec();
    for section in ElfFile64::<Endianness>::parse(object)?.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let Some((start, size)) = section.file_range().filter(|_| sh_flags & u64::from(SHF_EXECINSTR) != 0) else { continue };
        let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(size)).ok());
        let Some(code) = range.and_then(|(start, end)| bytes.get_mut(start..end)) else { continue };
        for instruction in code.chunks_exact_mut(INSTRUCTION_BYTES) {
            let imm = i32::from_le_bytes(instruction[4..].try_into().expect("four bytes"));
            if let Some(store) = rewrite::store_instead(instruction[0], imm) {
                instruction[0] = store;
                instruction[4..].fill(0);
            }
        }
    }
    Ok(bytes.into())
}
