//! The classifier in other kernels, in QEMU: against native on a capture at every hook, the tree walked and compiled; and what their verifiers
//! say.
//!
//! It needs no privileges. A series of kernels that cannot be had is an ignored trial with its reason. What a trial does not show: CPUs that meet, as a
//! guest has one, and more captures: a guest's CPU is emulated, and each load of the object takes it seconds.

mod cost;
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use libtest_mimic::{Arguments, Failed, Trial};
use treeline_lab::capture::Capture;
use treeline_lab::guest::emulator::Emulator;
use treeline_lab::guest::instance::Guest;
use treeline_lab::guest::line::LINES;
use treeline_lab::guest::{Image, Machine, fleet};
use treeline_sim::engine::kernel::Kernel;
use treeline_sim::engine::native::Native;
use treeline_sim::engine::{Engine, Hook};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let name = |line: &dyn std::fmt::Display| format!("kernel@{line}_agrees_with_native_and_verifies_at_the_snapshots_cost");
    let ignored = |line: &dyn std::fmt::Display| Trial::test(name(line), || Ok(())).with_ignored_flag(true);
    if arguments.list {
        return libtest_mimic::run(&arguments, LINES.iter().map(|line| ignored(line)).collect()).exit_code();
    }
    let trials = match fleet::fetch(&LINES, None, &mut |step| println!("{step}")) {
        Ok(parts) => {
            parts.skipped.iter().for_each(|reason| println!("ignored: {reason}"));
            let had = |image: Image, emulator: Emulator, binary: Vec<u8>| {
                Trial::ignorable_test(name(&image.line), move || {
                    let machine = Machine::boot(&emulator, &image, &binary)?.into();
                    agreement(&machine)?;
                    cost::check(&mut machine.0.borrow_mut())
                })
            };
            let find = |line| parts.images.iter().find(|image| image.line == line);
            LINES.map(|line| match find(line) {
                Some(image) => had(image.clone(), parts.emulator.clone(), parts.binary.clone()),
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

/// The machine, as engines share it.
struct Shared(Rc<RefCell<Machine>>);

impl From<Machine> for Shared {
    fn from(machine: Machine) -> Self {
        Self(Rc::new(RefCell::new(machine)))
    }
}

fn agreement(machine: &Shared) -> Result<(), Failed> {
    println!("{}", machine.0.borrow().package());
    let model = support::model();
    let path = support::captures().into_iter().find(|path| path.ends_with("lab-dos-slowloris.pcap")).ok_or("the capture is gone")?;
    for hook in Hook::ALL {
        let walked = support::settings(hook, support::enforced(), &model);
        let compiled = walked.clone().compiled(&model)?;
        for settings in [&walked, &compiled] {
            let engines: Vec<Box<dyn Engine>> =
                vec![Box::new(Native::new(settings)), Box::new(Kernel::on(Box::new(Guest(machine.0.clone())), settings)?)];
            let summary = support::replay(Capture::open(&path)?, engines, None);
            if let Some(divergence) = summary.divergence {
                return Err(format!("{}: {divergence}", hook.name()).into());
            }
        }
    }
    Ok(())
}
