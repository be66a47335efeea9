//! Who runs on which hook of which interface: a lock file each, held while the process lives, with what others need to reach it.
//!
//! `<folder>/<network namespace>-<interface's index>-<hook>.lock` holds a JSON document. The lock on the file ends with its process, however that
//! ends; the document stays, and tells of a pinned instance whose process is gone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use treeline_sim::engine::Hook;

use super::interface;
use super::model::{Named, written};
use super::setup::Setup;

/// Where instances are registered unless another folder is given.
pub const FOLDER: &str = "/run/treeline";

/// The network namespace of this process, by its inode.
pub fn namespace() -> Result<u64, String> {
    let path = "/proc/self/ns/net";
    Ok(fs::metadata(path).map_err(|error| format!("{path}: {error}"))?.ino())
}

/// An interface. Its index stays while it is there; its name may change, and may be another one's afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The kernel's index.
    pub index: u32,
    /// Its name, as far as is known.
    pub name: String,
}

impl Interface {
    /// The one with a name, or another one of its names.
    pub fn named(name: &str) -> Result<Self, String> {
        let index = interface::index(name)?;
        Ok(Self { index, name: interface::name(index).unwrap_or_else(|| name.to_owned()) })
    }
}

/// The names of interfaces, for people.
pub fn names(interfaces: &[Interface]) -> String {
    interfaces.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What an instance says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The process.
    pub pid: u32,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its hook's name.
    pub hook: String,
    /// The socket that it listens on.
    pub control: PathBuf,
    /// Where its links and maps are pinned, if they are.
    pub pin: Option<PathBuf>,
    /// The model's id.
    pub model: String,
    /// Names of the model's classes.
    pub classes: Vec<String>,
    /// What another process needs to act in its place.
    pub setup: Setup,
}

impl Card {
    /// Tells of another model.
    pub fn show(&mut self, model: &Named) {
        self.model = written(model.id);
        self.classes = model.model.classes().to_vec();
    }

    /// The hook, if it is one.
    pub fn hook(&self) -> Result<Hook, String> {
        Hook::ALL.into_iter().find(|hook| hook.name() == self.hook).ok_or_else(|| format!("{} is no hook", self.hook))
    }

    #[cfg(test)]
    pub fn sample(interfaces: &[&str]) -> Self {
        Self {
            pid: 7,
            interfaces: (1..).zip(interfaces).map(|(index, &name)| Interface { index, name: name.to_owned() }).collect(),
            hook: "tc".to_owned(),
            control: "/run/x.sock".into(),
            pin: None,
            classes: vec!["benign".to_owned(), "scan".to_owned()],
            model: "00".to_owned(),
            setup: Setup::sample(),
        }
    }
}

/// A registered instance, as another process finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub card: Card,
    /// Whether its process lives.
    pub alive: bool,
}

/// The path of an interface's file, ending in `ending`.
pub fn path(folder: &Path, namespace: u64, interface: &Interface, hook: Hook, ending: &str) -> PathBuf {
    folder.join(format!("{namespace}-{}-{}.{ending}", interface.index, hook.name()))
}

/// The locks of a running instance.
#[derive(Debug)]
pub struct Locks {
    files: Vec<(PathBuf, File)>,
}

impl Locks {
    /// Takes the lock of each interface, or refuses, naming who has it.
    pub fn take(folder: &Path, namespace: u64, interfaces: &[Interface], hook: Hook) -> Result<Self, String> {
        make(folder)?;
        let mut locks = Self { files: vec![] };
        for interface in interfaces {
            let path = path(folder, namespace, interface, hook, "lock");
            let file = lock(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let file = file.map_err(|mut taken| {
                let pid = card(&mut taken).map_or("another process".to_owned(), |card| format!("process {}", card.pid));
                let hook = hook.name();
                let interface = &interface.name;
                format!("treeline already runs on {interface} at hook {hook}: {pid}; stop it first, or swap its model")
            })?;
            locks.files.push((path, file));
        }
        Ok(locks)
    }

    /// A pinned instance on one of the interfaces whose process is gone.
    pub fn former(&mut self) -> Option<Card> {
        let cards = self.files.iter_mut().filter_map(|(_, file)| card(file));
        cards.into_iter().find(|card| card.pin.as_ref().is_some_and(|pin| pin.exists()))
    }

    /// Writes the card into each file.
    pub fn write(&mut self, card: &Card) -> Result<(), String> {
        let text = serde_json::to_string(card).map_err(|error| format!("no text of the card: {error}"))?;
        for (path, file) in &mut self.files {
            // Cut last: where there is no room, what was there is not lost before.
            let mut write = || {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(text.as_bytes())?;
                file.set_len(text.len() as u64)
            };
            write().map_err(|error: io::Error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// No locks.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { files: vec![] }
    }

    /// Removes the files: nothing is left that others could want to know.
    pub fn remove(self) {
        for (path, _) in &self.files {
            let _ = fs::remove_file(path);
        }
    }
}

/// The file at `path`, locked, or as it is if another process has it.
fn lock(path: &Path) -> io::Result<Result<File, File>> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            // Whoever had it may have removed it meanwhile: then the lock is of a file that nobody else finds.
            Ok(()) if fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|mine| mine.ino() == there.ino())) => {
                return Ok(Ok(file));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(file)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

impl Drop for Locks {
    /// A file in which nothing was ever written tells nobody anything.
    fn drop(&mut self) {
        for (path, file) in &self.files {
            if file.metadata().is_ok_and(|file| file.len() == 0) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn make(folder: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| format!("{}: {error}; make it for this user, or name another one with --state", folder.display()))
}

fn card(file: &mut File) -> Option<Card> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Forgets what is registered of instances whose process is gone and whose pins are in `pin`: another one has them now, on interfaces of its own.
pub fn supersede(folder: &Path, namespace: u64, pin: &Path) {
    for path in paths(folder, namespace) {
        if look(&path).is_some_and(|found| !found.alive && found.card.pin.as_deref() == Some(pin)) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Waits until an instance has ended; false if that takes longer than `wait`.
pub fn wait(folder: &Path, namespace: u64, card: &Card, wait: Duration) -> Result<bool, String> {
    let hook = card.hook()?;
    let deadline = Instant::now() + wait;
    let lives =
        |interface| look(&path(folder, namespace, interface, hook, "lock")).is_some_and(|found| found.alive && found.card.pid == card.pid);
    while card.interfaces.iter().any(lives) {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

/// Tells of the model that a dead instance's pinned programs have now. What is rewritten is locked meanwhile, so that nobody starts over it.
pub fn rewrite(folder: &Path, namespace: u64, card: &Card, model: &Named) -> Result<(), String> {
    let mut card = card.clone();
    card.show(model);
    Locks::take(folder, namespace, &card.interfaces, card.hook()?)?.write(&card)
}

/// The instances of this network namespace, each once, those whose process is gone only if they are pinned.
pub fn list(folder: &Path, namespace: u64) -> Vec<Found> {
    let mut found: Vec<Found> = vec![];
    for path in paths(folder, namespace) {
        let Some(instance) = look(&path) else { continue };
        let known = found.iter().any(|known| known.card == instance.card);
        if !known && (instance.alive || instance.card.pin.as_ref().is_some_and(|pin| pin.exists())) {
            found.push(instance);
        }
    }
    found
}

/// The lock files of this network namespace.
fn paths(folder: &Path, namespace: u64) -> Vec<PathBuf> {
    let prefix = format!("{namespace}-");
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".lock")
    });
    paths.sort();
    paths
}

fn look(path: &Path) -> Option<Found> {
    let mut file = File::open(path).ok()?;
    let card = card(&mut file)?;
    // A shared lock, so that two who look do not take each other for the instance.
    let alive = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    Some(Found { card, alive })
}

/// The instances on `interface` and at `hook`, where these are given.
pub fn matching(folder: &Path, namespace: u64, interface: Option<&str>, hook: Option<Hook>) -> Vec<Found> {
    let mut found = list(folder, namespace);
    found.retain(|instance| hook.is_none_or(|hook| instance.card.hook == hook.name()));
    if let Some(name) = interface {
        let has = |instance: &Found, is_it: &dyn Fn(&Interface) -> bool| instance.card.interfaces.iter().any(is_it);
        let index = interface::index(name).ok();
        let by_index = |interface: &Interface| Some(interface.index) == index;
        // A name alone is that of an interface that is gone, unless an instance has the one that is there.
        let by_name = |interface: &Interface| interface.name == name;
        let is_there = found.iter().any(|instance| has(instance, &by_index));
        found.retain(|instance| if is_there { has(instance, &by_index) } else { has(instance, &by_name) });
    }
    found
}

/// The one instance that `interface` and `hook` leave, or an error that lists the choice.
pub fn find(folder: &Path, namespace: u64, interface: Option<&str>, hook: Option<Hook>) -> Result<Found, String> {
    let mut found = matching(folder, namespace, interface, hook);
    match found.len() {
        0 => {
            let of = interface.map(|interface| format!(" on {interface}")).unwrap_or_default();
            let at = hook.map(|hook| format!(" at hook {}", hook.name())).unwrap_or_default();
            Err(format!("no instance{of}{at} in this network namespace; treeline run starts one"))
        }
        1 => Ok(found.remove(0)),
        _ => {
            let listed: Vec<_> = found
                .iter()
                .map(|Found { card, .. }| format!("--iface {} --hook {}", names(&card.interfaces).replace(", ", " --iface "), card.hook))
                .collect();
            Err(format!("several instances run here; say which: {}", listed.join(", or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_and_told_whose_the_hook_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = Card::sample(&["a", "b"]).interfaces;
        let mut locks = Locks::take(folder.path(), 1, &names, Hook::Tc).expect("free");
        locks.write(&Card::sample(&["a", "b"])).expect("written");
        let refusal = Locks::take(folder.path(), 1, &names[1..], Hook::Tc).expect_err("taken");
        assert!(refusal.contains("on b at hook tc: process 7"), "{refusal}");
        Locks::take(folder.path(), 1, &names, Hook::Xdp).expect("another hook is free").remove();
        Locks::take(folder.path(), 2, &names, Hook::Tc).expect("another namespace is free").remove();
        assert_eq!(list(folder.path(), 1), [Found { card: Card::sample(&["a", "b"]), alive: true }]);
        assert!(find(folder.path(), 1, Some("b"), None).expect("found").alive);
        locks.remove();
        assert!(find(folder.path(), 1, None, None).expect_err("gone").contains("no instance"));
    }

    #[test]
    fn of_two_instances_one_must_be_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut held = vec![];
        for (index, name) in [(1, "a"), (2, "b")] {
            let card = Card { interfaces: vec![Interface { index, name: name.to_owned() }], ..Card::sample(&[]) };
            let mut locks = Locks::take(folder.path(), 1, &card.interfaces, Hook::Tc).expect("free");
            locks.write(&card).expect("written");
            held.push(locks);
        }
        let refusal = find(folder.path(), 1, None, None).expect_err("two");
        assert!(refusal.contains("--iface a --hook tc, or --iface b --hook tc"), "{refusal}");
        assert_eq!(find(folder.path(), 1, Some("b"), Some(Hook::Tc)).expect("one").card.interfaces[0].name, "b");
        assert!(find(folder.path(), 1, Some("b"), Some(Hook::Xdp)).is_err());
    }

    #[test]
    fn a_dead_instance_is_listed_while_its_pins_are_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let pin = folder.path().join("pins");
        fs::create_dir(&pin).expect("a folder");
        let card = Card { pin: Some(pin.clone()), ..Card::sample(&["a"]) };
        let mut locks = Locks::take(folder.path(), 1, &card.interfaces, Hook::Tc).expect("free");
        locks.write(&card).expect("written");
        drop(locks);
        assert_eq!(list(folder.path(), 1), [Found { card, alive: false }]);
        fs::remove_dir(&pin).expect("removes");
        assert_eq!(list(folder.path(), 1), []);
    }
}
