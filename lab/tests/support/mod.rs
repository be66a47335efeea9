//! The captures that suites replay.

#![allow(dead_code, reason = "each suite uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use treeline_lab::capture::Capture;

/// The committed captures, by name.
pub fn captures() -> Vec<PathBuf> {
    let mut captures = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures"));
    captures.retain(|path| path.to_string_lossy().contains(".pcap"));
    assert!(!captures.is_empty(), "testdata/captures is empty");
    captures
}

/// The committed capture of that name.
pub fn capture(wanted: &str) -> PathBuf {
    captures().into_iter().find(|path| name(path) == wanted).unwrap_or_else(|| panic!("no capture {wanted}"))
}

/// The captures below `$TREELINE_CAPTURES` that can be opened, by name; none if it is unset.
pub fn other_captures() -> Option<Vec<PathBuf>> {
    let folder = PathBuf::from(std::env::var_os("TREELINE_CAPTURES")?);
    let mut captures: Vec<_> = ["robustness", "test", "train"].iter().flat_map(|part| files(&folder.join(part))).collect();
    captures.retain(|path| Capture::open(path).is_ok());
    assert!(!captures.is_empty(), "no captures below {}", folder.display());
    Some(captures)
}

/// A capture's name without its endings.
pub fn name(path: &Path) -> String {
    let name = path.file_name().expect("a file").to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// The files in a folder, by name.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
