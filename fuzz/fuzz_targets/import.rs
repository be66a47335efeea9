//! See `treeline_sim::exercise::import`.
#![no_main]

use treeline_lab::exercise::insist;
use treeline_sim::exercise::import::import;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(import(bytes)));
