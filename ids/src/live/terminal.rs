//! The terminal that a run was started from, which decides what SIGHUP means: the end of the run when that terminal vanished, otherwise
//! that the file of alerts is to be opened again.

use std::fs::{self, File};

/// A controlling terminal, as long as there is one.
#[derive(Debug)]
pub struct Terminal {
    held: bool,
    /// Looks in a row that did not find it.
    missed_count: u8,
}

impl Terminal {
    /// The terminal of this process. A run that was started to ignore SIGHUP (`nohup`) has none.
    pub fn of_process() -> Self {
        Self { held: !ignores_hangup() && exists(), missed_count: 0 }
    }

    /// Whether a SIGHUP that just came means that the terminal vanished.
    pub fn hung_up(&self) -> bool {
        self.held && !exists()
    }

    /// To be called from time to time. A run whose terminal vanished without ending it (`disown`, `setsid`) has none from then on.
    pub fn look(&mut self) {
        // The signal follows the terminal's end at once, but not in the same moment: the first look may fall between the two.
        self.missed_count = if self.held && !exists() { self.missed_count + 1 } else { 0 };
        self.held &= self.missed_count < 2;
    }
}

/// Whether this process has a controlling terminal: the kernel opens it under this name, or finds none.
fn exists() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored. To be asked before a handler is registered.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}
