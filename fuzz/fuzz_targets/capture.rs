//! See `treeline_lab::exercise::capture`.
#![no_main]

use treeline_lab::exercise::{capture::capture, insist};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(capture(bytes)));
