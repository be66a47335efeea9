//! QEMU: the one in `PATH`, or Debian's packages unpacked into the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::archive::Apt;
use super::{Archive, GuestError};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// Where Debian's packages have libraries.
const LIBRARIES: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/qemu"];
/// And what the machine starts from.
const DATA: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// A QEMU for x86-64 that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    program: PathBuf,
    /// The folder that its packages were unpacked into, if it is not the system's.
    unpacked: Option<PathBuf>,
}

impl Emulator {
    /// The system's, or the cache's, fetched if it must be; `progress` is told what takes time.
    pub fn find(archive: &Archive, progress: &mut dyn FnMut(&str)) -> Result<Self, GuestError> {
        if let Some(program) = in_path() {
            return Ok(Self { program, unpacked: None });
        }
        let folder = archive.folder().join("qemu");
        let program = folder.join("usr/bin").join(PROGRAM);
        if !program.exists() {
            fetch(archive, &folder, progress).map_err(|reason| GuestError::Emulator { reason })?;
        }
        Ok(Self { program, unpacked: Some(folder) })
    }

    /// A command that starts it, its libraries and firmware found.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(folder) = &self.unpacked {
            let paths = LIBRARIES.map(|part| folder.join(part));
            command.env("LD_LIBRARY_PATH", env::join_paths(paths).unwrap_or_else(|_| OsString::new()));
            for part in DATA {
                command.arg("-L").arg(folder.join(part));
            }
        }
        command
    }
}

fn in_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
}

/// Unpacks the package and what it needs that this machine does not have.
fn fetch(archive: &Archive, folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let (Some(suite), Some("debian")) = (value("VERSION_CODENAME"), value("ID").as_deref()) else {
        return Err("it is not in PATH, and it is fetched on Debian only".to_owned());
    };
    let key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org";
    let sources = format!("deb {key}/debian {suite} main\ndeb {key}/debian-security {suite}-security main\n");
    let apt = Apt::new(&archive.folder().join("apt-qemu"), &sources)?;
    progress("fetching QEMU");
    apt.update()?;
    let packages = apt.closure(PACKAGE)?;
    let scratch = apt.scratch()?;
    apt.download(scratch.path(), &packages.iter().map(String::as_str).collect::<Vec<_>>())?;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let draft = folder.with_extension("draft");
    let _ = fs::remove_dir_all(&draft);
    for entry in fs::read_dir(scratch.path()).map_err(failed)? {
        let package = entry.map_err(failed)?.path();
        let status = Command::new("dpkg-deb").arg("-x").arg(&package).arg(&draft).status().map_err(failed)?;
        if !status.success() {
            return Err(format!("{}: dpkg-deb cannot unpack it", package.display()));
        }
    }
    let _ = fs::remove_dir_all(folder);
    fs::rename(&draft, folder).map_err(failed)
}
