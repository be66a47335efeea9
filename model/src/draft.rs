//! A file that has its name only when it is complete, so that whoever reads the path, also after a crash, finds the old file or the new one.
//!
//! Until then it has no name at all (`O_TMPFILE`): a process that is killed leaves nothing behind, without a handler for any signal. Where the
//! file system cannot do that, the file is a hidden one beside its place, which an error removes and a kill does not.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;
use tempfile::{Builder, TempPath};

/// A file on its way to its name. Dropped before [`finish`](Draft::finish), it was never there.
#[derive(Debug)]
pub struct Draft {
    file: File,
    path: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    Unnamed,
    Hidden(TempPath),
    /// What is no ordinary file, such as a pipe, is written to directly.
    Special,
}

impl Draft {
    /// Begins the file at `path`; a link there stays one, and leads to the new file. Fails if its folder takes no file.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder is there; give the name of a file"));
        }
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(path)?;
            return Ok(Self { file, path: path.to_owned(), state: State::Special });
        }
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !folder(&path).is_dir() {
            let reason = format!("there is no folder {}; create it first", folder(&path).display());
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        if let Some(file) = unnamed(folder(&path))? {
            return Ok(Self { file, path, state: State::Unnamed });
        }
        let (file, hidden) = hidden().tempfile_in(folder(&path))?.into_parts();
        Ok(Self { file, path, state: State::Hidden(hidden) })
    }

    /// Gives the file its name, replacing one that is there, when all of it is on the disk.
    pub fn finish(self) -> io::Result<()> {
        let Self { file, path, state } = self;
        match state {
            State::Special => return Ok(()),
            State::Hidden(hidden) => {
                file.sync_all()?;
                hidden.persist(path)?;
            }
            State::Unnamed => {
                file.sync_all()?;
                match name(&file, &path) {
                    // A link replaces nothing: under another name first, from where a rename does.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        hidden().make_in(folder(&path), |hidden| name(&file, hidden))?.into_temp_path().persist(path)?;
                    }
                    named => named?,
                }
            }
        }
        Ok(())
    }

    /// Puts `content` into the file at `path` in one step.
    pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
        let mut draft = Self::create(path)?;
        draft.write_all(content)?;
        draft.finish()
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Permissions as any other file's: the process's mask decides.
fn hidden() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".treeline-").permissions(fs::Permissions::from_mode(0o666));
    builder
}

/// A file without a name in `folder`; none where the file system has no such files, or [`name`] could not give it one.
fn unnamed(folder: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match open(folder, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => Ok(Some(File::from(file)).filter(|file| fs::metadata(handle(file)).is_ok())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn name(file: &File, path: &Path) -> io::Result<()> {
    Ok(linkat(CWD, handle(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

/// Where the process finds its own open file.
fn handle(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        entries.collect()
    }

    #[test]
    fn a_draft_has_its_name_only_when_it_is_finished() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        for text in ["first", "second"] {
            let before = names(folder.path());
            let mut draft = Draft::create(&path).expect("created");
            draft.write_all(text.as_bytes()).expect("written");
            assert_eq!(names(folder.path()), before, "nothing shows of a draft");
            draft.finish().expect("finished");
            assert_eq!(fs::read_to_string(&path).expect("a file"), text);
            assert_eq!(names(folder.path()), ["out"]);
        }
        let mut dropped = Draft::create(&path).expect("created");
        dropped.write_all(b"third").expect("written");
        drop(dropped);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "second");
    }

    #[test]
    fn without_unnamed_files_a_draft_is_a_hidden_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let (file, beside) = hidden().tempfile_in(folder.path()).expect("a file").into_parts();
        let mut draft = Draft { file, path: path.clone(), state: State::Hidden(beside) };
        draft.write_all(b"text").expect("written");
        draft.finish().expect("finished");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "text");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_place_that_takes_no_file_is_refused_with_what_to_do() {
        let refused = |path: &Path| Draft::create(path).expect_err("refused").to_string();
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(refused(folder.path()), "a folder is there; give the name of a file");
        let missing = folder.path().join("missing");
        assert_eq!(refused(&missing.join("out")), format!("there is no folder {}; create it first", missing.display()));
    }

    #[test]
    fn a_link_stays_one_and_a_device_is_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        Draft::write(&link, b"new").expect("written");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("a file"), "new");
        Draft::write(Path::new("/dev/null"), b"lost").expect("written");
    }
}
