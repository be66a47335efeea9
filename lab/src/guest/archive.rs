//! Line -> a kernel's image: Debian's newest cloud kernel of it, kept in the user's cache.
//!
//! apt fetches and checks what it fetches, under a configuration of its own: its sources, lists and downloads lie in the cache, so neither
//! rights nor the machine's own sources matter. A kernel is asked for again when a week has passed; where the archive then cannot be reached
//! the kept one serves.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::error::io;
use super::{GuestError, Line};

/// Where the lines' kernels are: the security updates of each maintained release, and the newest release's backports.
const SOURCES: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bullseye-security main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security trixie-security main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie-backports main
";
/// The packages' signatures are checked with it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// After this a kept kernel is asked for again.
const AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// Seconds that apt waits for a server.
const TIMEOUT_S: u32 = 20;

/// A kernel's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The line.
    pub line: Line,
    /// The file that QEMU starts.
    pub path: PathBuf,
    /// Debian's package and its version, with a space between.
    pub package: String,
}

/// What has been fetched so far, in `$XDG_CACHE_HOME/treeline/kernels`.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    /// Held while this lives: two processes would fetch into each other's files.
    _lock: File,
    /// Whether the lists were brought up to date already, and why not if that failed.
    updated: Option<Result<(), String>>,
}

impl Archive {
    /// The user's. Waits while another process fetches.
    pub fn open() -> Result<Self, GuestError> {
        let folder = folder().ok_or_else(|| GuestError::Io {
            what: "no folder for fetched kernels (set XDG_CACHE_HOME or HOME)".to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        Self::at(&folder)
    }

    /// One in another folder.
    pub fn at(folder: &Path) -> Result<Self, GuestError> {
        fs::create_dir_all(folder).map_err(io(folder.display().to_string()))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(io(path.display().to_string()))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| io(path.display().to_string())(error.into()))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock, updated: None })
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The line's kernel, fetched if it must be; `progress` is told what takes time. [`GuestError::Missing`] where it cannot be had.
    pub fn kernel(&mut self, line: Line, progress: &mut dyn FnMut(&str)) -> Result<Image, GuestError> {
        let kept = self.kept(line);
        if let Some((image, true)) = &kept {
            return Ok(image.clone());
        }
        match (self.fetch(line, progress), kept) {
            (Ok(image), _) => Ok(image),
            (Err(reason), Some((image, _))) => {
                progress(&format!("kernel {line}: kept from earlier, the archive does not answer ({reason})"));
                Ok(image)
            }
            (Err(reason), None) => Err(GuestError::Missing { line: line.to_string(), reason }),
        }
    }

    /// The line's kernel from earlier, and whether it is young enough.
    fn kept(&self, line: Line) -> Option<(Image, bool)> {
        let folder = self.folder.join(line.to_string());
        let package = fs::read_to_string(folder.join("package")).ok()?;
        let asked = fs::metadata(folder.join("package")).ok()?.modified().ok()?;
        let young = SystemTime::now().duration_since(asked).is_ok_and(|age| age < AGE_MAX);
        let path = folder.join("vmlinuz");
        path.exists().then(|| (Image { line, path, package: package.trim_end().to_owned() }, young))
    }

    fn fetch(&mut self, line: Line, progress: &mut dyn FnMut(&str)) -> Result<Image, String> {
        let apt = Apt::new(&self.folder.join("apt"), SOURCES)?;
        if self.updated.is_none() {
            progress("reading the lists of Debian's archive");
            self.updated = Some(apt.update());
        }
        self.updated.clone().unwrap_or(Ok(()))?;
        let names = apt.query(&["pkgnames", "linux-"])?;
        let name = line.newest(names.lines()).ok_or("Debian's archive no longer has that line")?;
        progress(&format!("fetching {name}"));
        let folder = apt.scratch()?;
        apt.download(folder.path(), &[name])?;
        let file = one(folder.path())?;
        let package = format!("{name} {}", version(&file)?);
        let place = self.folder.join(line.to_string());
        let failed = |error: std::io::Error| format!("{}: {error}", place.display());
        fs::create_dir_all(&place).map_err(failed)?;
        let image = place.join("vmlinuz");
        unpack(&file, &image)?;
        fs::write(place.join("package"), format!("{package}\n")).map_err(failed)?;
        Ok(Image { line, path: image, package })
    }
}

fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("treeline").join("kernels"))
}

/// The one package in a folder.
fn one(folder: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut packages =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "deb"));
    packages.next().ok_or_else(|| "apt-get downloaded nothing".to_owned())
}

fn version(package: &Path) -> Result<String, String> {
    output(Command::new("dpkg-deb").arg("-f").arg(package).arg("Version")).map(|text| text.trim().to_owned())
}

/// Writes the kernel's image that is in a package.
fn unpack(package: &Path, image: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", image.display());
    let draft = image.with_extension("draft");
    let mut files = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn().map_err(tool("dpkg-deb"))?;
    let tar = files.stdout.take().ok_or("dpkg-deb gives nothing")?;
    // Before 6.19 in /boot, since then beside the modules.
    let unpacked = Command::new("tar")
        .args(["-xOf", "-", "--wildcards", "*/vmlinuz*"])
        .stdin(tar)
        .stdout(File::create(&draft).map_err(failed)?)
        .stderr(Stdio::null())
        .status()
        .map_err(tool("tar"))?;
    let _ = files.wait();
    let empty = fs::metadata(&draft).map_or(0, |file| file.len()) == 0;
    if !unpacked.success() || empty {
        return Err(format!("{}: no kernel image is in it", package.display()));
    }
    fs::rename(&draft, image).map_err(failed)
}

/// apt with lists, cache and sources of its own.
pub(super) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// One in `folder` that knows `sources` and nothing else.
    pub(super) fn new(folder: &Path, sources: &str) -> Result<Self, String> {
        if !Path::new(KEYRING).exists() {
            return Err(format!("{KEYRING} is missing, with which the archive's signatures are checked; install debian-archive-keyring"));
        }
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        for part in ["lists/partial", "cache/archives/partial", "scratch"] {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        fs::write(folder.join("sources.list"), sources).map_err(failed)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Brings the lists up to date.
    pub(super) fn update(&self) -> Result<(), String> {
        let mut command = self.command("apt-get");
        // Without this apt takes the lists of yesterday for an answer where the network is gone.
        output(command.args(["update", "-q", "-o", "APT::Update::Error-Mode=any"])).map(drop)
    }

    pub(super) fn query(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.command("apt-cache").args(arguments))
    }

    /// What `apt-get install` of a package would install on this machine.
    pub(super) fn closure(&self, package: &str) -> Result<Vec<String>, String> {
        let mut command = self.command("apt-get");
        command.args(["install", "--simulate", "--no-install-recommends", "-o", "Debug::NoLocking=1"]);
        command.args(["-o", "Dir::State::status=/var/lib/dpkg/status", package]);
        let plan = output(&mut command)?;
        Ok(plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next().map(str::to_owned)).collect())
    }

    /// Downloads packages into a folder.
    pub(super) fn download(&self, folder: &Path, packages: &[&str]) -> Result<(), String> {
        output(self.command("apt-get").args(["download", "-q"]).args(packages).current_dir(folder)).map(drop)
    }

    /// A folder for downloads, gone when dropped.
    pub(super) fn scratch(&self) -> Result<tempfile::TempDir, String> {
        let folder = self.folder.join("scratch");
        tempfile::tempdir_in(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |name: &str, value: &str| {
            command.arg("-o").arg(format!("{name}={value}"));
        };
        let at = |part: &str| self.folder.join(part).to_string_lossy().into_owned();
        set("Dir::Etc::sourcelist", &at("sources.list"));
        set("Dir::Etc::sourceparts", "-");
        set("Dir::State::lists", &at("lists"));
        set("Dir::State::status", "/dev/null");
        set("Dir::Cache", &at("cache"));
        set("Acquire::Languages", "none");
        set("Acquire::Retries", "2");
        set("Acquire::http::Timeout", &TIMEOUT_S.to_string());
        // The cache may lie where apt's own user cannot write.
        set("APT::Sandbox::User", "root");
        command.env("LC_ALL", "C");
        command
    }
}

/// What a command prints; where it fails, the last line of its complaint.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(tool(&name))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let line = complaint.lines().find(|line| line.starts_with("E:")).or_else(|| complaint.lines().last());
    Err(format!("{name}: {}", line.map_or("it failed", |line| line.trim_start_matches("E: "))))
}

fn tool(name: &str) -> impl Fn(std::io::Error) -> String {
    move |error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is missing; kernels are fetched on Debian and its relatives"),
        _ => format!("{name}: {error}"),
    }
}
