//! See `treeline_sim::exercise::packet`.
#![no_main]

use treeline_lab::exercise::insist;
use treeline_sim::exercise::packet::packet;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(packet(bytes)));
