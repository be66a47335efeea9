"""The second part of the training captures, five minutes: what the first has too little of.

Neighbours' chatter on a local network (`lan`), logins at ssh servers of all kinds and guessing at them with the same and other clients (`gates`),
FTP whose server connects back, scans and datagram floods of any size, and reflections whose answers are as small as real devices' often are.
Slices are short, so that many begin in the middle of conversations.
Not here: the first part (`training`).
"""

import contextlib
import dataclasses
import random
import threading
import time

import attack
import benign
import gates
import label
import lan
import pack
import training
from attack import Attack, Target
from capture import Capture
from server import ACCOUNT, LIMIT_S, PASSWORD
from stacks import Stacks
from topology import ATTACKER, CLIENTS, LAB, REFLECTIONS, SERVER, SILENT_V4, VICTIM_V4, _ip

CAPTURE = "train-variety.pcap"
ACTORS_PER_CLIENT = 13
PATIENCE_S = 20
LEAD_S = 15
TURN_S = 30
SLICE_S = 30
LATE_S = 20


def record(seed, folder, output, say):
    """As `training.record`: one view, the bridge's, without the forged questions to the reflector."""
    for host in CLIENTS:
        for v4, v6 in lan.neighbours(host.number):
            _ip("-n", host.namespace, "addr", "add", v4 + "/15", "dev", "lan0")
            _ip("-n", host.namespace, "addr", "add", v6 + "/32", "dev", "lan0", "nodad", "preferred_lft", "0")
        host.start(["/usr/bin/python3", LAB / "lan.py", "serve", f"{seed}/{host.name}", host.number], LIMIT_S, "lan.log")
    SERVER.start(["/usr/bin/python3", LAB / "lan.py", "listen", seed, SERVER.number], LIMIT_S, "lan.log")
    gates.start()
    deadline = time.monotonic() + 10
    while not gates.ready():
        if time.monotonic() > deadline:
            raise RuntimeError("not every ssh server came up")
        time.sleep(0.2)
    windows = []
    rng = random.Random(f"{seed}/variety")
    with contextlib.ExitStack() as running:
        running.enter_context(Capture(folder / CAPTURE, snaplen_bytes=training.SNAPLEN_BYTES, expression="not dst net 198.18.40.0/24"))
        running.enter_context(Stacks(seed))
        running.enter_context(benign.Crowd(f"{seed}/variety", PATIENCE_S, ACTIVITIES, ACTORS_PER_CLIENT))
        time.sleep(LEAD_S)
        reflections = threading.Thread(target=reflect, args=(rng.getrandbits(32), windows, say), daemon=True)
        reflections.start()
        for number, (v4, v6) in gates.ADDRESSES.items():
            say(f"  guessing at {number}")
            windows += guess(number, v4 if rng.random() < 0.75 else v6, rng)
            time.sleep(attack.MARGIN_AFTER_S + attack.MARGIN_BEFORE_S)
        say("  datagrams")
        windows.append(attack.wage(Attack("dos-udpflood", datagrams, (*training._at("udp", "", ATTACKER.v4), *training._at("icmp", "", ATTACKER.v4)), at_once=True),
                                   training.SLOW))
        reflections.join()
        time.sleep(LEAD_S)
    return rows(folder / CAPTURE, output, SLICE_S, windows, LATE_S)


def rows(capture, output, slice_s, windows, late_s):
    """Packs the capture into slices and gives their rows. As in `training` the attacked addresses do nothing else, and the latest window comes first."""
    windows = [dataclasses.replace(window, end_s=window.end_s + late_s) for window in sorted(windows, key=lambda window: -window.start_s)]
    return [row for piece, start_s, end_s in pack.pack(capture, output, slice_s)
            for row in label.rows(piece, [window for window in windows if window.start_s < end_s and window.end_s > start_s])]


def guess(number, address, rng):
    """Every tool at one address, for at most TURN_S."""
    start_s = time.time()
    commands = [*gates.guesses(address, rng), *(gates.ftp_guesses(address, rng) if number in gates.FTP else ())]
    running = [ATTACKER.start(argv, TURN_S, "guesses.log") for argv in commands]
    for program in running:
        program.wait()
    for name, port in (("ssh-bruteforce", "22"), ("ftp-bruteforce", "21")):
        one = Attack(name, None, (Target("tcp", ATTACKER.v4, "", port), Target("tcp", ATTACKER.v6, "", port)))
        yield attack.Window(one, start_s - attack.MARGIN_BEFORE_S, time.time() + attack.MARGIN_AFTER_S)


# Ports of small answers, by the class that they count as: a protocol that is abused as much as all others together has one of its own.
SMALL = {"ddos-snmp-amplification": (161,), "ddos-udp-amplification": (17, 19, 69, 111, 123, 137, 177, 389, 427, 500, 520, 1434, 1900, 3283, 3702, 4500, 5353, 5683,
                                                                   10001, 11211, 27015, 30718, 37810, 47808)}


def reflect(seed, windows, say):
    """Forged questions, from a new port of the victim's each time or all from one; the victim is one host or another, so that classes do not mix."""
    rng = random.Random(seed)
    for name, ports in SMALL.items():
        say(f"  {name}")

        def commands(scale, ports=ports):
            for port in ports:
                # Most of all forged questions go to a few protocols.
                for _ in range(48 if len(ports) == 1 else 8 if port in (123, 389, 500, 1900, 3702, 4500) else 3):
                    # Who is hit picks no port: any will do, those of services too. Above the reflector's own where that is not a system's, for
                    # training draws the higher port of two anew, as a client's.
                    first = rng.randint(1, 1023) if port < 1024 and rng.random() < 0.12 else rng.randint(max(1024, port + 1), 65_000)
                    kept = ["-k"] if rng.random() < 0.2 else []
                    yield ["hping3", "-q", "-n", "--udp", "-d", 40, "-i", f"u{rng.choice((20_000, 60_000, 200_000))}", "-s", first, *kept,
                           "-c", 24 if len(ports) > 1 else 18, "-a", rng.choice((VICTIM_V4, SILENT_V4)), "-p", port, rng.choice(REFLECTIONS)]

        addresses = (*training._at("", "", VICTIM_V4), *training._at("", "", SILENT_V4))
        windows.append(attack.wage(Attack(name, lambda scale: list(commands(scale)), addresses, at_once=True), training.SLOW))
        time.sleep(attack.MARGIN_AFTER_S + LATE_S)


def datagrams(scale):
    """hping3: floods of datagrams of any size to any port."""
    rng = random.Random("datagrams")
    return [["hping3", "-q", "-n", "--udp", "-i", f"u{rng.choice((5000, 20_000))}", "-c", 30, *(["-k"] if rng.random() < 0.3 else []),
             "-d", rng.choice((rng.randint(1, 60), rng.randint(1, 500), rng.randint(500, 1440))),
             "-p", rng.randint(1024, 65_535), rng.choice((SILENT_V4, SERVER.v4))] for _ in range(20)]


def chatter(kind):
    def activity(host, rng, family):
        host.run(["/usr/bin/python3", LAB / "lan.py", kind, rng.getrandbits(32), host.number], benign.LIMIT_S)
    return activity


def login(host, rng, family):
    """At any of the servers with any client, now and then after a mistyped password."""
    address = rng.choice(list(gates.ADDRESSES.values()))[family == "-6"]
    client = rng.choice(gates.CLIENTS)
    command = rng.choice(("date", "date", "ls -l /etc", "cat /etc/services", "sleep 2; uname -a", "head -c 200000 /dev/zero"))
    for password in ([PASSWORD[:-1]] if rng.random() < 0.1 else []) + [PASSWORD]:
        host.run(client(address, password, rng, command), benign.LIMIT_S, "logins.log")


def shell(host, rng, family):
    """A shell for some seconds: what is typed comes in pieces."""
    address = rng.choice(list(gates.ADDRESSES.values()))[family == "-6"]
    client = rng.choice((gates.openssh, gates.putty, gates.dropbear))
    typed = "; ".join(f"echo {rng.choice(('ls', 'df', 'date', 'id'))}; sleep {rng.uniform(0.1, 2):.1f}" for _ in range(rng.randint(2, 8)))
    argv = client(address, PASSWORD, rng, None)
    host.run(["sh", "-c", f"({typed}; echo exit) | " + " ".join(map(gates.quoted, argv))], benign.LIMIT_S, "logins.log")


def active_ftp(host, rng, family):
    """FTP as old clients speak it: the server connects from its port 20."""
    v4, v6 = rng.choice([(SERVER.v4, SERVER.v6), *(gates.ADDRESSES[number] for number in gates.FTP)])
    address = v4 if family == "-4" else f"[{v6}]"
    path = rng.choice(("", "object/", f"object/{rng.randrange(20)}", f"object/{rng.randrange(20)}", f"download/{rng.randrange(2)}"))
    host.run([*benign.CURL, *(["-P", "-"] if rng.random() < 0.7 else []), "--disable-eprt" if family == "-4" and rng.random() < 0.5 else "--no-keepalive", "-u", f"{ACCOUNT}:{PASSWORD}",
              "-o", "/dev/null", f"ftp://{address}/{path}"], benign.LIMIT_S)


ACTIVITIES = (
    *((chatter(kind), weight) for kind, weight in (("resolve", 6), ("netbios", 5), ("search", 3), ("notify", 3), ("bonjour", 3), ("discover", 2), ("lease", 5),
                                               ("announce", 8), ("membership", 4), ("querier", 1), ("hasty", 6), ("names", 6), ("swarm", 2), ("peers", 6), ("odd_ping", 4))),
    (login, 70), (shell, 12), (active_ftp, 16), (training.talk("echo"), 4), (training.talk("idle"), 4), (training.talk("application"), 6),
    (training.talk("question"), 4), (benign.page, 3), (benign.page_at_once, 3), (benign.reading, 5), (benign.objects_one_by_one, 3), (benign.lookups, 4),
    (training.talk("snmp"), 1), (training.talk("ntp"), 2), (training.talk("quic"), 2),
)
