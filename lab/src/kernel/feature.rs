//! What the running kernel knows, asked by loading the smallest thing that has it.

use super::syscall::{attribute, bpf_fd, name};
use crate::bpf::Hook;
use crate::bpf::{Kind, XDP_HAS_FRAGS};
use aya_obj::generated::bpf_cmd;
use rbpf::ebpf::Insn;
use std::sync::OnceLock;

/// What this kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct Features {
    /// Types of functions (5.0); without, no types are loaded at all.
    pub functions: bool,
    /// Global functions, verified by themselves (5.6).
    pub global_functions: bool,
    /// Variables and their sections (5.2).
    pub sections: bool,
    /// Floating-point types (5.13).
    pub floats: bool,
    /// Tags of declarations (5.16).
    pub declaration_tags: bool,
    /// Tags of types (5.17).
    pub type_tags: bool,
    /// Enumerations of 64 bits (6.0).
    pub enums64: bool,
    /// Atomic operations that fetch: exchange, compare and exchange (5.12).
    pub fetching_atomics: bool,
    /// Memory-mapped arrays (5.5).
    pub mapped: bool,
    /// XDP programs for packets in several buffers (5.18).
    pub fragments: bool,
}

const FETCHING_ADD: i32 = 0x01;

impl Features {
    /// What the kernel answers, which is asked once. Without the right to load anything, nothing is there.
    #[must_use]
    pub fn probe() -> Self {
        static FOUND: OnceLock<Features> = OnceLock::new();
        *FOUND.get_or_init(Self::ask)
    }

    fn ask() -> Self {
        // int, and a prototype and function of it.
        let int: [u32; 4] = [1, 1 << 24, 4, 0x0100_0020];
        let with = |types: &[u32]| btf(&[&int[..], types].concat());
        Self {
            functions: with(&[0, 13 << 24, 0, 5, 12 << 24, 2]),
            global_functions: with(&[0, 13 << 24 | 1, 0, 1, 1, 5, 12 << 24 | 1, 2]),
            sections: with(&[3, 14 << 24, 1, 0, 5, 15 << 24 | 1, 4, 2, 0, 4]),
            floats: with(&[5, 16 << 24, 4]),
            declaration_tags: with(&[3, 14 << 24, 1, 0, 5, 17 << 24, 2, u32::MAX]),
            type_tags: with(&[5, 18 << 24, 1, 0, 2 << 24, 2]),
            enums64: with(&[5, 19 << 24 | 1, 8, 3, 0, 0]),
            fetching_atomics: program(
                Kind::of(Hook::Socket),
                &[
                    Insn { opc: 0xb7, dst: 1, src: 0, off: 0, imm: 0 },
                    Insn { opc: 0x7b, dst: 10, src: 1, off: -8, imm: 0 },
                    Insn { opc: 0xdb, dst: 10, src: 1, off: -8, imm: FETCHING_ADD },
                    Insn { opc: 0xb7, dst: 0, src: 0, off: 0, imm: 0 },
                    Insn { opc: 0x95, dst: 0, src: 0, off: 0, imm: 0 },
                ],
            ),
            mapped: mapped(),
            fragments: program(
                Kind { flags: XDP_HAS_FRAGS, ..Kind::of(Hook::Xdp) },
                &[Insn { opc: 0xb7, dst: 0, src: 0, off: 0, imm: 0 }, Insn { opc: 0x95, dst: 0, src: 0, off: 0, imm: 0 }],
            ),
        }
    }
}

/// Whether the kernel takes these types. Strings: 1 `i`, 3 `a`, 5 `f`.
fn btf(types: &[u32]) -> bool {
    let strings = b"\0i\0a\0f\0";
    let length = types.len() * 4;
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, length, length, strings.len()] {
        bytes.extend(u32::try_from(word).expect("small").to_le_bytes());
    }
    bytes.extend(types.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(strings);
    super::types::load(&bytes).is_ok()
}

fn program(kind: Kind, instructions: &[Insn]) -> bool {
    let bytes: Vec<u8> = instructions.iter().flat_map(Insn::to_array).collect();
    let mut attr = attribute();
    // SAFETY: the union's part of this command.
    let part = unsafe { &mut attr.__bindgen_anon_3 };
    (part.prog_type, part.expected_attach_type, part.prog_flags) = (kind.program, kind.attach, kind.flags);
    part.insns = bytes.as_ptr() as u64;
    part.insn_cnt = u32::try_from(instructions.len()).expect("few");
    part.license = c"GPL".as_ptr() as u64;
    part.prog_name = name("probe");
    // SAFETY: instructions and license live.
    unsafe { bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) }.is_ok()
}

fn mapped() -> bool {
    let mut attr = attribute();
    // SAFETY: the union's part of this command.
    let part = unsafe { &mut attr.__bindgen_anon_1 };
    (part.map_type, part.key_size, part.value_size, part.max_entries, part.map_flags) = (2, 4, 4, 1, 1 << 10);
    // SAFETY: no addresses.
    unsafe { bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr) }.is_ok()
}
