//! The VM against the kernel, against its own promises, and against the bugs of the engine below it.

mod arithmetic;
mod atomic;
mod bounds;
mod call;
mod callback;
mod code;
mod context;
mod document;
mod dynamic;
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
mod stress;
mod tail;
mod text;
mod types;
mod unlinked;
mod unwritten;
