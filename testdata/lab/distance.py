#!/usr/bin/env python3
"""A long wire: passes frames between two interfaces, each conversation with a delay of its own.

    distance.py SEED DEVICE DEVICE

Namespaces of one machine are microseconds apart and this kernel need not have
netem, so traffic that should look as if it had crossed the Internet goes through
here. A conversation's one-way delay is drawn from its addresses and ports: none for
a fifth of them, else log-normal with a median of 12 ms, at most 120 ms. Every frame
gets some jitter without overtaking, and few conversations lose a frame now and
then. Ends with its namespace.
"""

import heapq
import math
import random
import select
import socket
import sys
import time

DELAY_MEDIAN_S = 0.012
DELAY_SIGMA = 1.1
DELAY_MAX_S = 0.12
NEAR_SHARE = 0.2
LOSSY_SHARE = 0.1
LOSS = 0.01
FRAME_BYTES_MAX = 65_536


class Path:
    """One conversation's way; `due` keeps the order of each direction."""

    def __init__(self, seed, name):
        rng = random.Random(f"{seed}/{name}")
        near = name is None or rng.random() < NEAR_SHARE
        self.delay_s = 0 if near else min(DELAY_MAX_S, rng.lognormvariate(math.log(DELAY_MEDIAN_S), DELAY_SIGMA))
        self.loss = LOSS if rng.random() < LOSSY_SHARE else 0
        self.due = [0.0, 0.0]


def conversation(frame):
    """What the two directions of a conversation have in common; None for other than IP."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        start, ends, protocol = 14 + (frame[14] & 15) * 4, (frame[26:30], frame[30:34]), frame[23]
    elif kind == b"\x86\xdd":
        start, ends, protocol = 54, (frame[22:38], frame[38:54]), frame[20]
    else:
        return None
    ports = (frame[start:start + 2], frame[start + 2:start + 4]) if protocol in (6, 17) else (b"", b"")
    return tuple(sorted(zip(ends, ports))), protocol


def attach(device):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    link.bind((device, 3))
    # A device passes on only what is addressed to it unless it is promiscuous.
    link.setsockopt(263, 1, socket.if_nametoindex(device).to_bytes(4, sys.byteorder) + b"\x01\x00" + bytes(10))
    return link


def main():
    seed, links = sys.argv[1], [attach(device) for device in sys.argv[2:4]]
    paths, queue, serial = {}, [], 0
    while True:
        wait_s = max(0, queue[0][0] - time.monotonic()) if queue else None
        for link in select.select(links, [], [], wait_s)[0]:
            frame, address = link.recvfrom(FRAME_BYTES_MAX)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            name = conversation(frame)
            path = paths.get(name) or paths.setdefault(name, Path(seed, name))
            if random.random() < path.loss:
                continue
            side = links.index(link)
            due = time.monotonic() + path.delay_s * (1 + random.expovariate(1 / 0.05))
            path.due[side] = due = max(due, path.due[side])
            serial += 1
            heapq.heappush(queue, (due, serial, 1 - side, frame))
        while queue and queue[0][0] <= time.monotonic():
            _, _, side, frame = heapq.heappop(queue)
            links[side].send(frame)


if __name__ == "__main__":
    main()
