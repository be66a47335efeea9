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
    19: (1, (512, 1400)),  # chargen
    123: (8, (440, 440)),  # NTP monlist
    161: (3, (800, 1450)),  # SNMP getbulk
    389: (2, (1200, 3000)),  # CLDAP
    500: (1, (300, 1400)),  # ISAKMP
    1900: (6, (250, 420)),  # SSDP
    11211: (10, (1400, 1400)),  # memcached
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
