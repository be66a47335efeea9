//! The kernel as a second opinion on bare bytecode.
//!
//! Without the right to load programs a test goes on with what it can check without the kernel, and is reported as ignored.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd};

use rustix::thread::{CpuSet, sched_setaffinity};
use treeline_lab::bpf::{Hook, MapKind, Object, Shape};
use treeline_lab::kernel::map::Entries;
use treeline_lab::kernel::record::Ring;
use treeline_lab::kernel::run::{Runner, repeated};
use treeline_lab::kernel::{KernelError, Log, Programs};

use crate::trial;

const NAME: &str = "test";
/// `BPF_F_RDONLY_PROG`.
const READ_ONLY: u32 = 128;

/// A program of one test and its maps.
pub struct Kernel {
    hook: Hook,
    programs: Programs,
    entries: Vec<Option<RefCell<Entries>>>,
    shapes: Vec<Shape>,
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
        match loaded(hook, bytecode, shapes, constants) {
            Ok(programs) => {
                let keyless = |shape: &Shape| matches!(shape.kind, MapKind::RingBuf);
                let entries = |shape: &Shape| programs.entries(&shape.name).expect("one of its maps");
                let entries = shapes.iter().map(|shape| (!keyless(shape)).then(|| RefCell::new(entries(shape)))).collect();
                Some(Ok(Self { hook, programs, entries, shapes: shapes.to_vec() }))
            }
            Err(KernelError::Right { .. }) => skip().map(Ok),
            Err(KernelError::Rejected { rejection, .. }) => Some(Err(format!("{}\n{}", rejection.error, rejection.log))),
            Err(error) => panic!("{test}: {error}"),
        }
    }

    /// Whether the kernel gives the hook the helper that this program calls. `None`: no right to ask.
    pub fn has_helper(hook: Hook, bytecode: &[u8]) -> Option<bool> {
        match loaded(hook, bytecode, &[], &[]) {
            Ok(_) => Some(true),
            Err(KernelError::Rejected { rejection, .. }) => {
                Some(!rejection.log.contains("cannot use helper") && !rejection.log.contains("unknown func"))
            }
            Err(error) => not_asked(&error),
        }
    }

    /// Whether the kernel loads a program without maps. `None`: no right to ask.
    pub fn accepts(hook: Hook, bytecode: &[u8]) -> Option<bool> {
        match loaded(hook, bytecode, &[], &[]) {
            Ok(_) => Some(true),
            Err(KernelError::Rejected { .. }) => Some(false),
            Err(error) => not_asked(&error),
        }
    }

    /// One run over a packet; the result is the lower half of r0.
    pub fn run(&self, packet: &[u8]) -> u32 {
        pin_to_one_cpu();
        let program = self.programs.program(NAME).expect("it was loaded");
        repeated(program.fd.as_fd(), packet, 1).unwrap_or_else(|error| panic!("test run: {error}")).0
    }

    /// One run over a packet with a context, and all that it shows.
    pub fn run_with(&self, packet: &[u8], context: &[u8]) -> Outcome {
        pin_to_one_cpu();
        let program = self.programs.program(NAME).expect("it was loaded");
        let mut runner = Runner::new(self.hook);
        let ran = runner.run_with(program.fd.as_fd(), packet, context).unwrap_or_else(|error| panic!("test run: {error}"));
        Outcome { returned: ran.returned, packet: ran.data.to_vec(), context: ran.context.expect("given").to_vec() }
    }

    /// The descriptor of a map, which is what an entry of a map of maps takes.
    pub fn descriptor(&self, map: usize) -> [u8; 4] {
        self.programs.maps().maps[map].fd.as_raw_fd().to_ne_bytes()
    }

    /// The descriptor of the program, which is what an entry of a prog array takes.
    pub fn program(&self) -> [u8; 4] {
        self.programs.program(NAME).expect("it was loaded").fd.as_raw_fd().to_ne_bytes()
    }

    /// The records of a ring buffer that nobody read yet.
    pub fn drain(&self, map: usize) -> Vec<Vec<u8>> {
        let loaded = &self.programs.maps().maps[map];
        Ring::new(loaded.fd.as_fd(), self.shapes[map].max_entries as usize).expect("a ring buffer").drain()
    }

    fn entries(&self, map: usize) -> std::cell::RefMut<'_, Entries> {
        self.entries[map].as_ref().expect("a map of entries").borrow_mut()
    }

    /// Puts a value under a key, in a per-CPU map for every CPU; the error is Linux's.
    pub fn put(&self, map: usize, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        pin_to_one_cpu();
        self.entries(map).put(key, value, flags).map_err(|error| error.raw_os_error().unwrap_or(0))
    }

    /// Sets a map's value.
    pub fn update(&self, map: usize, key: &[u8], value: &[u8]) {
        self.put(map, key, value, 0).unwrap_or_else(|errno| panic!("update: {errno}"));
    }

    /// A map's value; of a per-CPU map that of the CPU on which all runs are.
    pub fn lookup(&self, map: usize, key: &[u8]) -> Option<Vec<u8>> {
        self.entries(map).value(key).ok().flatten()
    }

    /// Removes a key; whether it was there.
    pub fn delete(&self, map: usize, key: &[u8]) -> bool {
        pin_to_one_cpu();
        self.entries(map).remove(key).unwrap_or_else(|error| panic!("delete: {error}"))
    }
}

fn loaded(hook: Hook, bytecode: &[u8], shapes: &[Shape], constants: &[(usize, &[u8])]) -> Result<Programs, KernelError> {
    let mut object = Object::from_bytecode(NAME, hook, bytecode, shapes)?;
    for (position, bytes) in constants {
        let map = &mut object.maps_mut()[*position];
        map.flags |= READ_ONLY;
        map.data = bytes.to_vec();
    }
    let mut programs = Programs::new(object)?;
    programs.load_logged(NAME, Log::Full)?;
    Ok(programs)
}

/// Per-CPU maps have one place if all runs are on one CPU.
pub fn pin_to_one_cpu() {
    let mut first = CpuSet::new();
    first.set(0);
    let _ = sched_setaffinity(None, &first);
}

fn not_asked(error: &KernelError) -> Option<bool> {
    assert!(matches!(error, KernelError::Right { .. }), "{error}");
    skip().map(|_| true)
}

fn skip() -> Option<Kernel> {
    trial::missing("no right to load BPF programs (CAP_BPF, CAP_NET_ADMIN)");
    None
}
