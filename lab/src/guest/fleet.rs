//! Lines -> running guests, each booted once; what cannot be had is a visible skip, and too many skips an error.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use super::emulator::Emulator;
use super::line::LINES_MIN;
use super::{Archive, GuestError, Image, Line, Machine, binary};

/// Guests that run, and why others do not.
#[derive(Debug, Default)]
pub struct Fleet {
    /// The machines, in the order asked for.
    pub machines: Vec<Rc<RefCell<Machine>>>,
    /// A text for each line that cannot be had.
    pub skipped: Vec<String>,
}

impl Fleet {
    /// Boots the lines' kernels, with the guest init `given` or the one that [`binary::read`] finds. Of [`LINES_MIN`] or more lines so many
    /// must be had, of fewer all.
    pub fn boot(lines: &[Line], given: Option<&Path>, progress: &mut dyn FnMut(&str)) -> Result<Self, GuestError> {
        let Parts { emulator, images, skipped, binary } = fetch(lines, given, progress)?;
        let boot = |image: &Image| {
            progress(&format!("booting {}", image.package));
            Ok(Rc::new(RefCell::new(Machine::boot(&emulator, image, &binary)?)))
        };
        Ok(Self { machines: images.iter().map(boot).collect::<Result<_, GuestError>>()?, skipped })
    }

    /// The machine of a line.
    #[must_use]
    pub fn machine(&self, line: Line) -> Option<&Rc<RefCell<Machine>>> {
        self.machines.iter().find(|machine| machine.borrow().line() == line)
    }
}

/// What machines are made from.
#[derive(Debug)]
pub struct Parts {
    /// QEMU.
    pub emulator: Emulator,
    /// The kernels, in the order asked for.
    pub images: Vec<Image>,
    /// A text for each line that cannot be had.
    pub skipped: Vec<String>,
    /// The guest init.
    pub binary: Vec<u8>,
}

/// Fetches and builds what is not there yet; the lines that must be there are those of [`Fleet::boot`].
pub fn fetch(lines: &[Line], given: Option<&Path>, progress: &mut dyn FnMut(&str)) -> Result<Parts, GuestError> {
    let binary = binary::read(given, progress)?;
    let mut archive = Archive::open()?;
    let emulator = Emulator::find(&archive, progress)?;
    let (mut images, mut skipped) = (vec![], vec![]);
    for &line in lines {
        match archive.kernel(line, progress) {
            Ok(image) => images.push(image),
            Err(error @ GuestError::Missing { .. }) if lines.len() > LINES_MIN => skipped.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    if images.len() < lines.len().min(LINES_MIN) {
        let reason = format!("{LINES_MIN} of the kernels asked for must be had; missing are: {}", skipped.join("; "));
        return Err(GuestError::Missing { line: lines.iter().map(Line::to_string).collect::<Vec<_>>().join(","), reason });
    }
    Ok(Parts { emulator, images, skipped, binary })
}
