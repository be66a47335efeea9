//! See `treeline_sim::exercise::sequence`.
#![no_main]

use treeline_sim::exercise::{insist, sequence::sequence};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(sequence(bytes)));
