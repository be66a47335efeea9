//! Standard output, with one rule: a reader that has seen enough (`| head`) is no fault, any other failure is. On standard error, none is.

use std::io::{self, Write};

/// Writes `text` there, and nothing of it stays in a buffer.
pub fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    finished(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Tells something on standard error, as a line of its own. Where nobody takes it, as on a full disk, the command goes on.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "treeline: {text}");
}

/// What writing there came to.
pub fn finished(result: io::Result<()>) -> Result<(), String> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
