//! The object in the kernel: XDP and TC by `BPF_PROG_TEST_RUN`, the socket filter on one end of an `AF_UNIX` datagram pair, which
//! runs it over exactly the bytes sent.
//!
//! The capture's clock and the packet's record cross in the replay cell, memory-mapped, so a packet costs one system call (two for
//! the socket).
//! Not here: attaching to interfaces.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::ptr::NonNull;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, Map, MapData};
use aya::programs::{SchedClassifier, SocketFilter, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use treeline_ebpf::replay::Cell;
use treeline_ebpf::{Config, Counters, Link};

use super::{Engine, EngineError, GIVEN_BYTES_MAX, Hook, Observation, Settings, given, observation};
use crate::{allow, object};
use treeline_lab::Frame;
use treeline_lab::cause::explain;

/// The engine's name.
pub const NAME: &str = "kernel";
/// The kernel refuses a shorter frame in a test run: it wants an Ethernet header.
const TEST_RUN_BYTES_MIN: usize = 14;
/// For TC, newer kernels (6.18) also want the IP header that the `EtherType` announces: at most this much.
const TEST_RUN_SKB_BYTES_MIN: usize = 14 + 40;

/// The kernel engine.
#[derive(Debug)]
pub struct Kernel {
    hook: Hook,
    link: Link,
    ebpf: Ebpf,
    /// Where the maps are found by name once a tree has been swapped.
    folder: Option<Folder>,
    cell: Mapped,
    counters: Counters,
    socket: Option<Sockets>,
}

#[derive(Debug)]
struct Sockets {
    sender: UnixDatagram,
    receiver: UnixDatagram,
}

impl Kernel {
    /// Loads the object. [`EngineError::Unavailable`] where the rights or the system are missing.
    pub fn new(settings: &Settings) -> Result<Self, EngineError> {
        let mut ebpf = load(&replayed(settings))?;
        let mut socket = None;
        if settings.hook == Hook::Socket {
            let (sender, receiver) = UnixDatagram::pair().map_err(unavailable)?;
            receiver.set_nonblocking(true).map_err(unavailable)?;
            socket = Some(Sockets { sender, receiver });
        }
        start(&mut ebpf, settings, socket.as_ref())?;
        let Some(Map::Array(replay)) = ebpf.map(object::REPLAY) else { return Err(missing(object::REPLAY)) };
        let cell = Mapped::new(replay.fd().as_fd())?;
        Ok(Self { hook: settings.hook, link: settings.link, ebpf, folder: None, cell, counters: Counters::default(), socket })
    }

    fn run(&mut self, bytes: &[u8]) -> Result<u32, String> {
        let options = TestRunOptions { data_in: Some(bytes), ..TestRunOptions::new() };
        let name = self.hook.program(self.link);
        let result = match self.hook {
            Hook::Xdp => program::<Xdp>(&mut self.ebpf, name).map_err(|error| error.to_string())?.test_run(options),
            Hook::Tc => program::<SchedClassifier>(&mut self.ebpf, name).map_err(|error| error.to_string())?.test_run(options),
            Hook::Socket => return self.send(bytes),
        };
        result.map(|result| result.return_value).map_err(|error| explain(&error))
    }

    /// Sends the bytes through the filter. What arrives shows what the filter kept.
    fn send(&mut self, bytes: &[u8]) -> Result<u32, String> {
        let Sockets { sender, receiver } = self.socket.as_ref().ok_or("no socket")?;
        sender.send(bytes).map_err(|error| error.to_string())?;
        let mut received = [0; GIVEN_BYTES_MAX];
        let length = receiver.recv(&mut received).map_err(|error| error.to_string())?;
        if received[..length] == *bytes { Ok(u32::MAX) } else { Ok(u32::try_from(length).unwrap_or(0)) }
    }
}

impl Engine for Kernel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let bytes = &*given(frame, self.hook, self.link);
        if self.hook != Hook::Socket && bytes.len() < TEST_RUN_BYTES_MIN {
            return Err(EngineError::Untaken { engine: NAME, frame: frame.index, reason: "shorter than an Ethernet header" });
        }
        let failed = |reason| EngineError::Failed { engine: NAME, frame: frame.index, reason };
        let packets = self.cell.read().record.packets;
        self.cell.set_now_ns(frame.time_ns);
        let returned = match self.run(bytes) {
            Err(reason) if self.hook == Hook::Tc && bytes.len() < TEST_RUN_SKB_BYTES_MIN && reason.contains("os error 22") => {
                return Err(EngineError::Untaken { engine: NAME, frame: frame.index, reason: "shorter than its IP header" });
            }
            returned => returned.map_err(failed)?,
        };
        let cell = self.cell.read();
        if cell.record.packets != packets.wrapping_add(1) {
            return Err(failed(format!("the program left {} records for one packet", cell.record.packets.wrapping_sub(packets))));
        }
        let observation =
            observation(&cell, &self.counters, returned).ok_or_else(|| failed(format!("outcome {:#x}", cell.record.outcome)))?;
        self.counters = cell.counters;
        Ok(observation)
    }

    /// The programs of a second object load over the first one's maps. Wants a kernel of 5.2 and, for the folder, `CAP_SYS_ADMIN`.
    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        let folder = match &self.folder {
            Some(folder) => folder,
            None => self.folder.insert(Folder::of(&self.ebpf)?),
        };
        let settings = Settings { hook: self.hook, link: self.link, ..replayed(settings) };
        let config = settings.loaded().to_bytes();
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        for name in SHARED {
            loader.map_pin_path(name, folder.path(name));
        }
        let mut ebpf = fill(&mut loader, &config, &settings)?;
        start(&mut ebpf, &settings, self.socket.as_ref())?;
        self.ebpf = ebpf;
        Ok(())
    }
}

/// The settings of a replay: no alerts, so the smallest ring buffer.
fn replayed(settings: &Settings) -> Settings {
    let config = Config { replay: 1, ..settings.loaded() };
    Settings { config, ..settings.clone() }
}

/// Loads the program, and puts it on the socket in the place of the one before.
fn start(ebpf: &mut Ebpf, settings: &Settings, socket: Option<&Sockets>) -> Result<(), EngineError> {
    let name = settings.program();
    match settings.hook {
        Hook::Xdp => program::<Xdp>(ebpf, name)?.load().map_err(unavailable),
        Hook::Tc => program::<SchedClassifier>(ebpf, name)?.load().map_err(unavailable),
        Hook::Socket => {
            let filter = program::<SocketFilter>(ebpf, name)?;
            filter.load().map_err(unavailable)?;
            if let Some(Sockets { receiver, .. }) = socket {
                filter.attach(receiver).map_err(unavailable)?;
            }
            Ok(())
        }
    }
}

/// The maps that stay when a tree is swapped.
pub const SHARED: [&str; 6] = [object::FLOWS, object::COUNTERS, object::LIVE, object::ALERTS, object::ALLOW, object::REPLAY];

/// A BPF file system of this engine's own, mounted nowhere: aya lets two loads share a map by its name on one.
#[derive(Debug)]
struct Folder(OwnedFd);

impl Folder {
    /// One that has the shared maps of `ebpf`.
    fn of(ebpf: &Ebpf) -> Result<Self, EngineError> {
        let mount = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        });
        let folder = Self(mount.map_err(unavailable)?);
        for name in SHARED {
            ebpf.map(name).ok_or_else(|| missing(name))?.pin(folder.path(name)).map_err(unavailable)?;
        }
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()).into()
    }
}

/// Loads the object's maps with the configuration, the tree and the allow-list of `settings`; its programs are still to be loaded.
pub fn load(settings: &Settings) -> Result<Ebpf, EngineError> {
    let config = settings.loaded().to_bytes();
    let mut loader = EbpfLoader::new();
    // Nothing in the object depends on the kernel's types, and they take longer to read than all the rest.
    let mut ebpf = fill(loader.btf(None), &config, settings)?;
    let map = ebpf.map_mut(object::ALLOW).ok_or_else(|| missing(object::ALLOW))?;
    let mut list: LpmTrie<&mut MapData, [u8; 16], [u8; 36]> = map.try_into().map_err(unavailable)?;
    for entry in settings.allow.entries() {
        let (_, value) = allow::to_bytes(entry);
        list.insert(&Key::new(entry.0.prefix_bits, entry.0.address), value, 0).map_err(unavailable)?;
    }
    Ok(ebpf)
}

/// Loads the object's maps with the configuration and the tree.
fn fill<'a>(loader: &mut EbpfLoader<'a>, config: &'a [u8], settings: &Settings) -> Result<Ebpf, EngineError> {
    let object = if settings.unlocked { object::unlocked(settings.object()).map_err(unavailable)? } else { settings.object().into() };
    let mut ebpf = loader
        .override_global(object::CONFIG, config, true)
        .map_max_entries(object::FLOWS, settings.flows_max)
        .load(&object)
        .map_err(unavailable)?;
    if settings.linked.is_none() {
        let map = ebpf.map_mut(object::MODEL).ok_or_else(|| missing(object::MODEL))?;
        let mut model: Array<&mut MapData, TreePod> = map.try_into().map_err(unavailable)?;
        // SAFETY: `TreePod` is a transparent wrapper.
        let tree = unsafe { &*std::ptr::from_ref(&*settings.tree).cast::<TreePod>() };
        model.set(0, tree, 0).map_err(unavailable)?;
    }
    Ok(ebpf)
}

/// The object's program `name`.
pub fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, EngineError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    ebpf.program_mut(name).ok_or_else(|| missing(name))?.try_into().map_err(unavailable)
}

fn missing(name: &str) -> EngineError {
    EngineError::Unavailable { engine: NAME, reason: format!("the object has no {name}") }
}

/// The error with its causes, and for a refused right what to do.
fn unavailable<E: std::error::Error + 'static>(error: E) -> EngineError {
    let mut reason = explain(&error);
    if reason.contains("os error 1)") || reason.contains("os error 13)") {
        reason = format!("it needs root, or CAP_BPF and CAP_NET_ADMIN ({reason})");
    }
    EngineError::Unavailable { engine: NAME, reason }
}

/// The tree as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct TreePod([treeline_ebpf::Node; treeline_ebpf::tree::NODES_MAX]);

// SAFETY: `repr(transparent)` over an array of `repr(C)` structs of two 64-bit numbers: no padding, any bytes are valid.
unsafe impl Pod for TreePod {}

/// The replay cell in this process's memory.
#[derive(Debug)]
struct Mapped {
    cell: NonNull<Cell>,
    _not_sync: PhantomData<*mut Cell>,
}

impl Mapped {
    fn new(map: BorrowedFd<'_>) -> Result<Self, EngineError> {
        // SAFETY: a fresh shared mapping of a map that is at least one page (the kernel rounds array maps up).
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), size_of::<Cell>(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        match NonNull::new(address.cast()) {
            Some(cell) if address != libc::MAP_FAILED => Ok(Self { cell, _not_sync: PhantomData }),
            _ => Err(unavailable(std::io::Error::last_os_error())),
        }
    }

    fn read(&self) -> Cell {
        // SAFETY: mapped for as long as `self` lives; volatile, because the kernel writes it.
        unsafe { self.cell.as_ptr().read_volatile() }
    }

    fn set_now_ns(&mut self, now_ns: u64) {
        // SAFETY: as in `read`.
        unsafe { (&raw mut (*self.cell.as_ptr()).record.now_ns).write_volatile(now_ns) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length.
        unsafe { libc::munmap(self.cell.as_ptr().cast(), size_of::<Cell>()) };
    }
}
