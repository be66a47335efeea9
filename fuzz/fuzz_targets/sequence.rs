//! See `treeline_sim::exercise::sequence`.
#![no_main]

use treeline_lab::exercise::insist;
use treeline_sim::exercise::sequence::sequence;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(sequence(bytes)));
