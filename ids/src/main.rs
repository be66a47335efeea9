//! The command `treeline`.

fn main() {}
