"""CRIU's RPC requests, read and amended: as much of protobuf as that takes.

A request is ``criu_req``: https://github.com/checkpoint-restore/criu/blob/criu-dev/images/rpc.proto. Of a message that
comes twice, what the second one says is what holds, and its lists are added: so an amendment is an appendix.
"""

from __future__ import annotations

from typing import Iterator, List, Tuple, Union

Field = Tuple[int, Union[int, bytes]]

DUMP, RESTORE = b"\x08\x01", b"\x08\x02"  # what these requests begin with: criu_req.type
DUMPED = b"\x08\x01\x10\x01"  # what the answer to a dump that went well begins with: criu_resp.type, .success
OPTIONS = 2  # criu_req.opts; the others are criu_opts's own
IMAGES_DIR_FD, PID, LOG_LEVEL, WORK_DIR_FD, EXT_MNT, EMPTY_NS, LAZY_PAGES = 1, 2, 9, 17, 23, 38, 48


def varint(data: bytes, at: int) -> Tuple[int, int]:
    """The number that begins at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message: number and value; what is neither number nor bytes ends it."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            number, at = varint(message, at)
            yield key >> 3, number
        elif key & 7 == 2:
            size, at = varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        else:
            return


def sevens(value: int) -> bytes:
    """A number as protobuf writes it: in groups of seven bits, the lowest first."""
    found: List[int] = []
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def number(field: int, value: int) -> bytes:
    """A field that holds a number."""
    return sevens(field << 3) + sevens(value)


def text(field: int, value: bytes) -> bytes:
    """A field that holds bytes: text, or another message."""
    return sevens(field << 3 | 2) + sevens(len(value)) + value


def options(request: bytes) -> bytes:
    """The options of a request."""
    return b"".join(value for field, value in fields(request) if field == OPTIONS and isinstance(value, bytes))


def messages(request: bytes, field: int) -> Iterator[bytes]:
    """The options of this number that hold bytes."""
    for each, value in fields(options(request)):
        if each == field and isinstance(value, bytes):
            yield value


def number_in(request: bytes, field: int) -> int:
    """The option of this number that holds a number; -1 when it is not given."""
    found = -1
    for each, value in fields(options(request)):
        if each == field and isinstance(value, int):
            found = value
    return found


def amended(request: bytes, more: bytes) -> bytes:
    """The request with further options."""
    given = number_in(request, IMAGES_DIR_FD)
    images = number(IMAGES_DIR_FD, given) if given >= 0 else b""  # a message without it is incomplete
    return request + text(OPTIONS, images + more)
