//! Where the maps that outlive a program are found by name: on a BPF file system, so that a program with another model can be loaded over them.
//!
//! Pinned, it is a folder that outlives the process. Otherwise it is a file system of this process alone, mounted nowhere, which ends with it.
//! (aya shares a map between two loads by its name on such a file system.)

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use treeline_lab::kernel::syscall;

use super::map::SHARED;

/// Magic number of a BPF file system.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
/// Where most systems have one.
const BPF_FS: &str = "/sys/fs/bpf";
/// How the names of links begin.
pub const LINK: &str = "link-";

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
    /// An instance's folder of pins; made if that is on a file system for BPF, else nothing is.
    pub fn pinned(path: &Path) -> Result<Self, String> {
        let folder = path.parent().unwrap_or(path);
        let failed = |error: io::Error| format!("--pin {}: {error}", folder.display());
        let there = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
        let found = rustix::fs::statfs(there).map_err(|error| failed(error.into()))?;
        if found.f_type != BPF_FS_MAGIC {
            // Where everybody has it, or where it was asked for.
            let place = if folder.starts_with(BPF_FS) { Path::new(BPF_FS) } else { folder };
            let make = if place.exists() { String::new() } else { format!("mkdir -p {} && ", place.display()) };
            return Err(format!(
                "--pin {}: not on a BPF file system; mount one ({make}mount -t bpf bpf {}), or name a folder on one",
                folder.display(),
                place.display()
            ));
        }
        fs::create_dir_all(path).map_err(failed)?;
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
            Self::Pinned(path) => Ok(path.join(escaped(name))),
            Self::Private(mount) => Ok(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd()).into()),
            Self::None(reason) => Err(reason),
        }
    }

    /// Whether what is in it outlives the process.
    pub fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned(_))
    }
}

/// A name as such a file system takes it: it has no dots, which interfaces of VLANs have.
pub fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('.', "%2e")
}

/// The indices of the interfaces where links that are pinned in the folder hold programs. A link whose interface is gone holds none, whatever
/// has its name now.
pub fn attached(path: &Path) -> Vec<u32> {
    let interface = |path: PathBuf| -> Option<u32> {
        let link = syscall::pinned(&path).ok()?;
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd())).ok()?;
        text.lines().find_map(|line| line.strip_prefix("ifindex:")?.trim().parse().ok())
    };
    let links = ours(path).unwrap_or_default().into_iter().filter(|path| is_link(path));
    links.filter_map(interface).filter(|index| *index != 0).collect()
}

fn is_link(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(LINK))
}

/// What an instance has pinned in the folder.
fn ours(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Vec<_> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let is_map = |path: &Path| SHARED.iter().any(|name| path.file_name().is_some_and(|file| file == *name));
    Ok(entries.into_iter().filter(|path| is_link(path) || is_map(path)).collect())
}

/// Removes what an instance has pinned in a folder, the folder if nothing else is in it, and its parent likewise. Programs are detached when it
/// returns: of a link that is removed alone, the kernel would detach some time later.
pub fn remove(path: &Path) -> Result<(), String> {
    let failed = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    for path in ours(path).map_err(|error| failed(path, &error))? {
        if is_link(&path) {
            // What cannot be detached so, is by its removal.
            let _ = syscall::pinned(&path).and_then(|link| syscall::detach(link.as_fd()));
        }
        fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(failed(path, &error)),
        _ => {}
    }
    if let Some(parent) = path.parent().filter(|parent| parent.ends_with("treeline")) {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}
