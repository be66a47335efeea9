//! See `treeline_lab::exercise::map`.
#![no_main]

use treeline_lab::exercise::{insist, map::map};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(map(bytes)));
