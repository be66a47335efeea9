//! The init of a kernel in QEMU: host's request -> reply, until the machine is switched off.
//!
//! What it does is in `treeline-lab`. Not here: starting the machine (`treeline_lab::guest`).

mod port;

mod program;

mod serve;

mod system;

use treeline_lab::guest::message::{PROTOCOL, Reply, Request};

use port::Port;
use serve::Session;

fn main() {
    // The console shows why; nothing comes after init, so the kernel then panics, and the host sees the machine end.
    if let Err(reason) = run() {
        eprintln!("treeline-guest: {reason}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    system::prepare()?;
    let mut port = Port::open()?;
    let release = system::release();
    port.write(&Reply::Up { protocol: PROTOCOL, release })?;
    let mut session = Session::default();
    loop {
        let reply = match Request::from_bytes(&port.read()?) {
            Ok(request) => session.answer(request),
            Err(error) => Reply::Refused(error.to_string()),
        };
        port.write(&reply)?;
    }
}
