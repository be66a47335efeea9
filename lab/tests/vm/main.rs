//! The VM against the kernel, against its own promises, and against the bugs of the engine below it.

#[macro_use]
extern crate treeline_trial;

mod arithmetic;
mod atomic;
mod bounds;
mod call;
mod callback;
mod code;
mod context;
mod document;
mod dynamic;
mod element;
mod helper;
mod kernel;
mod map;
mod object;
mod record;
mod reference;
mod refusal;
mod regression;
mod robustness;
mod route;
mod sequence;
mod spill;
mod spot;
mod stress;
mod tail;
mod text;
#[path = "../../../trial/harness.rs"]
mod trial;
mod unlinked;
mod unwritten;

fn main() -> std::process::ExitCode {
    trial::main()
}
