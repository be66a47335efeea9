"""tcpdump on the lab's bridge: every frame once, cut to its headers.

A bridge in promiscuous mode hands up each frame that it forwards, once,
whereas the ports would show it on the way in and on the way out.
"""

import re
import signal
import subprocess
import time

from topology import BRIDGE, ENVIRONMENT, SWITCH

SNAPLEN_BYTES = 128
LIMIT_S = 900
READY_LIMIT_S = 5
# The last answers must reach the bridge before tcpdump is stopped.
SETTLE_S = 0.3


class Capture:
    """Use as `with Capture(path):`; leaving it stops tcpdump and fails if a packet was lost."""

    def __init__(self, path, device=BRIDGE, direction="inout", snaplen_bytes=SNAPLEN_BYTES, expression=""):
        self.path = path
        self.device = device
        self.direction = direction
        self.snaplen_bytes = snaplen_bytes
        self.expression = expression
        self.tcpdump = None

    def __enter__(self):
        self.log = open(f"{self.path}.log", "w+")
        self.tcpdump = subprocess.Popen(
            ["ip", "netns", "exec", SWITCH, "timeout", "--signal=INT", "--kill-after=2",
             str(LIMIT_S), "tcpdump", "-i", self.device, "-Q", self.direction, "-n", "-s", str(self.snaplen_bytes),
             "-B", "16384", "--immediate-mode", "-Z", "root", "-w", str(self.path), self.expression],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log,
            env=ENVIRONMENT, start_new_session=True)
        deadline = time.monotonic() + READY_LIMIT_S
        while "listening on" not in self._said():
            if time.monotonic() > deadline or self.tcpdump.poll() is not None:
                raise RuntimeError(f"tcpdump did not start: {self._said().strip()}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind, value, traceback):
        time.sleep(SETTLE_S)
        self.tcpdump.send_signal(signal.SIGINT)
        self.tcpdump.wait(timeout=10)
        said = self._said()
        self.log.close()
        lost = re.search(r"(\d+) packets? dropped by kernel", said)
        if kind is None and (lost is None or lost.group(1) != "0"):
            raise RuntimeError(f"{self.path.name}: tcpdump lost packets: {said.strip()}")

    def _said(self):
        self.log.seek(0)
        return self.log.read()
