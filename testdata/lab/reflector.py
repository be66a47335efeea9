#!/usr/bin/env python3
"""Servers that answer a small question with much, as open resolvers, time and file servers do: reflection's middlemen.

Answers go to whoever the question says it is from. Sizes are those of the
protocols abused; what exceeds the MTU travels as fragments.
"""

import asyncio
import os
import random
import socket

# Port: how many datagrams an answer has, and how many bytes each.
ANSWERS = {
    53: (1, (900, 4000)),  # DNS with EDNS0
    17: (1, (60, 480)),  # quote of the day
    19: (1, (512, 1400)),  # chargen
    69: (4, (516, 516)),  # TFTP
    111: (1, (100, 700)),  # portmap
    123: (8, (440, 440)),  # NTP monlist
    137: (1, (157, 330)),  # NetBIOS names
    161: (3, (300, 1450)),  # SNMP getbulk
    389: (2, (1200, 3000)),  # CLDAP
    427: (1, (300, 1350)),  # SLP
    500: (1, (180, 1400)),  # ISAKMP
    520: (2, (504, 504)),  # RIP
    1434: (1, (100, 650)),  # SQL Server browser
    1900: (6, (250, 420)),  # SSDP
    3283: (1, (1006, 1006)),  # Apple remote desktop
    3389: (3, (1232, 1260)),  # RDP
    3702: (2, (600, 1500)),  # WS-Discovery
    4500: (1, (180, 240)),  # ISAKMP through a translator
    5060: (1, (350, 600)),  # SIP
    5353: (1, (200, 1100)),  # mDNS
    5683: (1, (250, 1150)),  # CoAP
    10001: (1, (150, 220)),  # Ubiquiti discovery
    11211: (10, (1400, 1400)),  # memcached
    27015: (3, (250, 1400)),  # Source engine
    37810: (1, (650, 900)),  # DVR discovery
}
# The same protocols as most devices answer them: one datagram, seldom full, sometimes hardly more than the question. SNMP's, by far the
# most, are drawn twice: what a device says of itself (RFC 1213, sysDescr: 255 octets at most), and tables.
SMALL = {
    17: (1, (40, 250)), 19: (1, (60, 1400)), 69: (1, (20, 516)), 111: (1, (40, 500)), 123: (1, (200, 482)), 137: (1, (150, 320)), 161: (1, (45, 340)),
    177: (1, (30, 110)), 389: (1, (100, 1500)), 427: (1, (50, 500)), 500: (1, (40, 420)), 520: (1, (24, 504)), 1434: (1, (30, 420)), 1900: (1, (230, 480)),
    3283: (1, (400, 1006)), 3702: (1, (400, 1500)), 4500: (1, (32, 420)), 5353: (1, (60, 700)), 5683: (1, (40, 1100)), 10001: (1, (100, 260)),
    11211: (1, (60, 1400)), 27015: (1, (80, 1400)), 30718: (1, (30, 124)), 37810: (1, (300, 900)), 47808: (1, (20, 60)),
}
TABLE = {161: (340, 1450)}
TABLE_SHARE = 0.25
# TCP ports that answer a SYN.
LISTENING = (22, 80, 443)


class Amplifier(asyncio.DatagramProtocol):
    def __init__(self, count, sizes, table):
        self.count, self.sizes, self.table = count, sizes, table

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        sizes = self.table if self.table and random.random() < TABLE_SHARE else self.sizes
        for _ in range(random.randint(1, self.count)):
            self.transport.sendto(os.urandom(random.randint(*sizes)), address)


async def serve(kind, addresses):
    loop = asyncio.get_running_loop()
    answers, tables = (ANSWERS, {}) if kind == "large" else (SMALL, TABLE)
    for address in addresses:
        for port, (count, sizes) in answers.items():
            link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            link.bind((address, port))
            await loop.create_datagram_endpoint(lambda count=count, sizes=sizes, table=tables.get(port): Amplifier(count, sizes, table), sock=link)
    for port in LISTENING:
        await asyncio.start_server(lambda reader, writer: writer.close(), "0.0.0.0", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import sys
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
