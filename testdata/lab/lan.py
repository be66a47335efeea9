#!/usr/bin/env python3
"""What neighbours tell each other unasked: discovery by broadcast and multicast, group membership, and answers that come too late.

    lan.py serve|listen|KIND SEED HOST

The lengths and repetitions are those of the protocols' specifications and of the systems that speak them; contents are random. `serve` runs on
the clients and answers some of the questions; `listen` on the server, for `peers`.
Not here: conversations with a server (`talk`).
"""

import asyncio
import os
import random
import socket
import struct
import subprocess
import sys
import time

DEVICE = "lan0"
# One start of a program speaks for some neighbours, for a few seconds.
TURNS = 4
TURNS_S = 4
SERVER_V4 = "198.18.0.10"
QUIET_V4 = "198.18.0.96"
BROADCAST = "198.19.255.255"
EVERYBODY = "255.255.255.255"
LLMNR = ("224.0.0.252", 5355)
LLMNR_V6 = ("ff02::1:3", 5355)
MDNS = ("224.0.0.251", 5353)
SSDP = ("239.255.255.250", 1900)
WSD = ("239.255.255.250", 3702)
# Ports at which programs look for their like: file synchronisers, players, printers, scanners, games, cameras, phones, routers, licences.
ANNOUNCED = (1124, 1947, 2054, 2190, 3289, 3483, 5001, 5246, 5678, 5938, 6537, 6666, 6667, 6771, 7437, 7788, 8610, 8612, 9478, 9956, 9999, 10001, 10004, 10019,
             15600, 17500, 20002, 20561, 21027, 22222, 24672, 25565, 27036, 32410, 32412, 32414, 34328, 37020, 38899, 42000, 48899, 50001, 54915, 56700, 57621)


def neighbours(number):
    """The further addresses of host `number`: one host speaks for many."""
    return [(f"198.18.{number}.{own}", f"2001:db8::{number}:{own}") for own in range(1, 41)]


def link(own_port=0, family=socket.AF_INET, own=None):
    """A socket of one of the neighbours; `own` is another address, all of them if empty."""
    if own is None:
        own = random.choice(neighbours(int(sys.argv[3])))[family == socket.AF_INET6]
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())
    if family == socket.AF_INET:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), bytes(4), socket.if_nametoindex(DEVICE)))
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(DEVICE))
    made.bind((own, own_port))
    return made


def say(one, to, size, times=1, pause_s=(0, 0), vary=0):
    for number in range(times):
        if number:
            time.sleep(random.uniform(*pause_s))
        try:
            one.sendto(os.urandom(max(1, size + random.randint(-vary, vary))), to)
        except OSError:
            pass  # A host that is gone said so by ICMP.


def name_length(rng):
    return rng.choice((4, 6, 15, rng.randint(1, 15), rng.randint(1, 15), rng.randint(3, 10)))


def resolve(rng):
    """LLMNR: one name over both families, each question once or twice."""
    for _ in range(rng.randint(1, 4)):
        size = 18 + name_length(rng)
        for _ in range(rng.choice((1, 1, 2))):
            times = rng.choice((1, 2, 2))
            for family, to in ((socket.AF_INET6, LLMNR_V6), (socket.AF_INET, LLMNR)):
                with link(0, family) as one:
                    say(one, to, size, times, rng.choice(((0.09, 0.12), (0.4, 0.42))))
        time.sleep(rng.uniform(0, 0.5))


def netbios(rng):
    """NetBIOS: names asked for, names registered, browsers' datagrams."""
    kind = rng.choice(("query", "query", "register", "browse", "status"))
    if kind == "browse":
        with link(138) as one:
            say(one, (BROADCAST, 138), rng.randint(170, 260), rng.choice((1, 1, 3)), (0.01, 2))
    elif kind == "status":
        with link(rng.choice((137, 0))) as one:
            say(one, (SERVER_V4, 137), 50, rng.choice((1, 3)), (1.4, 1.6))
    else:
        with link(137) as one:
            for _ in range(rng.randint(1, 3)):
                say(one, (BROADCAST, 137), *((50, rng.choice((1, 3, 3)), (0.74, 0.77)) if kind == "query" else (68, 4, (0.24, 0.27))))


def search(rng):
    """SSDP: who is there? Answered by `serve`."""
    with link(rng.choice((0, 0, 0, 1901, 50_000))) as one:
        size = rng.randint(88, 190)
        say(one, SSDP, size, rng.randint(1, 4), rng.choice(((0.01, 0.1), (0.9, 3.1))), rng.choice((0, 0, 12)))
        time.sleep(1)


def notify(rng):
    """SSDP: everything that a device offers, a datagram each, once or a few times."""
    with link(rng.choice((0, 0, 1900, rng.randint(1025, 5000)))) as one:
        size = rng.randint(260, 460)
        for _ in range(rng.choice((1, 1, 2, 3))):
            say(one, SSDP, size, rng.randint(1, 14), rng.choice(((0, 0.002), (0.01, 0.2))), rng.randint(0, 60))
            time.sleep(rng.uniform(0, 1.5))


def bonjour(rng):
    with link(5353) as one:
        say(one, MDNS, rng.choice((rng.randint(25, 80), rng.randint(80, 500), rng.randint(200, 1300))), rng.randint(1, 4), (0.2, 2), rng.randint(0, 20))


def discover(rng):
    """WS-Discovery: the same question several times."""
    with link() as one:
        say(one, WSD, rng.randint(380, 1300), rng.choice((2, 2, 4)), (0.05, 0.3))
        time.sleep(0.6)


def lease(rng):
    """DHCP: a question, an answer to everybody or to one, or DHCPv6's question."""
    kind = rng.choice(("ask", "ask", "answer", "relay", "six", "six"))
    if kind == "answer":
        with link(67) as one:
            say(one, (rng.choice((EVERYBODY, SERVER_V4, BROADCAST)), 68), rng.choice((300, 300, 304, 318, rng.randint(260, 560))), rng.randint(1, 2), (0, 2))
        return
    if kind == "relay":
        with link(67) as one:
            say(one, (SERVER_V4, 67), rng.randint(290, 420), rng.randint(1, 2), (0, 2))
        return
    if kind == "six":
        with link(546, socket.AF_INET6) as one:
            say(one, ("ff02::1:2", 547), rng.randint(60, 180), rng.choice((1, 1, 3)), (1, 2), rng.choice((0, 3)))
        return
    with link(68) as one:
        say(one, (EVERYBODY, 67), rng.choice((244, 300, 300, 300, 308, rng.randint(250, 548))), rng.randint(1, 3), (1, 3))


def announce(rng):
    """Programs that look for their like on the local network."""
    port = rng.choice((*ANNOUNCED, rng.randint(1024, 65_535), rng.randint(1024, 65_535)))
    to = rng.choice((BROADCAST, EVERYBODY, f"239.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}", f"224.0.0.{rng.randint(100, 250)}"))
    with link(rng.choice((port, port, 0, rng.randint(1024, 5000)))) as one:
        size = rng.choice((rng.randint(4, 60), rng.randint(20, 200), rng.randint(100, 520)))
        say(one, (to, port), size, rng.choice((1, 1, 2, 3, 6)), rng.choice(((0.0, 0.05), (0.5, 1.5))), rng.choice((0, 0, 0, 4, 30)))


def membership(rng):
    """Groups joined and left, as the querier's version of IGMP wants it."""
    with open(f"/proc/sys/net/ipv4/conf/{DEVICE}/force_igmp_version", "w") as version:
        version.write(rng.choice("0223"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        index = socket.if_nametoindex(DEVICE)
        groups = [bytes((rng.choice((239, 239, 224, 233)), rng.randint(1, 255), rng.randrange(256), rng.randint(1, 254))) for _ in range(rng.randint(1, 5))]
        for group in groups:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", group, bytes(4), index))
            time.sleep(rng.uniform(0, 0.3))
        time.sleep(rng.uniform(0.3, 9))
        for group in groups:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, struct.pack("4s4si", group, bytes(4), index))
    time.sleep(rng.uniform(0, 1))


def querier(rng):
    """A switch asks who is in which group (RFC 2236, RFC 3376)."""
    length = rng.choice((8, 12))
    message = struct.pack("!BBH4s", 0x11, rng.choice((20, 100)), 0, bytes(4)) + bytes((2, 125, 0, 0))[:length - 8]
    total = sum(struct.unpack(f"!{length // 2}H", message))
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as one:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), bytes(4), socket.if_nametoindex(DEVICE)))
        one.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\x00\x00")
        one.sendto(message[:2] + struct.pack("!H", total) + message[4:], ("224.0.0.1", 0))


def hasty(rng):
    """Asks and does not wait: the answer is turned away by ICMP, which quotes it."""
    for _ in range(rng.randint(1, 4)):
        port = rng.choice((53, 53, 123, 161, 137, 5060, 3478, 500))
        question = os.urandom(rng.randint(48, 300))
        if port == 53:
            name = rng.choice(("www", "six", "files", "home", f"no-{rng.randrange(999)}" * rng.randint(1, 4)))
            question = os.urandom(2) + b"\x01\x00\x00\x01" + bytes(6) + b"".join(bytes((len(part),)) + part.encode() for part in (name, "lab", "test", "")) + b"\x00\x01\x00\x01"
        with link() as one:
            say(one, (SERVER_V4, port), len(question)) if port != 53 else one.sendto(question, (SERVER_V4, port))
        time.sleep(rng.uniform(0, 0.6))


def names(rng):
    """Names of any length, asked for as stub resolvers do: with and without EDNS."""
    for _ in range(rng.randint(1, 5)):
        labels = ["".join(rng.choices("abcdefghij-klmn0123", k=rng.randint(2, 14))) for _ in range(rng.randint(1, 4))]
        question = b"".join(bytes((len(part),)) + part.encode() for part in (*labels, "lab", "test", "")) + rng.choice((b"\x00\x01", b"\x00\x1c")) + b"\x00\x01"
        options = rng.choice((b"", b"", b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00", b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08" + os.urandom(8)))
        with link() as one:
            one.settimeout(1)
            try:
                one.sendto(os.urandom(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00" + bytes((bool(options),)) + question + options, (SERVER_V4, 53))
                one.recv(2048)
            except OSError:
                pass
        time.sleep(rng.uniform(0, 0.3))


def swarm(rng):
    """One port that asks many whether they live: most do not answer, or are gone."""
    with link(rng.randint(1025, 65_535)) as one:
        size = rng.choice((18, 18, 20, 21, 22, 25, 30, 36, rng.randint(18, 130)))
        for _ in range(rng.randint(5, 30)):
            to = (rng.choice((SERVER_V4, QUIET_V4, QUIET_V4)), rng.choice((80, 443, 33_033, *(rng.randint(1024, 65_535) for _ in range(6)))))
            say(one, to, size, rng.choice((1, 1, 1, 2, 3)), (0.2, 1.0), rng.choice((0, 0, 3)))
            time.sleep(rng.uniform(0, 0.15))


def listening(seed):
    return sorted(random.Random(f"{seed}/peers").sample([port for port in range(1024, 65_536)], 300))


def peers(rng):
    """Connections to any port, as calls, games and file sharing make them: taken, refused, or never answered."""
    ports = listening("peers")
    for _ in range(rng.randint(1, 5)):
        to = (SERVER_V4, rng.choice(ports)) if rng.random() < 0.75 else (rng.choice((SERVER_V4, QUIET_V4, QUIET_V4)), rng.randint(1024, 65_535))
        with socket.socket() as one:
            one.bind((random.choice(neighbours(int(sys.argv[3])))[0], 0))
            one.settimeout(rng.choice((2, 4, 8)))
            if rng.random() < 0.4:
                one.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT: asks for a cookie.
            try:
                one.connect(to)
                for _ in range(rng.choice((0, 1, 1, 2, 4, 10))):
                    one.sendall(os.urandom(rng.choice((rng.randint(1, 30), rng.randint(10, 300), rng.randint(100, 1400)))))
                    if rng.random() < 0.8:
                        one.recv(65_536)
                    time.sleep(rng.expovariate(1 / rng.choice((0.02, 0.3))))
            except OSError:
                pass


def odd_ping(rng):
    """One echo or some, of any size, answered or not."""
    subprocess.run(["ping", "-q", "-I", random.choice(neighbours(int(sys.argv[3])))[0], "-c", str(rng.choice((1, 1, 2, 4))), "-i", "0.5", "-W", "1", "-s", str(rng.choice((0, 8, 32, 32, rng.randint(0, 200), rng.randint(0, 1400)))),
                    rng.choice((SERVER_V4, QUIET_V4))], stdout=subprocess.DEVNULL)


async def listen():
    """The other end of `peers`."""
    async def talk(reader, writer):
        try:
            while data := await reader.read(65_536):
                writer.write(os.urandom(random.randint(1, random.choice((20, 300, 3000)))))
                await writer.drain()
        except OSError:
            pass
        writer.close()
    for port in listening("peers"):
        try:
            await asyncio.start_server(talk, "0.0.0.0", port)
        except OSError:
            pass  # Somebody else's port.
    await asyncio.Event().wait()


KINDS = {kind.__name__: kind for kind in (resolve, netbios, search, notify, bonjour, discover, lease, announce, membership, querier, hasty, names, swarm, peers, odd_ping)}


class Neighbour(asyncio.DatagramProtocol):
    """Answers a question now and then: `sizes` of `count` datagrams, from the port asked or from another."""

    def __init__(self, share, count, sizes, from_elsewhere=0.0, to=None):
        self.share, self.count, self.sizes, self.from_elsewhere, self.to = share, count, sizes, from_elsewhere, to

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        # Announcements are no questions.
        if random.random() < self.share and (address[1] != 1900 or self.to):
            asyncio.ensure_future(self.answer(address))

    async def answer(self, address):
        await asyncio.sleep(random.expovariate(1 / 0.15))
        size, elsewhere = random.randint(*self.sizes), link(random.choice((0, random.randint(1025, 5000)))) if random.random() < self.from_elsewhere else None
        for _ in range(random.randint(1, self.count)):
            data = os.urandom(max(4, size + random.randint(-15, 15)))
            try:
                elsewhere.sendto(data, address) if elsewhere else self.transport.sendto(data, self.to or address)
            except OSError:
                pass
            await asyncio.sleep(random.expovariate(1 / 0.02))
        if elsewhere:
            elsewhere.close()


async def serve():
    loop = asyncio.get_running_loop()
    index = socket.if_nametoindex(DEVICE)
    for (group, port), neighbour in ((LLMNR, (0.2, 1, (50, 90))), (SSDP, (0.8, 6, (250, 470), 0.5)), (MDNS, (0.1, 1, (60, 900), 0, MDNS)),
                                     (WSD, (0.6, 2, (650, 1380)))):
        one = link(port, own="")
        one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", socket.inet_aton(group), bytes(4), index))
        await loop.create_datagram_endpoint(lambda neighbour=neighbour: Neighbour(*neighbour), sock=one)
    await loop.create_datagram_endpoint(lambda: Neighbour(0.2, 1, (55, 70)), sock=link(137, own=""))
    await asyncio.Event().wait()


def main():
    kind, seed = sys.argv[1:3]
    random.seed(seed)
    servers = {"serve": serve, "listen": listen}
    if kind in servers:
        asyncio.run(servers[kind]())
    rng = random.Random(seed)
    end = time.monotonic() + TURNS_S
    for _ in range(TURNS):
        if time.monotonic() < end:
            KINDS[kind](rng)


if __name__ == "__main__":
    main()
