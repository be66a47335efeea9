//! See `treeline_sim::exercise::model`.
#![no_main]

use treeline_lab::exercise::insist;
use treeline_sim::exercise::model::model;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(model(bytes)));
