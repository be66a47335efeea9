//! See `treeline_sim::exercise::map`.
#![no_main]

use treeline_sim::exercise::{insist, map::map};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(map(bytes)));
