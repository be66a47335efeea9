"""One long capture becomes slices, each beginning in the middle of what was going on, with payloads blanked, compressed.

Captures that people share seldom begin before their first connection. And the
random bytes behind the headers, which no feature sees, would be most of a file.
"""

import struct
import subprocess

HEADER = struct.Struct("<IIII")
FILE_HEADER_BYTES = 24
ETHERNET_BYTES = 14


def pack(source, folder, slice_s):
    """Write `folder`/<stem>-<number>.pcap.zst; return their names with the times, in seconds, at which they begin and end."""
    data = source.read_bytes()
    slices, offset = {}, FILE_HEADER_BYTES
    first_s, last = None, max(0, (duration_s(data) // slice_s) - 1)
    while offset + HEADER.size <= len(data):
        seconds, _, kept, _ = HEADER.unpack_from(data, offset)
        end = offset + HEADER.size + kept
        first_s = seconds if first_s is None else first_s
        number = min(last, (seconds - first_s) // slice_s)
        frame = bytearray(data[offset + HEADER.size:end])
        headers = min(len(frame), headers_bytes(frame))
        frame[headers:] = bytes(len(frame) - headers)
        slices.setdefault(number, bytearray(data[:FILE_HEADER_BYTES])).extend(data[offset:offset + HEADER.size] + frame)
        offset = end
    names = []
    for number, content in sorted(slices.items()):
        path = folder / f"{source.stem}-{number + 1:02}.pcap.zst"
        subprocess.run(["zstd", "-q", "-f", "-19", "--ultra", "-o", path], input=bytes(content), check=True)
        end_s = float("inf") if number == last else first_s + (number + 1) * slice_s
        names.append((path.name, first_s + number * slice_s, end_s))
    return names


def duration_s(data):
    """Between the first and the last record; the last slice takes what is left over."""
    offset, seconds = FILE_HEADER_BYTES, []
    while offset + HEADER.size <= len(data):
        second, _, kept, _ = HEADER.unpack_from(data, offset)
        seconds.append(second)
        offset += HEADER.size + kept
    return seconds[-1] - seconds[0] if seconds else 0


def headers_bytes(frame):
    """Bytes up to the payload, as far as the lab's traffic goes: Ethernet, IPv4 or IPv6 without extension headers, TCP or UDP."""
    if len(frame) < ETHERNET_BYTES + 40 or frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
        return len(frame)
    if frame[12:14] == b"\x08\x00":
        start, protocol = ETHERNET_BYTES + (frame[14] & 15) * 4, frame[23]
    else:
        start, protocol = ETHERNET_BYTES + 40, frame[20]
    if protocol == 6 and len(frame) > start + 12:
        return start + (frame[start + 12] >> 4) * 4
    return start + 8 if protocol == 17 else len(frame)
