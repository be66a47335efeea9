//! See `treeline_sim::exercise::model`.
#![no_main]

use treeline_sim::exercise::{insist, model::model};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| insist(model(bytes)));
