//! The kernel as a second opinion: raw bpf(2), because the tests load bare bytecode.
//!
//! Without the right to load programs a test goes on with what it can check without the kernel, and is reported as ignored.

use crate::{trial, types};
use treeline_lab::vm::{Hook, MapKind, NO_PREALLOC, Shape};

/// Programs and maps of one test, closed when dropped.
pub struct Kernel {
    hook: Hook,
    program: libc::c_int,
    maps: Vec<libc::c_int>,
    shapes: Vec<Shape>,
}

/// A `union bpf_attr`, filled field by field.
struct Attributes([u8; 144]);

impl Attributes {
    fn new() -> Self {
        Self([0; 144])
    }

    fn word(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn address<T>(mut self, offset: usize, pointer: *const T) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&(pointer.expose_provenance() as u64).to_ne_bytes());
        self
    }

    fn long(mut self, offset: usize, value: u64) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn call(&mut self, command: libc::c_int) -> Result<libc::c_int, std::io::Error> {
        // SAFETY: the attributes are 144 bytes, and every pointer in them leads to memory that outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), self.0.len()) };
        if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(libc::c_int::try_from(result).expect("a descriptor or 0")) }
    }
}

/// `BPF_F_RDONLY_PROG`.
const READ_ONLY: u32 = 128;

fn create(shape: &Shape, inner: Option<libc::c_int>, constant: Option<&[u8]>) -> Result<libc::c_int, std::io::Error> {
    let size = |size: usize| u32::try_from(size).expect("test maps are small");
    let inner = inner.filter(|_| shape.kind.holds_maps()).map_or(0, i32::cast_unsigned);
    let of_kind = if shape.kind == MapKind::LpmTrie { NO_PREALLOC } else { 0 };
    let flags = shape.flags | of_kind | if constant.is_some() { READ_ONLY } else { 0 };
    let map = Attributes::new()
        .word(0, shape.kind.number())
        .word(4, size(shape.key_size))
        .word(8, size(shape.value_size))
        .word(12, shape.max_entries)
        .word(16, flags)
        .word(20, inner)
        .call(0)?;
    if let Some(bytes) = constant {
        let key = [0_u8; 4];
        Attributes::new().word(0, map.cast_unsigned()).address(8, key.as_ptr()).address(16, bytes.as_ptr()).call(2)?;
        Attributes::new().word(0, map.cast_unsigned()).call(22)?;
    }
    Ok(map)
}

/// What loads a program without a log.
fn attributes(hook: Hook, bytecode: &[u8]) -> Attributes {
    let kind = match hook {
        Hook::Socket => 1,
        Hook::Tc => 3,
        Hook::Xdp => 6,
    };
    let count = u32::try_from(bytecode.len() / 8).expect("test programs are small");
    Attributes::new().word(0, kind).word(4, count).address(8, bytecode.as_ptr()).address(16, c"GPL".as_ptr())
}

/// Loads a program: its descriptor or the error, and the verifier's log.
fn verify(hook: Hook, bytecode: &[u8]) -> (Result<libc::c_int, std::io::Error>, String) {
    let types = types::of(bytecode);
    let loaded_types = types.as_ref().and_then(|(bytes, _)| {
        let length = u32::try_from(bytes.len()).expect("types are short");
        Attributes::new().address(0, bytes.as_ptr()).word(16, length).call(18).ok()
    });
    let attributes = || match (loaded_types, &types) {
        (Some(loaded), Some((_, functions))) => attributes(hook, bytecode)
            .word(72, loaded.cast_unsigned())
            .word(76, 8)
            .address(80, functions.as_ptr())
            .word(88, u32::try_from(functions.len() / 2).expect("few")),
        _ => attributes(hook, bytecode),
    };
    // Only a refusal is worth the time that a log takes.
    let mut loaded = attributes().call(5);
    let mut log = Vec::new();
    if loaded.is_err() {
        log = vec![0_u8; 1 << 20];
        loaded = attributes().word(24, 1).word(28, 1 << 20).address(32, log.as_mut_ptr()).call(5);
    }
    if let Some(loaded) = loaded_types {
        // SAFETY: the descriptor is this function's own.
        unsafe { libc::close(loaded) };
    }
    (loaded, String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned())
}

/// What a run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The lower half of r0.
    pub returned: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// The context as `ctx_out`.
    pub context: Vec<u8>,
}

impl Kernel {
    /// Loads bytecode with fresh maps. `None`: no right to, so that the trial is ignored.
    pub fn load(test: &str, hook: Hook, bytecode: &[u8], shapes: &[Shape]) -> Option<Self> {
        Self::load_with(test, hook, bytecode, shapes, &[])
    }

    /// The same with arrays of one entry, by position, that hold constants: nobody writes them afterwards.
    pub fn load_with(test: &str, hook: Hook, bytecode: &[u8], shapes: &[Shape], constants: &[(usize, &[u8])]) -> Option<Self> {
        let loaded = Self::try_load(test, hook, bytecode, shapes, constants)?;
        Some(loaded.unwrap_or_else(|refusal| panic!("{test}: the kernel refuses the program: {refusal}")))
    }

    /// The same, or the verifier's log.
    pub fn try_load(
        test: &str,
        hook: Hook,
        bytecode: &[u8],
        shapes: &[Shape],
        constants: &[(usize, &[u8])],
    ) -> Option<Result<Self, String>> {
        // Which free elements a map has is the CPU's matter.
        pin_to_one_cpu();
        let mut maps = Vec::new();
        for (position, shape) in shapes.iter().enumerate() {
            let constant = constants.iter().find(|(map, _)| *map == position).map(|(_, bytes)| *bytes);
            // The map before a map of maps says what those are like.
            match create(shape, maps.last().copied(), constant) {
                Ok(map) => maps.push(map),
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => return skip().map(Ok),
                Err(error) => panic!("{test}: no map {shape:?}: {error}"),
            }
        }
        let mut bytecode = bytecode.to_vec();
        for insn in bytecode.chunks_exact_mut(8) {
            if insn[0] == 0x18 && insn[1] >> 4 != 0 {
                let map = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
                insn[4..8].copy_from_slice(&maps[usize::try_from(map).expect("a map's position")].to_le_bytes());
            }
        }
        let (loaded, log) = verify(hook, &bytecode);
        match loaded {
            Ok(program) => Some(Ok(Self { hook, program, maps, shapes: shapes.to_vec() })),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => skip().map(Ok),
            Err(error) => Some(Err(format!("{error}\n{log}"))),
        }
    }

    /// Whether the kernel gives the hook the helper that this program calls. `None`: no right to ask.
    pub fn has_helper(hook: Hook, bytecode: &[u8]) -> Option<bool> {
        match verify(hook, bytecode) {
            (Err(error), _) if error.raw_os_error() == Some(libc::EPERM) => {
                skip();
                None
            }
            (Err(_), log) => Some(!log.contains("cannot use helper") && !log.contains("unknown func")),
            (Ok(program), _) => {
                // SAFETY: the descriptor is this function's own.
                unsafe { libc::close(program) };
                Some(true)
            }
        }
    }

    /// Whether the kernel loads a program without maps. `None`: no right to ask.
    pub fn accepts(hook: Hook, bytecode: &[u8]) -> Option<bool> {
        match attributes(hook, bytecode).call(5) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                skip();
                None
            }
            Err(_) => Some(false),
            Ok(program) => {
                // SAFETY: the descriptor is this function's own.
                unsafe { libc::close(program) };
                Some(true)
            }
        }
    }

    /// One run over a packet; the result is the lower half of r0.
    pub fn run(&self, packet: &[u8]) -> u32 {
        pin_to_one_cpu();
        let mut attributes = Attributes::new()
            .word(0, self.program.cast_unsigned())
            .word(8, u32::try_from(packet.len()).expect("a packet"))
            .address(16, packet.as_ptr())
            .word(32, 1);
        attributes.call(10).unwrap_or_else(|error| panic!("test run: {error}"));
        u32::from_ne_bytes(attributes.0[4..8].try_into().expect("four bytes"))
    }

    /// One run over a packet with a context, and all that it shows.
    pub fn run_with(&self, packet: &[u8], context: &[u8]) -> Outcome {
        pin_to_one_cpu();
        // A socket filter's run starts at the network header: an Ethernet header of its own goes before the packet.
        let before = if self.hook == Hook::Socket { 14 } else { 0 };
        let packet = [&packet[..before], packet].concat();
        let (mut packet_out, mut context_out) = (vec![0_u8; 1 << 16], vec![0_u8; context.len()]);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
        let mut attributes = Attributes::new()
            .word(0, self.program.cast_unsigned())
            .word(8, length(&packet))
            .word(12, length(&packet_out))
            .address(16, packet.as_ptr())
            .address(24, packet_out.as_mut_ptr())
            .word(32, 1)
            .word(40, length(context))
            .word(44, length(&context_out))
            .address(48, context.as_ptr())
            .address(56, context_out.as_mut_ptr());
        attributes.call(10).unwrap_or_else(|error| panic!("test run: {error}"));
        let word = |offset: usize| u32::from_ne_bytes(attributes.0[offset..offset + 4].try_into().expect("four bytes"));
        packet_out.truncate(word(12) as usize);
        packet_out.drain(..before);
        Outcome { returned: word(4), packet: packet_out, context: context_out }
    }

    /// The descriptor of a map, which is what an entry of a map of maps takes.
    pub fn descriptor(&self, map: usize) -> [u8; 4] {
        self.maps[map].to_ne_bytes()
    }

    /// The descriptor of the program, which is what an entry of a prog array takes.
    pub fn program(&self) -> [u8; 4] {
        self.program.to_ne_bytes()
    }

    /// The records of a ring buffer that nobody read yet.
    pub fn drain(&self, map: usize) -> Vec<Vec<u8>> {
        let size = self.shapes[map].max_entries as usize;
        let page = 4096;
        let open = |length: usize, protection: libc::c_int, offset: usize| {
            let offset = libc::off_t::try_from(offset).expect("small");
            // SAFETY: a new mapping of the ring, unmapped below.
            let base = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, self.maps[map], offset) };
            assert!(base != libc::MAP_FAILED, "no mapping of the ring: {}", std::io::Error::last_os_error());
            base
        };
        let consumer = open(page, libc::PROT_READ | libc::PROT_WRITE, 0);
        let data = open(page + 2 * size, libc::PROT_READ, page);
        let mut records = Vec::new();
        // SAFETY: both positions are eight bytes at the start of their pages, and every record lies in the data that are mapped twice.
        unsafe {
            let produced = data.cast::<u64>().read_volatile();
            let mut position = consumer.cast::<u64>().read_volatile();
            while position < produced {
                let record = data.byte_add(page + usize::try_from(position).expect("small") % size);
                let header = record.cast::<u32>().read_volatile();
                let length = (header & 0x3fff_ffff) as usize;
                if header >> 30 == 0 {
                    records.push(std::slice::from_raw_parts(record.byte_add(8).cast::<u8>(), length).to_vec());
                }
                position += (length as u64 + 8).next_multiple_of(8);
            }
            consumer.cast::<u64>().write_volatile(position);
            libc::munmap(consumer, page);
            libc::munmap(data, page + 2 * size);
        }
        records
    }

    /// A map operation by the command's number; the error is Linux's.
    pub fn operate(&self, command: libc::c_int, map: usize, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), i32> {
        Attributes::new()
            .word(0, self.maps[map].cast_unsigned())
            .address(8, if key.is_empty() { std::ptr::null() } else { key.as_ptr() })
            .address(16, value.as_mut_ptr())
            .long(24, flags)
            .call(command)
            .map(|_| ())
            .map_err(|error| error.raw_os_error().unwrap_or(0))
    }

    /// A map's value; per-CPU maps answer the sum over the CPUs of each eight bytes, as only one CPU has run.
    pub fn lookup(&self, map: usize, key: &[u8]) -> Option<Vec<u8>> {
        let size = self.shapes[map].value_size;
        let stride = size.next_multiple_of(8);
        let is_per_cpu = matches!(self.shapes[map].kind, MapKind::PerCpuArray | MapKind::PerCpuHash | MapKind::LruPerCpuHash);
        let mut value = vec![0_u8; if is_per_cpu { stride * 1024 } else { stride }];
        let key = if key.is_empty() { std::ptr::null() } else { key.as_ptr() };
        Attributes::new().word(0, self.maps[map].cast_unsigned()).address(8, key).address(16, value.as_mut_ptr()).call(1).ok()?;
        let merged = (0..size).map(|byte| value.iter().skip(byte).step_by(stride).fold(0, |all, one| all | one)).collect();
        Some(if is_per_cpu { merged } else { value[..size].to_vec() })
    }

    /// Removes a key; whether it was there.
    pub fn delete(&self, map: usize, key: &[u8]) -> bool {
        pin_to_one_cpu();
        let deleted = Attributes::new().word(0, self.maps[map].cast_unsigned()).address(8, key.as_ptr()).call(3);
        deleted.map_err(|error| assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "delete: {error}")).is_ok()
    }

    /// Sets a map's value; of a per-CPU map that of CPU 0, the others to zero.
    pub fn update_all(&self, map: usize, key: &[u8], value: &[u8]) {
        pin_to_one_cpu();
        // As many CPUs as there may be.
        let room = [value, &vec![0; 1024 * value.len().next_multiple_of(8)]].concat();
        self.update(map, key, &room);
    }

    /// Sets a map's value.
    pub fn update(&self, map: usize, key: &[u8], value: &[u8]) {
        Attributes::new()
            .word(0, self.maps[map].cast_unsigned())
            .address(8, key.as_ptr())
            .address(16, value.as_ptr())
            .long(24, 0)
            .call(2)
            .unwrap_or_else(|error| panic!("update: {error}"));
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for descriptor in self.maps.iter().chain([&self.program]) {
            // SAFETY: the descriptors are this struct's own.
            unsafe { libc::close(*descriptor) };
        }
    }
}

/// Per-CPU maps have one place if all runs are on one CPU.
pub fn pin_to_one_cpu() {
    // SAFETY: an all-zero set is a valid one, and the call reads only it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of_val(&set), &raw const set);
    }
}

fn skip() -> Option<Kernel> {
    trial::missing("no right to load BPF programs (CAP_BPF, CAP_NET_ADMIN)");
    None
}
