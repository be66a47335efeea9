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
# TCP ports that answer a SYN.
LISTENING = (22, 80, 443)


class Amplifier(asyncio.DatagramProtocol):
    def __init__(self, count, sizes):
        self.count, self.sizes = count, sizes

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        for _ in range(random.randint(1, self.count)):
            self.transport.sendto(os.urandom(random.randint(*self.sizes)), address)


async def serve(addresses):
    loop = asyncio.get_running_loop()
    for address in addresses:
        for port, (count, sizes) in ANSWERS.items():
            link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            link.bind((address, port))
            await loop.create_datagram_endpoint(lambda count=count, sizes=sizes: Amplifier(count, sizes), sock=link)
    for port in LISTENING:
        await asyncio.start_server(lambda reader, writer: writer.close(), "0.0.0.0", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import sys
    asyncio.run(serve(sys.argv[1:]))
