//! Two network namespaces with a wire between them, and `treeline` running in the second one.
//!
//! Everything is removed when the lab is dropped. The kernel gives the namespaces no traffic of their own: no IPv6 autoconfiguration.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use treeline_model::{Model, Node};

use crate::instance::Instance;

pub type Result<T = ()> = std::result::Result<T, libtest_mimic::Failed>;

/// The one that sends.
pub const HERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The one that receives, where treeline runs.
pub const THERE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// The interface of the sender.
pub const OUT: &str = "v0";
/// The interface where treeline runs.
pub const IN: &str = "v1";
/// The port that the tests' model calls malicious.
pub const BAD: u16 = 9999;
/// One that it does not.
pub const GOOD: u16 = 8888;
/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The namespaces, and a folder for what a test leaves.
pub struct Lab {
    pub here: String,
    pub there: String,
    pub folder: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("tl{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let lab = Self { here: format!("{tag}a"), there: format!("{tag}b"), folder: tempfile::tempdir()? };
        for name in [&lab.here, &lab.there] {
            ip(&format!("netns add {name}"))?;
        }
        lab.wire(OUT, IN, 0)?;
        Ok(lab)
    }

    /// A wire between the namespaces, in the `subnet`-th network.
    pub fn wire(&self, out: &str, into: &str, subnet: u8) -> Result {
        let (here, there) = (&self.here, &self.there);
        ip(&format!("link add {out} netns {here} type veth peer name {into} netns {there}"))?;
        for (namespace, name, host) in [(here, out, 1), (there, into, 2)] {
            ip(&format!("-n {namespace} link set {name} addrgenmode none"))?;
            ip(&format!("-n {namespace} addr add 198.18.{subnet}.{host}/24 dev {name}"))?;
            ip(&format!("-n {namespace} link set {name} up"))?;
        }
        Ok(())
    }

    /// A UDP socket in namespace `namespace`, bound to `port` (0: any).
    pub fn udp(namespace: &str, port: u16) -> Result<UdpSocket> {
        let socket = within(namespace, move || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))??;
        // Room for all that a test sends: what the receiver's buffer has no room for is no loss of treeline's.
        let bytes: libc::c_int = 64 << 20;
        let length = size_of_val(&bytes) as u32;
        // SAFETY: the value and its length belong together.
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const bytes).cast(), length) };
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(socket)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file of a model that calls UDP to port [`BAD`] malicious.
    pub fn model(&self) -> Result<PathBuf> {
        let inner = |feature, threshold: i64, left, right| Node::Inner { feature, threshold: threshold << 16, left, right };
        let leaf = |class| Node::Leaf { class };
        let nodes = vec![
            inner(2, 16, 1, 2),
            leaf(0),
            inner(1, i64::from(BAD) - 1, 3, 4),
            leaf(0),
            inner(1, i64::from(BAD), 5, 6),
            leaf(1),
            leaf(0),
        ];
        self.write_model("model.json", nodes)
    }

    /// The file of a model of one leaf.
    pub fn constant(&self, class: u16) -> Result<PathBuf> {
        self.write_model(&format!("constant-{class}.json"), vec![Node::Leaf { class }])
    }

    fn write_model(&self, name: &str, nodes: Vec<Node>) -> Result<PathBuf> {
        let path = self.path(name);
        let classes = vec!["benign".to_owned(), "malicious".to_owned()];
        Model::from_nodes(name, classes, nodes)?.write(&path)?;
        Ok(path)
    }

    /// The command in the receiver's namespace, to its end.
    pub fn treeline(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments).output()?)
    }

    /// The same; what it says as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.treeline(&[arguments, &["--format", "json"]].concat())?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.within(env!("CARGO_BIN_EXE_treeline"));
        command.args(arguments).arg("--state").arg(self.path("state"));
        command
    }

    /// A program in the receiver's namespace.
    pub fn within(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.there)).arg(program);
        command
    }

    /// `treeline run` with the tests' model, alerts into a file; returns when it is attached.
    pub fn run(&self, arguments: &[&str]) -> Result<Instance> {
        let model = self.model()?;
        let alerts = self.alerts();
        let defaults = ["--iface", IN, "--model", text(&model), "--alerts", text(&alerts), "--format", "json"];
        let named = |option: &str| arguments.contains(&option);
        let mut all = vec!["run"];
        for pair in defaults.chunks(2).filter(|pair| !named(pair[0])) {
            all.extend(pair);
        }
        all.extend(arguments);
        Instance::start(self.command(&all))
    }

    /// The file of alerts.
    pub fn alerts(&self) -> PathBuf {
        self.path("eve.json")
    }

    /// The control socket of the one instance.
    pub fn socket(&self) -> Result<PathBuf> {
        let mut paths = fs::read_dir(self.path("state"))?.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.find(|path| path.extension().is_some_and(|ending| ending == "sock")).ok_or("no control socket")?)
    }

    /// The status.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status"])
    }

    /// What the kernel has attached to [`IN`]: links of XDP and tcx, filters of clsact.
    pub fn attached(&self) -> Result<Vec<String>> {
        let mut found = vec![];
        let link = output(self.within("ip").args(["-d", "link", "show", IN]))?;
        if link.contains("xdp") {
            found.push("xdp".to_owned());
        }
        for side in ["ingress", "egress"] {
            if output(self.within("tc").args(["filter", "show", "dev", IN, side]))?.contains("treeline") {
                found.push(format!("clsact {side}"));
            }
        }
        let tcx = within(&self.there, || {
            use aya::programs::{SchedClassifier, TcAttachType};
            [TcAttachType::Ingress, TcAttachType::Egress]
                .map(|side| SchedClassifier::query_tcx(IN, side).map(|(_, programs)| programs.len()))
        })?;
        for (side, count) in ["ingress", "egress"].into_iter().zip(tcx) {
            if count? > 0 {
                found.push(format!("tcx {side}"));
            }
        }
        Ok(found)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in [&self.here, &self.there] {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// A file system for pins, unmounted when dropped.
pub struct Bpffs(pub PathBuf);

impl Bpffs {
    pub fn new(lab: &Lab) -> Result<Self> {
        let path = lab.path("bpf");
        fs::create_dir(&path)?;
        output(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&path))?;
        Ok(Self(path))
    }

    pub fn pin(&self) -> String {
        format!("--pin={}", self.0.join("treeline").display())
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Runs `act` in a network namespace, on a thread of its own.
pub fn within<T: Send + 'static>(namespace: &str, act: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let file = fs::File::open(Path::new("/run/netns").join(namespace))?;
    let thread = thread::spawn(move || {
        // SAFETY: moves this thread alone, which ends after `act`.
        if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(act())
    });
    Ok(thread.join().map_err(|_| "the thread panicked")??)
}

/// Sends raw frames out of an interface of the sender.
pub fn raw(lab: &Lab, interface: &'static std::ffi::CStr) -> Result<impl Fn(&[u8]) -> std::io::Result<()> + use<>> {
    let socket = within(&lab.here, move || -> std::io::Result<OwnedFd> {
        // SAFETY: no pointers; the result is checked.
        let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
        if socket < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: just opened.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: plain integers, for which zeros are valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        // SAFETY: a string that outlives the call.
        address.sll_ifindex = unsafe { libc::if_nametoindex(interface.as_ptr()) }.cast_signed();
        // SAFETY: the address and its length belong together.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32) };
        if bound == 0 { Ok(socket) } else { Err(std::io::Error::last_os_error()) }
    })??;
    Ok(move |frame: &[u8]| {
        // SAFETY: the buffer and its length belong together.
        let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    })
}

/// The address of a port of the receiver.
pub fn there(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(THERE, port)
}

/// All datagrams that arrive until none does for a while.
pub fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut datagrams = vec![];
    let mut bytes = [0; 2048];
    while let Ok(length) = socket.recv(&mut bytes) {
        datagrams.push(bytes[..length].to_vec());
    }
    datagrams
}

/// The documents of a file of lines.
pub fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("in {PATIENCE:?} it did not come about that {what}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "reads as a sentence at its callers")]
pub fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}").into()) }
}

pub fn holds(what: &str, found: bool, evidence: &dyn std::fmt::Debug) -> Result {
    if found { Ok(()) } else { Err(format!("{what} does not hold: {evidence:?}").into()) }
}

pub fn ip(arguments: &str) -> Result {
    output(Command::new("ip").args(arguments.split(' '))).map(|_| ())
}

/// What a command prints; an error if it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
