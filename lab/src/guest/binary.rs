//! The guest's one program: a static binary, given, found, or built from the source tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::GuestError;
use super::error::io;

/// The environment's name for a binary to use.
pub const VARIABLE: &str = "TREELINE_GUEST";
/// The binary's name, beside the command or in the source tree.
const NAME: &str = "treeline-guest";
/// What it is built for: a target of its own, so that static linking is not asked of build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "guest";

/// The binary's bytes: of the file `given`, of the one that the environment names, of one beside this program, or of the source tree, built
/// if it is not up to date. `progress` is told what takes time.
pub fn read(given: Option<&Path>, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>, GuestError> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => find(progress)?,
    };
    let bytes = fs::read(&path).map_err(io(path.display().to_string()))?;
    if bytes.starts_with(b"\x7fELF") { Ok(bytes) } else { Err(missing(format!("{}: not a program", path.display()))) }
}

fn find(progress: &mut dyn FnMut(&str)) -> Result<PathBuf, GuestError> {
    if let Some(path) = env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().filter(|tree| tree.join("guest/Cargo.toml").exists());
    if let Some(tree) = tree {
        return build(tree, progress);
    }
    let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join(NAME)));
    beside.filter(|path| path.is_file()).ok_or_else(|| missing(format!("there is no {NAME} beside this program and no source tree")))
}

/// Builds it: nothing to do and a fraction of a second where it is up to date.
fn build(tree: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, GuestError> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| tree.join("target"), |folder| tree.join(folder));
    let path = target.join(TARGET).join(PROFILE).join(NAME);
    if !path.exists() {
        progress("building the guest init, once (about a minute)");
    }
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", NAME, "--profile", PROFILE, "--target", TARGET])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(tree)
        .output()
        .map_err(|error| missing(format!("cargo: {error}")))?;
    if output.status.success() {
        return Ok(path);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(missing(format!("cargo cannot build {NAME}:\n{}", complaint.trim_end())))
}

fn missing(reason: String) -> GuestError {
    GuestError::Binary { reason }
}
