//! Programs in other kernels, in QEMU: the lab's own objects, against the vm.
//!
//! It needs no privileges. A series of kernels that cannot be had is an ignored trial with its reason.

mod support;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use libtest_mimic::{Arguments, Failed, Trial};
use treeline_lab::bpf::ReadOptions;
use treeline_lab::bpf::{Job, Object};
use treeline_lab::capture::Capture;
use treeline_lab::guest::line::LINES;
use treeline_lab::guest::program::Program;
use treeline_lab::guest::{Machine, fleet};
use treeline_lab::lab::{self, Engine, LabError, Replay};
use treeline_lab::vm::Hook;

const LAB: &[u8] = include_bytes!("objects/lab.bpf.o");
const LEGACY: &[u8] = include_bytes!("objects/legacy.bpf.o");
const DIVERGE: &[u8] = include_bytes!("objects/diverge.bpf.o");

const PROGRAMS: [(&[u8], &str, Hook); 4] =
    [(LAB, "xdp_lab", Hook::Xdp), (LAB, "tc_lab", Hook::Tc), (LAB, "socket_lab", Hook::Socket), (LEGACY, "xdp_legacy", Hook::Xdp)];
/// Frames of the capture: a guest's CPU is emulated.
const FRAMES_COUNT: u64 = 120;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let name = |line: &dyn std::fmt::Display| format!("kernel@{line}_agrees_with_the_vm");
    let ignored = |line: &dyn std::fmt::Display| Trial::test(name(line), || Ok(())).with_ignored_flag(true);
    if arguments.list {
        return libtest_mimic::run(&arguments, LINES.iter().map(|line| ignored(line)).collect()).exit_code();
    }
    let trials = match fleet::fetch(&LINES, None, &mut |step| println!("{step}")) {
        Ok(parts) => {
            parts.skipped.iter().for_each(|reason| println!("ignored: {reason}"));
            let find = |line| parts.images.iter().find(|image| image.line == line).cloned();
            LINES.map(|line| match find(line) {
                Some(image) => {
                    let (emulator, binary) = (parts.emulator.clone(), parts.binary.clone());
                    Trial::test(name(&line), move || check(&Rc::new(RefCell::new(Machine::boot(&emulator, &image, &binary)?))))
                }
                None => ignored(&line),
            })
        }
        Err(error) => {
            println!("{} trials are ignored, there are no guests: {error}", LINES.len());
            LINES.map(|line| ignored(&line))
        }
    };
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn replay(machine: &Rc<RefCell<Machine>>, elf: &[u8], program: &str, hook: Hook) -> Result<lab::Summary, Failed> {
    let object = Object::parse(elf, &ReadOptions::default())?;
    let job = Job { elf: elf.to_vec(), program: program.to_owned(), ..Job::default() };
    let engines: Vec<Box<dyn Engine>> =
        vec![Box::new(lab::Machine::new(&object, program)?), Box::new(Program::new(machine.clone(), hook, &job)?)];
    let path = support::captures().into_iter().find(|path| path.ends_with("lab-portscan.pcap")).ok_or("the capture is gone")?;
    let replay = Replay::new(hook, &lab::Machine::maps(&object), engines, None);
    Ok(replay.run(&mut Capture::open(&path)?, FRAMES_COUNT, |_, _| (), |_| ())?)
}

/// The vm and the guest's kernel agree, a difference is found, and a program that is not there is refused in a line.
fn check(machine: &Rc<RefCell<Machine>>) -> Result<(), Failed> {
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
