"""Which pages CRIU left for later: its ``pagemap-PID.img``, read without its tools.

Two magic words, then length-prefixed protobuf messages: a head, and an entry for each run of pages. Source:
https://criu.org/Images, images/pagemap.proto.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Dict, Iterator, Tuple

from umsui.agent.host import Trouble
from umsui.agent.ranges import Range, Ranges
from umsui.agent.userfault import PAGE

MAGIC = struct.pack("<II", 0x54564319, 0x56084025)
ADDRESS, OLD_COUNT, FLAGS, COUNT = 1, 2, 4, 5  # fields of pagemap_entry
LAZY = 1 << 1


def lazy_pages(images: Path) -> Dict[int, Ranges]:
    """What each process (by its number inside) still has to get. Raises Trouble for an image that is none."""
    return {int(path.stem.split("-")[1]): Ranges(_lazy(path)) for path in images.glob("pagemap-[0-9]*.img")}


def _lazy(path: Path) -> Iterator[Range]:
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise Trouble("bad-image", f"{path.name} is no pagemap of CRIU's")
    entries = _messages(data[len(MAGIC) :])
    next(entries, None)  # the head
    for entry in entries:
        fields = dict(_fields(entry))
        if fields.get(FLAGS, 0) & LAZY:
            start = fields[ADDRESS]
            yield Range(start, start + fields.get(COUNT, fields[OLD_COUNT]) * PAGE, start)


def _messages(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _fields(message: bytes) -> Iterator[Tuple[int, int]]:
    """Protobuf with numbers only (wire type 0): https://protobuf.dev/programming-guides/encoding."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        if key & 7:
            raise Trouble("bad-image", "a pagemap entry has a field that is no number", "report it with CRIU's version")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at
