#!/usr/bin/env python3
"""Read the lab's captures and labels back and say what is in them, or what is wrong.

Checked: every frame is one that a wire carries (at most 1514 bytes) and is cut
to its headers; no frame is there twice; times do not run backwards (by more
than two processors' clocks of one moment differ); every
class that the labels name is there; the mixed capture has FIN, RST, IPv4 and
IPv6, and more benign flows than all attacks that are not floods.
Not checked: what the packets say (checksums, sequence numbers, payload).

A flow here is a protocol, two addresses and two ports, without a timeout.
"""

import argparse
import socket
import struct
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

sys.dont_write_bytecode = True

from label import BENIGN, Flow, Labels  # noqa: E402

SNAPLEN_BYTES = 128
FRAME_BYTES_MAX = 1514
BACKWARDS_S_MAX = 0.001
TWICE_WITHIN_S = 0.001
TWICE_SHARE_MAX = 0.01
FLOODS = ("dos-synflood", "dos-udpflood")
MIXED = "lab-mixed.pcap"
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
TCP_FIN, TCP_SYN, TCP_RST = 1, 2, 4


@dataclass
class Summary:
    """What one capture holds, counted while reading it once."""

    name: str
    size_bytes: int = 0
    frames_count: int = 0
    frames_cut: int = 0
    frames_other: int = 0
    families: Counter = field(default_factory=Counter)
    flags: Counter = field(default_factory=Counter)
    packets: Counter = field(default_factory=Counter)
    flows: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)


def summarize(name, frames, labels):
    """Count `frames` (time in seconds, wire length, bytes) and note what is wrong with them."""
    summary = Summary(name)
    class_of_flow = {}
    recent = deque(maxlen=8)
    twice_count = 0
    last_s = 0.0
    for index, (time_s, wire_bytes, data) in enumerate(frames):
        summary.frames_count += 1
        summary.frames_cut += wire_bytes > len(data)
        if wire_bytes > FRAME_BYTES_MAX:
            summary.faults.append(f"frame {index}: {wire_bytes} bytes on the wire")
        if len(data) != min(wire_bytes, SNAPLEN_BYTES):
            summary.faults.append(f"frame {index}: {len(data)} of {wire_bytes} bytes kept")
        if time_s < last_s - BACKWARDS_S_MAX:
            summary.faults.append(f"frame {index}: earlier than the one before")
        last_s = time_s
        # IPv6 has no identification: two of its frames may well be equal.
        if data[12:14] == b"\x08\x00":
            twice_count += any(data == old and time_s - old_s < TWICE_WITHIN_S
                               for old_s, old in recent)
        recent.append((time_s, data))

        packet = _packet(data)
        if packet is None:
            summary.frames_other += 1
            continue
        family, protocol, source, destination, flags = packet
        summary.families[family] += 1
        for flag, flag_name in ((TCP_SYN, "SYN"), (TCP_FIN, "FIN"), (TCP_RST, "RST")):
            summary.flags[flag_name] += bool(flags & flag)
        key = (protocol, frozenset((source, destination)))
        if key not in class_of_flow:
            flow = Flow(protocol, frozenset((source[0], destination[0])),
                        frozenset((source[1], destination[1])), time_s)
            class_of_flow[key] = labels.class_of(name, flow)
            summary.flows[class_of_flow[key]] += 1
        summary.packets[class_of_flow[key]] += 1

    if twice_count > TWICE_SHARE_MAX * summary.frames_count:
        summary.faults.append(f"{twice_count} frames of {summary.frames_count} are there twice")
    for missing in sorted(labels.classes(name) - set(summary.flows)):
        # A capture of one attack may have no benign rest.
        if missing != BENIGN:
            summary.faults.append(f"no flow of class {missing}")
    if summary.flows[None]:
        summary.faults.append(f"{summary.flows[None]} flows without a label")
    if name == MIXED:
        _check_mix(summary)
    return summary


def read_pcap(path):
    """Yield (time in seconds, wire length, bytes) of a little-endian microsecond pcap."""
    data = path.read_bytes()
    if len(data) < 24:
        raise ValueError(f"{path.name}: a header of 24 bytes needed, {len(data)} there")
    magic, = struct.unpack_from("<I", data)
    if magic != 0xA1B2C3D4:
        raise ValueError(f"{path.name}: magic {magic:08x} is not a little-endian microsecond pcap")
    offset = 24
    while offset < len(data):
        if offset + 16 > len(data):
            raise ValueError(f"{path.name}: byte {offset}: 16 bytes needed, "
                             f"{len(data) - offset} there")
        seconds, microseconds, kept_bytes, wire_bytes = struct.unpack_from("<IIII", data, offset)
        offset += 16
        if offset + kept_bytes > len(data):
            raise ValueError(f"{path.name}: byte {offset}: {kept_bytes} bytes needed, "
                             f"{len(data) - offset} there")
        yield seconds + microseconds / 1e6, wire_bytes, data[offset:offset + kept_bytes]
        offset += kept_bytes


def _check_mix(summary):
    for needed, counts in (("FIN", summary.flags), ("RST", summary.flags),
                           ("IPv4", summary.families), ("IPv6", summary.families)):
        if not counts[needed]:
            summary.faults.append(f"no {needed}")
    attacks = sum(count for name, count in summary.flows.items()
                  if name not in (BENIGN, *FLOODS, None))
    if summary.flows[BENIGN] <= attacks:
        summary.faults.append(f"{summary.flows[BENIGN]} benign flows, "
                              f"{attacks} of attacks that are not floods")


def _packet(data):
    """Family, protocol, (address, port) of either side and TCP flags; None if it is not IP."""
    kind, = struct.unpack_from("!H", data, 12)
    if kind == 0x0800:
        family, number = "IPv4", data[23]
        source, destination = (socket.inet_ntop(socket.AF_INET, data[at:at + 4]) for at in (26, 30))
        later_fragment = struct.unpack_from("!H", data, 20)[0] & 0x1FFF != 0
        offset = 14 + 4 * (data[14] & 15)
    elif kind == 0x86DD:
        family, number, offset, later_fragment = "IPv6", data[20], 54, False
        source, destination = (socket.inet_ntop(socket.AF_INET6, data[at:at + 16])
                               for at in (22, 38))
        while number in (0, 44, 60):
            if number == 44:
                later_fragment = struct.unpack_from("!H", data, offset + 2)[0] & 0xFFF8 != 0
            length = 8 if number == 44 else 8 + 8 * data[offset + 1]
            number, offset = data[offset], offset + length
    else:
        return None
    protocol = PROTOCOLS.get(number, str(number))
    ports, flags = (0, 0), 0
    if protocol in ("tcp", "udp") and not later_fragment:
        ports = struct.unpack_from("!HH", data, offset)
        flags = data[offset + 13] if protocol == "tcp" else 0
    return family, protocol, (source, ports[0]), (destination, ports[1]), flags


def canary(frames, labels):
    """Spoil a sound capture in each way that is checked; return the ways that went unnoticed."""
    time_s, wire_bytes, data = frames[0]
    spoiled = {
        "a frame that no wire carries": [(time_s, FRAME_BYTES_MAX + 1, data), *frames[1:]],
        "a frame with bytes missing": [(time_s, wire_bytes, data[:-1]), *frames[1:]],
        "every frame twice": [frame for frame in frames for _ in range(2)],
        "time that runs backwards": frames[::-1],
        "IPv4 only": [frame for frame in frames if frame[2][12:14] == b"\x08\x00"],
        "half an hour late": [(time_s + 1800, *rest) for time_s, *rest in frames],
    }
    return [way for way, bad in spoiled.items() if not summarize(MIXED, bad, labels).faults]


def table(summaries):
    """One Markdown row a capture."""
    lines = ["| capture | kB | packets | IPv4 | IPv6 | not IP | SYN | FIN | RST | cut "
             "| flows (packets) a class |", "|---|" + "--:|" * 9 + "---|"]
    for one in summaries:
        classes = ", ".join(f"{name} {count} ({one.packets[name]})"
                            for name, count in one.flows.most_common())
        lines.append(f"| {one.name} | {one.size_bytes // 1000} | {one.frames_count} "
                     f"| {one.families['IPv4']} | {one.families['IPv6']} | {one.frames_other} "
                     f"| {one.flags['SYN']} | {one.flags['FIN']} | {one.flags['RST']} "
                     f"| {one.frames_cut} | {classes} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent.parent,
                        help="holds captures/lab-*.pcap and labels/lab.csv (default: testdata)")
    try:
        return report(parser.parse_args().folder)
    except (OSError, ValueError) as error:
        print(f"check: {error}", file=sys.stderr)
        return 1


def report(folder):
    """Print the table and the faults of a folder; return the exit status."""
    labels = Labels(folder / "labels" / "lab.csv")
    summaries = []
    for name in labels.rows:
        path = folder / "captures" / name
        summary = summarize(name, read_pcap(path), labels)
        summary.size_bytes = path.stat().st_size
        summaries.append(summary)
    print(table(summaries))
    faults = [f"{one.name}: {fault}" for one in summaries for fault in one.faults]
    unnoticed = canary(list(read_pcap(folder / "captures" / MIXED)), labels)
    faults += [f"canary: {way} went unnoticed" for way in unnoticed]
    for fault in faults[:40]:
        print(f"check: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
