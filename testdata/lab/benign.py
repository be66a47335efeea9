"""Ordinary traffic: two clients that browse, fetch, look up, log in, copy, ping and measure.

Each actor is a thread that draws its next activity from its own seeded
generator, so the mix repeats with the seed (the timing does not).
Not here: anything that wants to do harm, or its labels.
"""

import random
import subprocess
import threading
import time

from server import (ACCOUNT, DOMAIN, DOWNLOADS_COUNT, IPERF_PORTS, OBJECTS_COUNT, PASSWORD)
from topology import CLIENTS, SCRATCH, SERVER

ACTORS_PER_CLIENT = 3
PAUSE_MEAN_S = 0.4
LIMIT_S = 25

WEB = f"www.{DOMAIN}"
CURL = ("curl", "-sSk", "--max-time", "20")
SSH_OPTIONS = ("-F", SCRATCH / "ssh_config", "-i", SCRATCH / "ssh_user_key")


class Crowd:
    """Use as `with Crowd(seed, patience_s):`; benign traffic runs for as long as the
    block does, and activities that have begun get `patience_s` to end by themselves."""

    def __init__(self, seed, patience_s=LIMIT_S, activities=None, actors_count=ACTORS_PER_CLIENT):
        self.seed = seed
        self.activities = activities or ACTIVITIES
        self.actors_count = actors_count
        self.patience_s = patience_s
        self.over = threading.Event()
        self.actors = []

    def __enter__(self):
        for client_index, client in enumerate(CLIENTS):
            for actor_index in range(self.actors_count):
                rng = random.Random(f"{self.seed}/{client_index}/{actor_index}")
                actor = threading.Thread(target=self._live, args=(client, rng), daemon=True)
                self.actors.append(actor)
                actor.start()
        return self

    def __exit__(self, kind, value, traceback):
        self.over.set()
        deadline = time.monotonic() + self.patience_s
        for actor in self.actors:
            # On an error the namespaces go away under the actors; do not wait for them.
            actor.join(max(0, deadline - time.monotonic()) if kind is None else 0)

    def _live(self, host, rng):
        names, weights = zip(*self.activities)
        while not self.over.wait(min(2.0, rng.expovariate(1 / PAUSE_MEAN_S))):
            activity, = rng.choices(names, weights)
            activity(host, rng, rng.choice(("-4", "-6")))


def page(host, rng, family):
    """A page and some of its objects over one connection."""
    first, last = _objects(rng, 8)
    version = rng.choice(("--http1.1", "--http2"))
    site = _site(rng)
    host.run([*CURL, family, version, "-o", "/dev/null", f"{site}/index.html",
              "-o", "/dev/null", f"{site}/object/[{first}-{last}]"], LIMIT_S)


def page_at_once(host, rng, family):
    """A page whose objects come over several connections in parallel."""
    first, last = _objects(rng, 8)
    host.run([*CURL, family, "--http1.1", "--parallel", "--parallel-immediate",
              "--parallel-max", 5, "-o", "/dev/null", f"{_site(rng)}/object/[{first}-{last}]"],
             LIMIT_S)


def objects_one_by_one(host, rng, family):
    """A client that closes the connection after every object."""
    first, last = _objects(rng, 6)
    host.run([*CURL, family, "--http1.1", "-H", "Connection: close", "-o", "/dev/null",
              f"{_site(rng)}/object/[{first}-{last}]"], LIMIT_S)


def reading(host, rng, family):
    """A reader who keeps the connection open and asks for something now and then."""
    first, last = _objects(rng, 4)
    host.run([*CURL, family, "--http1.1", "--rate", f"{rng.randint(30, 90)}/m", "-o", "/dev/null",
              f"{_site(rng)}/object/[{first}-{last}]"], LIMIT_S)


def mirror(host, rng, family):
    """wget follows the links of the page."""
    folder = SCRATCH / f"mirror-{rng.getrandbits(32)}"
    host.run(["wget", "-q", family, "-r", "-l", 1, "-nd", "--delete-after", "-P", folder,
              f"http://{WEB}/index.html"], LIMIT_S)


def download(host, rng, family):
    """One larger file at a limited rate."""
    rate = rng.choice(("150k", "300k", "600k"))
    host.run(["wget", "-q", family, "--no-check-certificate", f"--limit-rate={rate}",
              "-O", "/dev/null", f"{_site(rng)}/download/{rng.randrange(DOWNLOADS_COUNT)}"],
             LIMIT_S)


def upload(host, rng, family):
    """A slow but honest request body."""
    rate = rng.choice(("10k", "40k", "200k"))
    host.run([*CURL, family, "--limit-rate", rate, "-T", SCRATCH / "document", "-o", "/dev/null",
              f"{_site(rng)}/upload/"], LIMIT_S)


def private_page(host, rng, family):
    """The account's owner, who mistypes the password one time in four."""
    if rng.random() < 0.25:
        host.run([*CURL, family, "-u", f"{ACCOUNT}:{PASSWORD[:-1]}", "-o", "/dev/null",
                  f"http://{WEB}/private/"], LIMIT_S)
    host.run([*CURL, family, "-u", f"{ACCOUNT}:{PASSWORD}", "-o", "/dev/null",
              f"http://{WEB}/private/"], LIMIT_S)


def lookups(host, rng, family):
    """Names that exist, names that do not, and other record types."""
    address = SERVER.v4 if family == "-4" else SERVER.v6
    questions = []
    for _ in range(rng.randint(2, 8)):
        name, kind = rng.choice((
            (WEB, "A"), (WEB, "AAAA"), (f"files.{DOMAIN}", "A"), (f"home.{DOMAIN}", "A"),
            (f"six.{DOMAIN}", "AAAA"), (f"four.{DOMAIN}", "AAAA"), (DOMAIN, "MX"),
            (DOMAIN, "TXT"), (f"no-{rng.randrange(1000)}.{DOMAIN}", "A")))
        questions += [name, kind]
    transport = "+tcp" if rng.random() < 0.1 else "+notcp"
    host.run(["dig", f"@{address}", "+tries=1", "+time=2", transport, *questions], LIMIT_S)


def shell(host, rng, family):
    """Somebody types into a remote shell."""
    lines = rng.sample(("ls -l /", "uname -a", "id", "df", "cat /etc/services", "date", "env"), 3)
    session = host.start(["ssh", "-tt", family, *SSH_OPTIONS, WEB], LIMIT_S,
                         stdin=subprocess.PIPE)
    try:
        for line in [*lines, "exit"]:
            time.sleep(rng.uniform(0.2, 0.9))
            for part in (line[: len(line) // 2], line[len(line) // 2:] + "\n"):
                session.stdin.write(part.encode())
                session.stdin.flush()
                time.sleep(rng.uniform(0.05, 0.2))
        session.stdin.close()
    except BrokenPipeError:
        pass
    session.wait()


def password_login(host, rng, family):
    """A login by password, sometimes mistyped once before."""
    if rng.random() < 0.25:
        _ssh_with(host, family, PASSWORD[:-1])
    _ssh_with(host, family, PASSWORD)


def copy(host, rng, family):
    """scp to the server or from it."""
    name = f"{ACCOUNT}@{WEB}"
    if rng.random() < 0.5:
        files = (SCRATCH / "document", f"{name}:document-{host.name}")
    else:
        files = (f"{name}:/etc/services", SCRATCH / f"services-{rng.getrandbits(32)}")
    host.run(["scp", "-q", family, *SSH_OPTIONS, "-l", rng.choice((1000, 4000)), *files], LIMIT_S)


def ping(host, rng, family):
    """Echo requests of several sizes; the largest travel as fragments."""
    size_bytes = rng.choice((8, 56, 56, 512, 1400, 3000))
    host.run(["ping", "-q", family, "-c", rng.randint(2, 6), "-i", "0.25", "-s", size_bytes,
              WEB], LIMIT_S)


def measurement(host, rng, family):
    """iperf3 at a small rate, TCP or UDP, in either direction."""
    port = IPERF_PORTS[CLIENTS.index(host)]
    kind = rng.choice((["-b", "2M"], ["-b", "3M", "-P", 2], ["-u", "-b", "500K", "-l", 700],
                       ["-u", "-b", "200K", "-l", 160]))
    direction = ["-R"] if rng.random() < 0.5 else []
    host.run(["iperf3", "-c", WEB, family, "-p", port, "-t", rng.choice((1, 2)), *kind,
              *direction], LIMIT_S)


ACTIVITIES = (
    (page, 10), (page_at_once, 7), (objects_one_by_one, 9), (reading, 5), (mirror, 2),
    (download, 4), (upload, 4), (private_page, 4), (lookups, 12), (shell, 3),
    (password_login, 3), (copy, 3), (ping, 4), (measurement, 2),
)


def _site(rng):
    return f"{rng.choice(('http', 'https'))}://{WEB}"


def _objects(rng, count_max):
    first = rng.randrange(OBJECTS_COUNT - count_max)
    return first, first + rng.randrange(count_max)


def _ssh_with(host, family, password):
    host.run(["sshpass", "-p", password, "ssh", family, "-F", SCRATCH / "ssh_config",
              "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", WEB, "date"],
             LIMIT_S)
