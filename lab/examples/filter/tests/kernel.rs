//! The filter in the kernel beside the VM. The trial is listed as ignored, with the reason, where programs may not be loaded; with `CI`
//! set that is a failure.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use treeline_example_filter::{OBJECT, datagram};
use treeline_lab::Frame;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::lab::{Engine, LabError, Machine, kernel};
use treeline_lab::vm::Object;

fn main() -> ExitCode {
    let trials = vec![Trial::ignorable_test("the_kernel_does_the_same", the_kernel_does_the_same)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn the_kernel_does_the_same() -> Result<Completion, Failed> {
    let object = Object::parse(OBJECT, &ReadOptions::default())?;
    let mut kernel = match kernel::Machine::new(&object, "filter") {
        Ok(kernel) => kernel,
        Err(error @ LabError::Unavailable { .. }) if std::env::var_os("CI").is_none() => return Ok(Completion::ignored_with(error)),
        Err(error) => return Err(error.into()),
    };
    let mut vm = Machine::new(&object, "filter")?;
    for (index, port) in (0..).zip([53, 54, 53]) {
        let frame = Frame { index, bytes: datagram([198, 18, 0, 1], port), ..Frame::default() };
        assert_eq!(vm.run(&frame)?, kernel.run(&frame)?);
    }
    assert_eq!(vm.entries(1)?, kernel.entries(1)?);
    Ok(Completion::Completed)
}
