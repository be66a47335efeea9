"""TCP as other systems speak it: the options of a SYN, the segment size and the range of ports, drawn anew every second or so.

A SYN of Linux or Android is 60 bytes long, of Windows 52, of older systems 48 (and 20 more over IPv6). With
one system alone a model learns that system, and calls every other one an attack. A fourth form, 64 bytes as Apple's, comes from
TCP Fast Open (`training`). SYNs of 44 and 40 bytes are left to scanners and floods: few real systems send them.
Not here: which programs run.
"""

import random
import threading

from topology import ATTACKER, CLIENTS, set_options

PERIOD_S = 1.2

# Timestamps, selective acknowledgements and window scaling, and how often.
OPTIONS = (((1, 1, 1), 6), ((0, 1, 1), 6), ((0, 1, 0), 1))
MTU_BYTES = (1500, 1500, 1500, 1492, 1460, 1420, 1380, 1280)
# Linux, Windows and macOS, and whatever a translator on the way leaves of it.
PORTS = ((32_768, 60_999), (49_152, 65_535), (1025, 65_535), (1025, 65_535))


class Stacks:
    """Use as `with Stacks(seed):`. The attacker's systems change as the clients' do, so that no stack is the mark of an attack."""

    def __init__(self, seed):
        self.seed = seed
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._change, args=(host,), daemon=True) for host in (*CLIENTS, ATTACKER)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, traceback):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _change(self, host):
        rng = random.Random(f"{self.seed}/{host.name}")
        options, weights = zip(*OPTIONS)
        while not self.over.wait(rng.uniform(0.5, 1.5) * PERIOD_S):
            set_options(host, *rng.choices(options, weights)[0], rng.choice(MTU_BYTES), rng.choice(PORTS))
