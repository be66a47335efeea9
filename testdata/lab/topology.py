"""The lab's hosts: network namespaces joined by one bridge, and nothing else.

    client1 .21 --+
    client2 .22 --+-- switch (bridge, tcpdump listens here) --- server .10
    attacker .66 -+

For training captures the server is far away (`distance` between bridge and server),
and a reflector .40 with many addresses is on the bridge too.

Every veth is born inside the namespaces and no namespace has a default route,
so no packet can leave. Programs start through `Host`, each under `timeout`.
Not here: what the programs are (`server`, `benign`, `attack`).
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PREFIX = "treeline-lab-"
SWITCH = PREFIX + "switch"
BRIDGE = "bridge0"
SCRATCH = Path(tempfile.gettempdir()) / "treeline-lab"
LAB = Path(__file__).resolve().parent
DISTANCE_LIMIT_S = 1800

# Proxies and personal settings must not reach the lab's programs.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": str(SCRATCH),
    "LANG": "C",
    "TERM": "dumb",
}

# `ip netns exec` gives each program a private mount namespace; the lab's own
# resolver files are bound there, so the machine's stay as they are.
RESOLVE_IN_LAB = (
    'mount --bind "$0/resolv.conf" /etc/resolv.conf; '
    '[ ! -e /etc/nsswitch.conf ] || mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf; '
    'exec "$@"'
)


@dataclass(frozen=True)
class Host:
    """One namespace with one interface; `number` is the last part of its addresses."""

    name: str
    number: int

    @property
    def namespace(self):
        return PREFIX + self.name

    @property
    def v4(self):
        return f"198.18.0.{self.number}"

    @property
    def v6(self):
        return f"2001:db8::{self.number}"

    @property
    def mac(self):
        return f"02:00:00:00:00:{self.number:02d}"

    def command(self, argv, limit_s):
        """`argv` as it must be started to run on this host for at most `limit_s`."""
        bound = ["timeout", "--kill-after=1", str(limit_s)]
        resolver = ["sh", "-c", RESOLVE_IN_LAB, str(SCRATCH)]
        return ["ip", "netns", "exec", self.namespace, *bound, *resolver, *map(str, argv)]

    def start(self, argv, limit_s, log="programs.log", stdin=subprocess.DEVNULL):
        """Start a program in the background; its output goes to `log` in the scratch folder."""
        with open(SCRATCH / log, "ab") as output:
            return subprocess.Popen(
                self.command(argv, limit_s),
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=SCRATCH,
                env=ENVIRONMENT,
                start_new_session=True,
            )

    def run(self, argv, limit_s, log="programs.log"):
        """Run a program to its end and return its exit status (124: out of time)."""
        return self.start(argv, limit_s, log).wait()


SERVER = Host("server", 10)
CLIENTS = (Host("client1", 21), Host("client2", 22))
ATTACKER = Host("attacker", 66)
HOSTS = (SERVER, *CLIENTS, ATTACKER)

# Answers forged questions from many addresses, in training captures only.
REFLECTOR = Host("reflector", 40)
REFLECTIONS = tuple(f"198.18.40.{number}" for number in range(1, 13))
# What a reflection hits: a second address of the first client, which says that it wants nothing, and a silent one.
VICTIM_V4 = "198.18.0.98"
SILENT_V4 = "198.18.0.97"
# As silent, and only ever asked for by ordinary users.
QUIET_V4 = "198.18.0.96"

# On the lab's network by its address, but nobody's: the forged source of a flood.
NOBODY_V4 = "198.18.0.99"
SERVER_PORT = "to-server"


def build_far(seed):
    """As `build`, with the reflector, and with the server at a distance."""
    build()
    _attach(REFLECTOR)
    for address in REFLECTIONS:
        _ip("-n", REFLECTOR.namespace, "addr", "add", address + "/15", "dev", "lan0")
    _ip("-n", CLIENTS[0].namespace, "addr", "add", VICTIM_V4 + "/15", "dev", "lan0")
    # The first client drops what is not its own: a silent host.
    for host in (REFLECTOR, *HOSTS):
        if host is not CLIENTS[0]:
            for address in (SILENT_V4, QUIET_V4):
                _ip("-n", host.namespace, "neigh", "replace", address,
                    "lladdr", CLIENTS[0].mac, "dev", "lan0", "nud", "permanent")
    _ip("-n", SWITCH, "link", "set", SERVER_PORT, "nomaster", "up")
    _ip("-n", SWITCH, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    for device in ("wire0", "wire1"):
        _inside(SWITCH, "ethtool", "-K", device,
                "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off")
    _ip("-n", SWITCH, "link", "set", "wire0", "master", BRIDGE, "up")
    _ip("-n", SWITCH, "link", "set", "wire1", "up")
    with open(SCRATCH / "distance.log", "ab") as log:
        subprocess.Popen(
            ["ip", "netns", "exec", SWITCH, "timeout", str(DISTANCE_LIMIT_S), "/usr/bin/python3",
             LAB / "distance.py", seed, "wire1", SERVER_PORT],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, start_new_session=True)


def build():
    """Create the namespaces, the bridge and the links between them."""
    _make_scratch()
    _ip("netns", "add", SWITCH)
    # The bridge only forwards: no address, no messages of its own in the captures.
    _inside(SWITCH, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    _ip("-n", SWITCH, "link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
    _ip("-n", SWITCH, "link", "set", BRIDGE, "up")
    for host in HOSTS:
        _attach(host)
    # Neighbour discovery with the attacker would be ICMPv6 inside its windows;
    # with fixed entries all ICMPv6 of its address comes from the attack.
    for host in HOSTS:
        if host is not ATTACKER:
            _neighbour(host, ATTACKER)
            _neighbour(ATTACKER, host)


def set_options(host, timestamps, sack, window_scaling, mtu_bytes, ports):
    """What `host` offers in its next SYNs, and from which ports."""
    _inside(host.namespace, "sysctl", "-qw", f"net.ipv4.tcp_timestamps={timestamps}", f"net.ipv4.tcp_sack={sack}",
            f"net.ipv4.tcp_window_scaling={window_scaling}", f"net.ipv4.ip_local_port_range={ports[0]} {ports[1]}")
    # Routes beside the connected ones, which name an interface too: lower metric, smaller packets.
    _ip("-n", host.namespace, "route", "replace", "198.18.0.0/15", "dev", "lan0", "src", host.v4, "mtu", str(mtu_bytes))
    _ip("-n", host.namespace, "-6", "route", "replace", "2001:db8::/32", "dev", "lan0", "metric", "128", "mtu", str(mtu_bytes))


def destroy():
    """End what runs in the lab's namespaces and remove them: by their names, so
    that the leftovers of a killed run go too. Safe to call at any time."""
    for namespace in _namespaces():
        for _ in range(50):
            pids = _ip("netns", "pids", namespace, check=False).split()
            if not pids:
                break
            for pid in pids:
                _kill(int(pid))
            time.sleep(0.05)
        _ip("netns", "del", namespace, check=False)
    if _scratch_is_ours():
        shutil.rmtree(SCRATCH, ignore_errors=True)


def _attach(host):
    port = "to-" + host.name
    _ip("netns", "add", host.namespace)
    _ip("link", "add", "lan0", "netns", host.namespace, "address", host.mac,
        "type", "veth", "peer", "name", port, "netns", SWITCH)
    # With offloads on, the bridge would see 64 kB segments without checksums.
    for namespace, device in ((host.namespace, "lan0"), (SWITCH, port)):
        _inside(namespace, "ethtool", "-K", device,
                "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off")
    _ip("-n", SWITCH, "link", "set", port, "master", BRIDGE, "up")
    _ip("-n", host.namespace, "link", "set", "lo", "up")
    _ip("-n", host.namespace, "addr", "add", host.v4 + "/15", "dev", "lan0")
    _ip("-n", host.namespace, "addr", "add", host.v6 + "/32", "dev", "lan0", "nodad")
    _ip("-n", host.namespace, "link", "set", "lan0", "up")


def _neighbour(host, other):
    _ip("-n", host.namespace, "neigh", "replace", other.v6,
        "lladdr", other.mac, "dev", "lan0", "nud", "permanent")


def _make_scratch():
    SCRATCH.mkdir(mode=0o755)
    (SCRATCH / "resolv.conf").write_text(
        f"nameserver {SERVER.v4}\nnameserver {SERVER.v6}\noptions timeout:2\n")
    (SCRATCH / "nsswitch.conf").write_text(
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n")


def _scratch_is_ours():
    try:
        status = os.lstat(SCRATCH)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0


def _namespaces():
    names = (line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip())
    return [name for name in names if name.startswith(PREFIX)]


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _inside(namespace, *argv):
    _ip("netns", "exec", namespace, *argv)


def _ip(*arguments, check=True):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
