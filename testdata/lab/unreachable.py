#!/usr/bin/env python3
"""The third part of the training captures, half a minute: questions that end in an ICMP error, forged ones and anybody's.

In a reflection not every middleman answers: the error of a router, a filter or a host without that service goes to whoever the question names.
`serve` sends these errors from 750 addresses that nobody has, each in a manner of its own; `record` has the forged questions asked, beside
ordinary clients who knock at the same addresses, and keeps one view, the bridge's, without the forged questions.
Not here: middlemen that answer (`reflector`), the other parts (`training`, `variety`).
"""

import contextlib
import random
import socket
import struct
import sys
import time

# Third octets: of SNMP's middlemen, other datagrams', connections', and of routers in front of half of them all.
SNMP, DATAGRAMS, CONNECTIONS, ROUTERS = 42, 43, 44, 45
HOSTS = range(1, 251)
# Type and code (RFC 792, RFC 1812): host and port unreachable, prohibited for the host, by a filter, time exceeded in transit.
ERRORS = ((3, 1), (3, 3), (3, 10), (3, 13), (11, 0))
# How much of the question an error quotes: 8 bytes behind its IP header (RFC 792), all there is room for in 576 bytes (RFC 1812), or 128
# bytes and an extension of 12 (RFC 4884).
QUOTES = ("least", "least", "most", "most", "most", "extended")
EXTENSION = bytes.fromhex("20000000" "00080101" "00010101")
ETH_P_IP, ETHERNET_BYTES, ICMP_ECHO = 0x0800, 14, 8

LEAD_S = 4
PATIENCE_S = 10
SLICE_S = 30
LATE_S = 5


def serve():
    """Answers every IPv4 question to one of the addresses that comes by."""
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    heard.bind(("lan0", 0))
    said = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    while True:
        frame, sender = heard.recvfrom(2048)
        packet = frame[ETHERNET_BYTES:]
        if sender[2] == socket.PACKET_OUTGOING or packet[16:18] != b"\xc6\x12" or packet[18] not in (SNMP, DATAGRAMS, CONNECTIONS):
            continue
        if packet[9] != 1 or packet[20] == ICMP_ECHO:
            with contextlib.suppress(OSError):
                said.sendto(error(packet), (socket.inet_ntoa(packet[12:16]), 0))


def error(packet):
    """The error that answers `packet`, whole: what it is depends on the address that was asked."""
    manner = random.Random(packet[16:20])
    kind, quote, is_routers = manner.choice(ERRORS), manner.choice(QUOTES), manner.random() < 0.5
    source = packet[16:18] + bytes([ROUTERS, manner.choice(HOSTS)]) if is_routers else packet[16:20]
    total = int.from_bytes(packet[2:4])
    quoted = packet[:min(total, {"least": 28, "most": 548, "extended": 128}[quote])]
    words = 0
    if quote == "extended":
        quoted, words = quoted.ljust(128, b"\0") + EXTENSION, 32
    body = struct.pack("!BBHBBH", *kind, 0, 0, words, 0) + quoted
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, manner.randint(40, 250), 1, 0, source, packet[12:16]) + body


def checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def record(seed, folder, output, say):
    """As `variety.record`."""
    import attack
    import benign
    import training
    import variety
    from capture import Capture
    from server import LIMIT_S
    from stacks import Stacks
    from topology import ATTACKER, CLIENTS, LAB, REFLECTOR, SCRATCH, SILENT_V4, VICTIM_V4, _ip

    entries = SCRATCH / "neighbours"
    entries.write_text("".join(f"neigh replace 198.18.{octet}.{host} lladdr {REFLECTOR.mac} dev lan0 nud permanent\n"
                               for octet in (SNMP, DATAGRAMS, CONNECTIONS) for host in HOSTS))
    for host in (ATTACKER, *CLIENTS):
        _ip("-n", host.namespace, "-batch", entries)
    REFLECTOR.start(["/usr/bin/python3", LAB / "unreachable.py"], LIMIT_S, "unreachable.log")
    rng = random.Random(f"{seed}/unreachable")

    def forged(octet, *question):
        """hping3: the victim's questions, each to any of 254 addresses."""
        return [["hping3", "-q", "-n", *question, "-i", f"u{rng.choice((20_000, 40_000))}", "-c", 60, "-s", rng.randint(1024, 65_000), "-a", victim,
                 *(["-d", rng.randint(8, 64)] if "--udp" in question else ["--tcp-mss", 1460] if rng.random() < 0.5 else []),
                 "-I", "lan0", "--rand-dest", f"198.18.{octet}.x"] for victim in (VICTIM_V4, SILENT_V4) for _ in range(8)]

    ports = (19, 53, 123, 389, 500, 1900, 3702, 5353, 11211)
    windows = []
    with contextlib.ExitStack() as running:
        # Who is hit asks nothing itself: what comes from there is forged, or an answer to an error.
        running.enter_context(Capture(folder / "train-unreachable.pcap", snaplen_bytes=training.SNAPLEN_BYTES,
                                      expression=f"not src host {VICTIM_V4} and not src host {SILENT_V4}"))
        running.enter_context(Stacks(seed))
        running.enter_context(benign.Crowd(f"{seed}/unreachable", PATIENCE_S, ((knock, 5), (ask, 5), (trace, 2), (benign.page, 2), (benign.lookups, 2)), 8))
        time.sleep(LEAD_S)
        addresses = (*training._at("", "", VICTIM_V4), *training._at("", "", SILENT_V4))
        # Whatever was asked, who is hit sees a flood of ICMP.
        for asked, commands in (("SNMP", forged(SNMP, "--udp", "-p", 161)),
                                ("datagrams", [command for port in ports for command in rng.sample(forged(DATAGRAMS, "--udp", "-p", port), 3)]),
                                ("connections", [command for port in (80, 443) for command in forged(CONNECTIONS, "-S", "-p", port)])):
            say(f"  {asked}")
            windows.append(attack.wage(attack.Attack("dos-icmpflood", lambda scale, commands=commands: commands, addresses, at_once=True), training.SLOW))
            time.sleep(attack.MARGIN_AFTER_S + LATE_S)
        time.sleep(LEAD_S)
    return variety.rows(folder / "train-unreachable.pcap", output, SLICE_S, windows, LATE_S)


def knock(host, rng, family):
    """curl at a web server that is out of reach."""
    host.run(["curl", "-sS", "-o", "/dev/null", "--connect-timeout", "2", f"http://198.18.{CONNECTIONS}.{rng.choice(HOSTS)}/"], 5)


def ask(host, rng, family):
    """dig at a name server that is none."""
    name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 30)))
    host.run(["dig", "+tries=1", "+timeout=1", *rng.choice(((), ("+noedns",), ("+nocookie",))), f"@198.18.{DATAGRAMS}.{rng.choice(HOSTS)}", f"{name}.example"], 5)


def trace(host, rng, family):
    """ping at a host that is out of reach."""
    host.run(["ping", "-q", "-c", 2, "-W", 1, "-i", "0.3", "-s", rng.choice((8, 32, 56, 56)), f"198.18.{SNMP}.{rng.choice(HOSTS)}"], 5)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    serve()
