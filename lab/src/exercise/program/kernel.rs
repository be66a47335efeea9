//! The kernel's side: maps, type information and programs by raw `bpf(2)`, for bare bytecode.

use std::ffi::CString;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use rbpf::ebpf::Insn;

use super::{Case, maps};
use crate::vm::{Hook, MapKind};

const MAP_CREATE: i64 = 0;
const MAP_LOOKUP: i64 = 1;
const MAP_UPDATE: i64 = 2;
const PROG_LOAD: i64 = 5;
const PROG_TEST_RUN: i64 = 10;
const BTF_LOAD: i64 = 18;

/// The right to load programs, tested.
#[derive(Debug)]
pub struct Kernel {
    license: CString,
}

/// The verifier's last words.
#[derive(Debug)]
pub struct Rejection {
    /// The whole log.
    pub log: String,
}

/// A loaded program with its maps.
#[derive(Debug)]
pub struct Loaded {
    program: OwnedFd,
    maps: Vec<OwnedFd>,
}

/// A `union bpf_attr`, filled field by field.
struct Attributes([u8; 152]);

impl Attributes {
    fn new() -> Self {
        Self([0; 152])
    }

    fn word(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn descriptor(self, offset: usize, value: &OwnedFd) -> Self {
        self.word(offset, value.as_raw_fd().cast_unsigned())
    }

    fn address<T>(mut self, offset: usize, pointer: *const T) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&(pointer.expose_provenance() as u64).to_ne_bytes());
        self
    }

    fn call(&mut self, command: i64) -> Result<RawFd, Error> {
        // SAFETY: the attributes are 152 bytes, and every pointer in them leads to memory that outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        if result < 0 { Err(Error::last_os_error()) } else { Ok(RawFd::try_from(result).expect("a descriptor or 0")) }
    }

    fn open(&mut self, command: i64) -> Result<OwnedFd, Error> {
        // SAFETY: the call gave a descriptor that nobody else has.
        self.call(command).map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("cases are small")
}

impl Kernel {
    /// Asks the kernel for a map and a program, and stays on one CPU from here on: the programs read its number, which is 0 in the VM.
    pub fn new() -> Result<Self, Error> {
        let probe = Case { hook: Hook::Xdp, instructions: vec![mov(0), exit()], functions: vec![0], cell: Vec::new(), packets: Vec::new() };
        let license = CString::new("GPL").expect("no zero in it");
        create_maps()?;
        load(&probe, &probe.bytecode(), &license, None, None)?;
        // SAFETY: an all-zero set is a valid one, and the call reads only it.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut set);
            libc::sched_setaffinity(0, std::mem::size_of_val(&set), &raw const set);
        }
        Ok(Self { license })
    }

    /// Loads a case's program with fresh maps.
    pub(super) fn load(&self, case: &Case) -> Result<Loaded, Rejection> {
        let maps = create_maps().expect("maps were created before");
        Attributes::new()
            .descriptor(0, &maps[0])
            .address(8, 0_u32.to_ne_bytes().as_ptr())
            .address(16, case.cell.as_ptr())
            .call(MAP_UPDATE)
            .expect("the cell takes its value");
        let mut instructions = case.instructions.clone();
        for insn in &mut instructions {
            if insn.opc == 0x18 && matches!(insn.src, 1 | 2) {
                insn.imm = maps[usize::try_from(insn.imm).expect("a map's position")].as_raw_fd();
            }
        }
        let bytecode: Vec<u8> = instructions.iter().flat_map(Insn::to_array).collect();
        let types = load_types(case.functions.len()).expect("the kernel takes these types");
        if let Ok(program) = load(case, &bytecode, &self.license, Some(&types), None) {
            return Ok(Loaded { program, maps });
        }
        let mut log = vec![0; 1 << 20];
        match load(case, &bytecode, &self.license, Some(&types), Some(&mut log)) {
            Ok(program) => Ok(Loaded { program, maps }),
            Err(error) => {
                let text = String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned();
                Err(Rejection { log: format!("{text}{error}") })
            }
        }
    }
}

fn mov(dst: u8) -> Insn {
    Insn { opc: 0xb7, dst, src: 0, off: 0, imm: 0 }
}

fn exit() -> Insn {
    Insn { opc: 0x95, dst: 0, src: 0, off: 0, imm: 0 }
}

fn create_maps() -> Result<Vec<OwnedFd>, Error> {
    let create = |shape: &crate::vm::Shape| {
        let kind = match shape.kind {
            MapKind::Hash => 1,
            _ => 2,
        };
        let sizes = [length(shape.key_size), length(shape.value_size), shape.max_entries];
        Attributes::new().word(0, kind).word(4, sizes[0]).word(8, sizes[1]).word(12, sizes[2]).open(MAP_CREATE)
    };
    maps().iter().map(create).collect()
}

fn load(case: &Case, bytecode: &[u8], license: &CString, types: Option<&OwnedFd>, log: Option<&mut Vec<u8>>) -> Result<OwnedFd, Error> {
    let kind = match case.hook {
        Hook::Socket => 1,
        Hook::Tc => 3,
        Hook::Xdp => 6,
    };
    let mut attributes =
        Attributes::new().word(0, kind).word(4, length(bytecode.len() / 8)).address(8, bytecode.as_ptr()).address(16, license.as_ptr());
    // `struct bpf_func_info`: where a function starts, and its type, of which the first is the fourth.
    let functions: Vec<u32> = case.functions.iter().zip(FUNCTION_TYPE..).flat_map(|(start, kind)| [length(*start), kind]).collect();
    if let Some(types) = types {
        attributes = attributes.descriptor(72, types).word(76, 8).address(80, functions.as_ptr()).word(88, length(case.functions.len()));
    }
    if let Some(log) = log {
        attributes = attributes.word(24, 1).word(28, length(log.len())).address(32, log.as_mut_ptr());
    }
    attributes.open(PROG_LOAD)
}

/// Number of the first function's type: an integer and a prototype come before.
const FUNCTION_TYPE: u32 = 3;

/// Type information for so many static functions, which callbacks need: `int f(void)` for all, which the verifier takes for unreliable.
fn load_types(functions: usize) -> Result<OwnedFd, Error> {
    const INT: u32 = 1 << 24;
    const PROTOTYPE: u32 = 13 << 24;
    const FUNCTION: u32 = 12 << 24;
    let mut words = vec![1, INT, 4, 1 << 24 | 32, 0, PROTOTYPE, 1];
    for _ in 0..functions {
        words.extend([5, FUNCTION, 2]);
    }
    let strings = b"\0int\0f\0";
    let types: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, length(types.len()), length(types.len()), length(strings.len())] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(types);
    bytes.extend(strings);
    Attributes::new().address(0, bytes.as_ptr()).word(16, length(bytes.len())).open(BTF_LOAD)
}

impl Loaded {
    /// One run over a packet: what it returned, and the packet afterwards.
    pub(super) fn run(&self, packet: &[u8]) -> (u32, Vec<u8>) {
        let mut after = vec![0; packet.len() + 256];
        let mut attributes = Attributes::new()
            .descriptor(0, &self.program)
            .word(8, length(packet.len()))
            .word(12, length(after.len()))
            .address(16, packet.as_ptr())
            .address(24, after.as_mut_ptr())
            .word(32, 1);
        attributes.call(PROG_TEST_RUN).unwrap_or_else(|error| panic!("the kernel's test-run: {error}"));
        let word = |offset: usize| u32::from_ne_bytes(attributes.0[offset..offset + 4].try_into().expect("four bytes"));
        after.truncate(word(12) as usize);
        (word(4), after)
    }

    /// The value under a key.
    pub(super) fn lookup(&self, map: usize, key: u32, value_size: usize) -> Option<Vec<u8>> {
        let mut value = vec![0; value_size];
        let key = key.to_ne_bytes();
        let mut attributes = Attributes::new().descriptor(0, &self.maps[map]).address(8, key.as_ptr()).address(16, value.as_mut_ptr());
        attributes.call(MAP_LOOKUP).ok().map(|_| value)
    }
}
