//! See `treeline_sim::exercise::capture`.
#![no_main]

use treeline_sim::exercise::{capture::capture, insist};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(capture(bytes)));
