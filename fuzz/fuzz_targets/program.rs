//! See `treeline_lab::exercise::program`: bytecode of any bytes, or a drawn program, in the kernel too where that is allowed.
#![no_main]

use std::sync::LazyLock;

use treeline_lab::exercise::insist;
use treeline_lab::exercise::program::{Kernel, program, raw};

static KERNEL: LazyLock<Option<Kernel>> = LazyLock::new(|| Kernel::new().ok());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| match bytes.split_first() {
    Some((first, rest)) if first & 1 == 0 => raw(rest),
    Some((_, rest)) => insist(program(rest, KERNEL.as_ref())),
    None => {}
});
