#!/usr/bin/env python3
"""Everyday protocols of which Debian has no pair of small programs: both ends of each, by size and pace.

    talk.py serve
    talk.py KIND ADDRESS SEED

The payload is random; what matters to a flow is who sends how much and when. Each
kind is one function of the client; the server answers on the port of the kind.
Not here: protocols that real programs speak in this lab (HTTP, DNS, ssh, FTP).
"""

import asyncio
import os
import random
import socket
import subprocess
import sys
import time

LIMIT_S = 20
HTTP = 8000
# Services of which only the ports matter here: mail, files, databases, desktops, games, consoles and consumers' boxes.
APPLICATIONS = (110, 111, 113, 119, 135, 139, 143, 179, 389, 445, 465, 515, 548, 554, 587, 631, 636, 853, 873, 990, 993, 995, 1080, 1194, 1433,
                1521, 1723, 1935, 2049, 2082, 2083, 2222, 2375, 3000, 3128, 3306, 3389, 3478, 4000, 4433, 5000, 5060, 5228, 5432, 5672, 5900,
                5985, 6379, 6443, 6667, 6881, 7000, 7680, 8008, 8009, 8080, 8086, 8123, 8200, 8333, 8443, 8883, 8888, 9000, 9090, 9092,
                9200, 9418, 10000, 11211, 15672, 20000, 25565, 27017, 30303, 32400, 37777, 44818, 49152, 49200, 50000, 55443, 62078)
DATAGRAMS = (67, 68, 69, 88, 111, 137, 138, 389, 427, 464, 500, 514, 520, 623, 1194, 1434, 1701, 1812, 1813, 3074, 3283, 3389, 3478, 3702, 4500,
             5004, 5060, 5061, 5349, 5355, 6881, 7000, 8801, 9000, 10000, 10001, 16384, 17500, 19302, 22000, 30000, 34567, 37810, 41641, 51820)


def datagrams(address, port, own_port=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = socket.socket(family, socket.SOCK_DGRAM)
    if own_port:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        link.bind(("", own_port))
    link.settimeout(0.5)
    link.connect((address, port))
    return link


def exchange(link, size_bytes):
    """One question, and the answer if there is one."""
    try:
        link.send(os.urandom(size_bytes))
        link.recv(65_536)
    except OSError:
        pass


def ask(port, count, sizes, pause_s):
    def client(address, rng):
        link = datagrams(address, port)
        for _ in range(rng.randint(*count)):
            exchange(link, rng.randint(*sizes))
            time.sleep(rng.uniform(*pause_s))
    return client


def tell(port, count, sizes, pause_s):
    """Datagrams that nobody answers."""
    def client(address, rng):
        link = datagrams(address, port)
        for _ in range(rng.randint(*count)):
            try:
                link.send(os.urandom(rng.randint(*sizes)))
            except OSError:
                pass
            time.sleep(rng.expovariate(1 / pause_s))
    return client


def call(port, bytes_count, pace_s):
    """A stream of equal datagrams; the server sends one back for each."""
    def client(address, rng):
        link = datagrams(address, port)
        size = rng.choice(bytes_count)
        end = time.monotonic() + rng.uniform(2, 5)
        while time.monotonic() < end:
            exchange(link, size)
            time.sleep(pace_s)
    return client


def bulk(address, rng):
    """Much by datagrams, with small acknowledgements."""
    link = datagrams(address, 443)
    exchange(link, 1200)
    wanted = rng.randint(20, 250)
    received = 0
    link.send(b"get" + wanted.to_bytes(2, "big") + os.urandom(60))
    try:
        while received < wanted:
            link.recv(65_536)
            received += 1
            if received % 4 == 0:
                link.send(os.urandom(rng.randint(30, 45)))
    except OSError:
        pass


def session(port, rounds, sizes, pause_s):
    """A connection on which both sides say something now and then."""
    def client(address, rng):
        with socket.create_connection((address, port), timeout=LIMIT_S) as link:
            for _ in range(rng.randint(*rounds)):
                link.sendall(os.urandom(rng.randint(*sizes)))
                link.recv(65_536)
                time.sleep(rng.uniform(*pause_s))
    return client


def http(path):
    def client(address, rng):
        with socket.create_connection((address, HTTP), timeout=LIMIT_S) as link:
            for _ in range(rng.randint(1, 3)):
                link.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: lab\r\n" + b"X: " + b"y" * rng.randint(50, 400) + b"\r\n\r\n")
                end = time.monotonic() + 6
                while time.monotonic() < end and not link.recv(65_536).endswith(b"end."):
                    pass
    return client


def application(address, rng):
    """A connection to one of many services: who talks first and most differs from one to the next."""
    with socket.create_connection((address, rng.choice(APPLICATIONS)), timeout=LIMIT_S) as link:
        greeted, largest = rng.random() < 0.4, rng.choice((40, 200, 600, 3000))
        if greeted:
            link.sendall(b"?")
            link.recv(65_536)
        for _ in range(rng.choice((1, 1, 2, 3, 6, 15, 40))):
            link.sendall(os.urandom(rng.randint(2, largest)))
            link.recv(65_536)
            if rng.random() < 0.6:
                time.sleep(rng.expovariate(1 / rng.choice((0.01, 0.1, 0.6))))


def question(address, rng):
    """Datagrams to one of many services, with answers of any size; now and then the same port on both sides."""
    port = rng.choice(DATAGRAMS)
    link = datagrams(address, port, port if rng.random() < 0.2 else 0)
    largest = rng.choice((60, 200, 600, 1350))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8, 20))):
        exchange(link, rng.randint(4, largest))
        if rng.random() < 0.5:
            time.sleep(rng.expovariate(1 / rng.choice((0.02, 0.3))))


def beat(address, rng):
    """Keep-alives: a few bytes, now and then none, so that a translator does not forget."""
    link = datagrams(address, rng.choice(DATAGRAMS))
    exchange(link, rng.randint(20, 400))
    for _ in range(rng.randint(1, 5)):
        time.sleep(rng.uniform(0.5, 3))
        exchange(link, rng.choice((0, 1, 1, 2, 4, 8, 20)))


def quic(address, rng):
    """A page over QUIC: two full datagrams of a size that differs with the browser, then bursts."""
    link = datagrams(address, 443)
    for _ in range(rng.choice((1, 1, 2))):
        exchange(link, rng.choice((1200, 1232, 1250, 1252, 1292, 1350, 1357)))
    for _ in range(rng.randint(1, 4)):
        link.send(b"get" + rng.randint(1, 40).to_bytes(2, "big") + os.urandom(rng.randint(28, 400)))
        try:
            while True:
                link.recv(65_536)
                if rng.random() < 0.3:
                    link.send(os.urandom(rng.randint(25, 45)))
        except OSError:
            pass
        time.sleep(rng.uniform(0, 0.8))


def knock(address, rng):
    """A service that is not there: refused, or silent."""
    for _ in range(rng.randint(1, 2)):
        try:
            socket.create_connection((address, rng.choice((8443, 3306, 5432, 993, 111))), timeout=4).close()
        except OSError:
            pass
        time.sleep(rng.uniform(0.5, 1))


def echo(address, rng):
    """ping as people and monitors use it: one, a few, or one a second."""
    count, interval = rng.choice(((1, 1), (3, 1), (4, 0.2), (8, 0.5), (12, 1)))
    size = rng.choice((0, 24, 32, 56, 56, 56, 120, 972, 1400))
    subprocess.run(["ping", "-q", "-c", str(count), "-i", str(interval), "-s", str(size), "-W", "1", address], stdout=subprocess.DEVNULL)


def peer(address, rng):
    """One port that tries many: addresses of a swarm, most of them gone."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        link.settimeout(0.05)
        for _ in range(rng.randint(4, 30)):
            for _ in range(rng.choice((1, 1, 2))):
                try:
                    link.sendto(os.urandom(rng.randint(18, 130)), (address, rng.choice((5683, 27015, rng.randint(10_000, 60_000)))))
                    link.recv(2048)
                except OSError:
                    pass
            time.sleep(rng.uniform(0, 0.2))


def groups(address, rng):
    """Joins multicast groups and says something to them: IGMP or MLD, mDNS, SSDP."""
    if ":" in address:
        index = socket.if_nametoindex("lan0")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
            link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            for group, port in (("ff02::fb", 5353), ("ff02::1:3", 5355)):
                link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + index.to_bytes(4, sys.byteorder))
                for _ in range(rng.randint(1, 4)):
                    link.sendto(os.urandom(rng.randint(30, 300)), (group, port))
                    time.sleep(rng.uniform(0.1, 1))
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect((address, 9))
        own = socket.inet_aton(link.getsockname()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        for group, port in (("224.0.0.251", 5353), ("239.255.255.250", 1900)):
            link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + own)
            for _ in range(rng.randint(1, 4)):
                link.sendto(os.urandom(rng.randint(40, 350)), (group, port))
                time.sleep(rng.uniform(0.1, 1))


CLIENTS = {
    "echo": echo,
    "peer": peer,
    "groups": groups,
    "refused": tell(20_001, (1, 3), (10, 300), 0.4),
    "ntp": ask(123, (1, 4), (48, 48), (0.3, 2)),
    "snmp": ask(161, (1, 5), (70, 95), (0.05, 0.6)),
    "coap": ask(5683, (3, 20), (12, 60), (0.05, 0.8)),
    "game": call(27015, (40, 60, 90), 0.033),
    "voice": call(5004, (172, 92, 60), 0.02),
    "log": tell(514, (3, 20), (80, 400), 0.3),
    "announce": tell(5353, (1, 4), (60, 340), 1.0),
    "search": tell(1900, (1, 4), (90, 180), 0.7),
    "bulk": bulk,
    "mqtt": session(1883, (3, 9), (2, 60), (0.3, 1.5)),
    "mail": session(25, (5, 12), (10, 3000), (0, 0.1)),
    "chat": session(5222, (3, 10), (30, 400), (0.1, 2)),
    "idle": session(9100, (2, 3), (20, 200), (4, 7)),
    "poll": http(b"/poll"),
    "stream": http(b"/stream"),
    "knock": knock,
    "application": application,
    "question": question,
    "beat": beat,
    "quic": quic,
}


class Answer(asyncio.DatagramProtocol):
    """The server of a datagram port: `reply(data)` gives the sizes to send back."""

    def __init__(self, reply, pace_s=0.0):
        self.reply, self.pace_s = reply, pace_s

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        asyncio.ensure_future(self.send(self.reply(data), address))

    async def send(self, sizes, address):
        for size in sizes:
            self.transport.sendto(os.urandom(size), address)
            if self.pace_s:
                await asyncio.sleep(self.pace_s)


def object_of(data):
    return [1200] * int.from_bytes(data[3:5], "big") if data.startswith(b"get") else [1200] if len(data) > 1000 else []


async def say(reader, writer):
    while data := await reader.read(65_536):
        writer.write(os.urandom(min(1400, random.randint(4, 80) + len(data) // 20)))
        await writer.drain()
    writer.close()


async def serve_http(reader, writer):
    while request := await reader.read(65_536):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if b"/poll" in request:
            await asyncio.sleep(random.uniform(0.5, 4))
            writer.write(os.urandom(random.randint(50, 900)))
        else:
            for _ in range(random.randint(4, 20)):
                writer.write(os.urandom(random.randint(500, 14_000)))
                await writer.drain()
                await asyncio.sleep(random.uniform(0.02, 0.3))
        writer.write(b"end.")
        await writer.drain()
    writer.close()


async def serve():
    loop = asyncio.get_running_loop()
    replies = {
        123: lambda data: [48], 161: lambda data: [random.randint(80, 220)], 5683: lambda data: [random.randint(8, 90)],
        27015: lambda data: [random.randint(80, 320)], 5004: lambda data: [len(data)], 514: lambda data: [], 443: object_of,
    }
    for port in DATAGRAMS:
        replies.setdefault(port, lambda data: [random.randint(4, random.choice((60, 200, 600, 1350)))] if len(data) > 8 else [])
    for host in ("0.0.0.0", "::"):
        family = socket.AF_INET6 if host == "::" else socket.AF_INET
        for port, reply in replies.items():
            link = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            link.bind((host, port))
            await loop.create_datagram_endpoint(lambda reply=reply, port=port: Answer(reply, 0.001 if port == 443 else 0), sock=link)
        for port in (25, 1883, 5222, 9100, *APPLICATIONS):
            await asyncio.start_server(say, host, port)
        await asyncio.start_server(serve_http, host, HTTP)
    await asyncio.Event().wait()


def main():
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    kind, address, seed = sys.argv[1:4]
    try:
        CLIENTS[kind](address, random.Random(seed))
    except OSError:
        pass  # A lost or refused connection is traffic too.


if __name__ == "__main__":
    main()
