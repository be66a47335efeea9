//! Where the maps that outlive a program are found by name: on a BPF file system, so that a program with another model can be loaded over them.
//!
//! Pinned, it is a folder that outlives the process. Otherwise it is a file system of this process alone, mounted nowhere, which ends with it.
//! (aya shares a map between two loads by its name on such a file system.)

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Magic number of a BPF file system.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// A folder for maps and links.
#[derive(Debug)]
pub enum Folder {
    /// Pins.
    Pinned(PathBuf),
    /// This process's own.
    Private(OwnedFd),
    /// None: a system or rights without one. The model cannot be swapped then.
    None(String),
}

impl Folder {
    /// The folder of pins at `path`; made if its file system is one for BPF.
    pub fn pinned(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("--pin {}: {error}", path.display());
        fs::create_dir_all(path).map_err(failed)?;
        let found = rustix::fs::statfs(path).map_err(|error| failed(error.into()))?;
        if found.f_type != BPF_FS_MAGIC {
            // Only what was made here: neither of the two has anything in it.
            let _ = fs::remove_dir(path);
            let _ = path.parent().map(fs::remove_dir);
            return Err(format!(
                "--pin {}: not on a BPF file system; mount one (mount -t bpf bpf /sys/fs/bpf) or name a folder on one",
                path.display()
            ));
        }
        Ok(Self::Pinned(path.to_owned()))
    }

    /// A file system of this process's own, where that can be had.
    pub fn private() -> Self {
        let mounted = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        });
        match mounted {
            Ok(mount) => Self::Private(mount),
            Err(error) => {
                Self::None(format!("a model can only be swapped with --pin, or with CAP_SYS_ADMIN (a BPF file system of its own: {error})"))
            }
        }
    }

    /// The path of `name` in it, or why there is none.
    pub fn path(&self, name: &str) -> Result<PathBuf, &str> {
        match self {
            Self::Pinned(path) => Ok(path.join(name)),
            Self::Private(mount) => Ok(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd()).into()),
            Self::None(reason) => Err(reason),
        }
    }

    /// Whether what is in it outlives the process.
    pub fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned(_))
    }
}

/// Removes a folder of pins with what is in it, and its parent if that is empty then. Links that are only pinned detach.
pub fn remove(path: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        fs::remove_file(&entry).map_err(|error| format!("{}: {error}", entry.display()))?;
    }
    fs::remove_dir(path).map_err(failed)?;
    if let Some(parent) = path.parent().filter(|parent| parent.ends_with("treeline")) {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}
