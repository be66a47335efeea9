//! Maps and a program into the kernel, without type information.
//!
//! Not here: maps of maps, flags of maps that the object asks for (the vm's shapes have none), type information, and so what needs it: callbacks.

use std::ffi::c_char;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::bpf_cmd;
use rbpf::ebpf::Insn;

use super::call::{attributes, bpf};
use crate::vm::{Hook, MapKind, Shape};

const NO_PREALLOC: u32 = 1;
const READ_ONLY_FOR_PROGRAMS: u32 = 1 << 7;
const LOG_BYTES: usize = 1 << 20;
/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 4;
const LD_IMM64: u8 = 0x18;

fn descriptor(result: i64) -> io::Result<OwnedFd> {
    let number = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: a descriptor that the kernel has just given to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether nobody may change the map once it is filled: constants, which the verifier then knows.
#[must_use]
pub fn is_constant(shape: &Shape) -> bool {
    shape.name.starts_with(".rodata")
}

/// Creates a map.
pub fn map(shape: &Shape) -> io::Result<OwnedFd> {
    let size = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let mut attributes = attributes();
    // SAFETY: plain numbers in a union that these fields are a part of.
    let create = unsafe { &mut attributes.__bindgen_anon_1 };
    create.map_type = shape.kind.number();
    (create.key_size, create.value_size, create.max_entries) = (size(shape.key_size)?, size(shape.value_size)?, shape.max_entries);
    create.map_flags = match shape.kind {
        MapKind::LpmTrie => NO_PREALLOC,
        _ if is_constant(shape) => READ_ONLY_FOR_PROGRAMS,
        _ => 0,
    };
    descriptor(bpf(bpf_cmd::BPF_MAP_CREATE, &mut attributes)?)
}

/// Makes a map's values final.
pub fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = attributes();
    attributes.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attributes).map(|_| ())
}

/// Loads a program whose `ld_imm64` name maps by their position in `maps`. The error ends with the last lines of the verifier's log.
pub fn program(hook: Hook, instructions: &[Insn], maps: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let mut code = instructions.to_vec();
    let mut index = 0;
    while index < code.len() {
        let insn = &mut code[index];
        index += if insn.opc == LD_IMM64 { 2 } else { 1 };
        if insn.opc == LD_IMM64 && matches!(insn.src, 1 | 2) {
            let map = usize::try_from(insn.imm).ok().and_then(|position| maps.get(position));
            insn.imm = map.ok_or_else(|| io::Error::other("an instruction names a map that is not there"))?.as_raw_fd();
        }
    }
    let bytes: Vec<u8> = code.iter().flat_map(Insn::to_array).collect();
    match load(hook, &bytes, &mut []) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => {
            let mut log = vec![0; LOG_BYTES];
            load(hook, &bytes, &mut log).map_err(|_| {
                let text = String::from_utf8_lossy(&log);
                let lines: Vec<&str> = text.trim_end_matches('\0').lines().collect();
                let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
                io::Error::new(error.kind(), format!("{error}; the verifier's last lines: {}", last.join(" | ")))
            })
        }
        result => result,
    }
}

fn load(hook: Hook, bytecode: &[u8], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attributes = attributes();
    // SAFETY: plain numbers in a union that these fields are a part of.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = match hook {
        Hook::Socket => 1,
        Hook::Tc => 3,
        Hook::Xdp => 6,
    };
    load.insn_cnt = u32::try_from(bytecode.len() / size_of::<u64>()).map_err(io::Error::other)?;
    load.insns = bytecode.as_ptr().expose_provenance() as u64;
    load.license = c"GPL".as_ptr().expose_provenance() as u64;
    for (target, source) in load.prog_name.iter_mut().zip(b"treeline_lab") {
        *target = c_char::from_ne_bytes([*source]);
    }
    if !log.is_empty() {
        load.log_level = 1;
        load.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
        load.log_buf = log.as_mut_ptr().expose_provenance() as u64;
    }
    descriptor(bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes)?)
}
