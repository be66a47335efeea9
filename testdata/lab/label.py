"""Labels by construction: the windows in which the attacks ran, as rows of a CSV file.

A row covers the flows that were *opened* (first packet) between `start` and
`end` by its protocol, addresses (either way round) and port (either side). An
empty field means any. The first row that matches wins, and the last row of
each capture is its benign rest. `icmp` stands for ICMP and ICMPv6.
"""

import csv
from dataclasses import dataclass
from datetime import datetime, timezone

HEADER = ("capture", "class", "protocol", "address_a", "address_b", "port", "start", "end")
BENIGN = "benign"


def rows(capture, windows):
    """All rows of one capture, in the order in which they are to be tried."""
    for window in windows:
        times = (_rfc3339(window.start_s), _rfc3339(window.end_s))
        for target in window.attack.targets:
            yield (capture, window.attack.name, target.protocol,
                   target.address_a, target.address_b, target.port, *times)
    yield (capture, BENIGN, "", "", "", "", "", "")


def write(path, all_rows):
    """Write the label file: the header and the rows of every capture."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(all_rows)


def replace(path, new_rows, is_replaced):
    """Write the rows of some captures into a label file that keeps its rows of all others."""
    old_rows = []
    if path.exists():
        with open(path, newline="") as file:
            old_rows = [row for row in list(csv.reader(file))[1:] if not is_replaced(row[0])]
    write(path, [*old_rows, *new_rows])


@dataclass(frozen=True)
class Flow:
    """What a label looks at; `opened_s` is the time of the first packet."""

    protocol: str
    addresses: frozenset
    ports: frozenset
    opened_s: float


class Labels:
    """A label file, read back."""

    def __init__(self, path):
        self.rows = {}
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                self.rows.setdefault(row["capture"], []).append((
                    row["class"], row["protocol"],
                    frozenset(filter(None, (row["address_a"], row["address_b"]))),
                    row["port"], _seconds(row["start"]), _seconds(row["end"])))

    def classes(self, capture):
        """Every class that has a row for the capture."""
        return {row[0] for row in self.rows.get(capture, ())}

    def class_of(self, capture, flow):
        """The class of the first row that matches, or None."""
        for name, protocol, addresses, port, start_s, end_s in self.rows.get(capture, ()):
            if ((not protocol or protocol == flow.protocol)
                    and addresses <= flow.addresses
                    and (not port or int(port) in flow.ports)
                    and (start_s is None or start_s <= flow.opened_s)
                    and (end_s is None or flow.opened_s <= end_s)):
                return name
        return None


def _rfc3339(time_s):
    moment = datetime.fromtimestamp(time_s, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text):
    if not text:
        return None
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
