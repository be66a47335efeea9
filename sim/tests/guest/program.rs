//! Anybody's programs in another kernel: the lab's own objects, against the vm.

use std::cell::RefCell;
use std::rc::Rc;

use libtest_mimic::Failed;
use treeline_sim::bpf::Object;
use treeline_sim::capture::Capture;
use treeline_sim::guest::Machine;
use treeline_sim::guest::program::Program;
use treeline_sim::lab::{self, Engine, Job, LabError, Replay};
use treeline_sim::vm::{Hook, Options};

use super::support;

const LAB: &[u8] = include_bytes!("../objects/lab.bpf.o");
const LEGACY: &[u8] = include_bytes!("../objects/legacy.bpf.o");
const DIVERGE: &[u8] = include_bytes!("../objects/diverge.bpf.o");

const PROGRAMS: [(&[u8], &str, Hook); 4] =
    [(LAB, "xdp_lab", Hook::Xdp), (LAB, "tc_lab", Hook::Tc), (LAB, "socket_lab", Hook::Socket), (LEGACY, "xdp_legacy", Hook::Xdp)];
/// Frames of the capture: a guest's processor is emulated.
const FRAMES_COUNT: u64 = 120;

fn replay(machine: &Rc<RefCell<Machine>>, elf: &[u8], program: &str, hook: Hook) -> Result<lab::Summary, Failed> {
    let object = Object::parse(elf, &Options::default())?;
    let job = Job { elf: elf.to_vec(), program: program.to_owned(), ..Job::default() };
    let engines: Vec<Box<dyn Engine>> =
        vec![Box::new(lab::Machine::new(&object, program)?), Box::new(Program::new(machine.clone(), hook, &job)?)];
    let path = support::captures().into_iter().find(|path| path.ends_with("lab-portscan.pcap")).ok_or("the capture is gone")?;
    let replay = Replay::new(hook, &lab::Machine::maps(&object), engines, None);
    Ok(replay.run(&mut Capture::open(&path)?, FRAMES_COUNT, |_, _| (), |_| ())?)
}

/// The vm and the guest's kernel agree, a difference is found, and a program that is not there is refused in a line.
pub fn check(machine: &Rc<RefCell<Machine>>) -> Result<(), Failed> {
    for (elf, program, hook) in PROGRAMS {
        let summary = replay(machine, elf, program, hook)?;
        if !summary.is_clean() || summary.packets < FRAMES_COUNT / 2 {
            return Err(format!("{program}: {} packets, {:#?} {:?}", summary.packets, summary.divergence, summary.stop).into());
        }
    }
    let divergence = replay(machine, DIVERGE, "xdp_array", Hook::Xdp)?.divergence.ok_or("the difference was not found")?;
    assert_eq!((divergence.frame.index, divergence.entries.len()), (3, 1), "{divergence:#?}");
    let job = Job { elf: LAB.to_vec(), program: "nope".to_owned(), ..Job::default() };
    match Program::new(machine.clone(), Hook::Xdp, &job).err() {
        Some(LabError::Refused { engine, reason }) if engine.starts_with("kernel@") && reason.contains("no program `nope`") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}
