//! The kernel's side: the case's program with maps of its own.

use std::os::fd::AsFd;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::{Case, maps};
use crate::bpf::{Hook, Insn, Object};
use crate::kernel::map::Entries;
use crate::kernel::run::Runner;
use crate::kernel::{KernelError, Log, Programs};

/// The name of a case's program.
pub(super) const NAME: &str = "program";

const RETURN_0: Insn = Insn { opc: 0xb7, dst: 0, src: 0, off: 0, imm: 0 };
const EXIT: Insn = Insn { opc: 0x95, dst: 0, src: 0, off: 0, imm: 0 };

/// The right to load programs, tested.
#[derive(Debug)]
pub struct Kernel(());

/// A loaded program with its maps.
#[derive(Debug)]
pub struct Loaded {
    programs: Programs,
    runner: Runner,
    maps: Vec<Entries>,
}

impl Kernel {
    /// Asks the kernel for a map and a program, and stays on one CPU from here on: the programs read its number, which is 0 in the VM.
    pub fn new() -> Result<Self, KernelError> {
        let probe = Case {
            hook: Hook::Xdp,
            instructions: vec![RETURN_0, EXIT],
            functions: vec![0],
            cell: vec![0; maps()[0].value_size],
            packets: Vec::new(),
        };
        let mut first = CpuSet::new();
        first.set(0);
        let _ = sched_setaffinity(None, &first);
        let kernel = Self(());
        kernel.load(&probe).map(|_| kernel)
    }

    /// Loads a case's program with fresh maps.
    #[expect(clippy::unused_self, reason = "the right to load")]
    pub(super) fn load(&self, case: &Case) -> Result<Loaded, KernelError> {
        let maps = maps();
        let mut programs = Programs::new(Object::from_bytecode(NAME, case.hook, &case.bytecode(), &maps)?)?;
        let mut maps = maps.iter().map(|map| programs.entries(&map.name)).collect::<Result<Vec<_>, _>>()?;
        maps[0].put(&[0; 4], &case.cell, 0).map_err(|source| KernelError::Load { program: NAME.to_owned(), source })?;
        programs.load_logged(NAME, Log::Full)?;
        Ok(Loaded { programs, runner: Runner::bare(case.hook), maps })
    }
}

impl Loaded {
    /// One run over a packet: what it returned, and the packet afterwards.
    pub(super) fn run(&mut self, packet: &[u8]) -> (u32, Vec<u8>) {
        let program = self.programs.program(NAME).expect("it was loaded");
        let ran = self.runner.run(program.fd.as_fd(), packet).unwrap_or_else(|error| panic!("the kernel's test run: {error}"));
        (ran.returned, ran.data.to_vec())
    }

    /// The value under a key.
    pub(super) fn lookup(&mut self, map: usize, key: u32) -> Option<Vec<u8>> {
        self.maps[map].value(&key.to_ne_bytes()).ok().flatten()
    }
}
