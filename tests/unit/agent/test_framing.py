from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umsui.agent import framing
from umsui.agent.framing import BadFrame, Reader, Writer, encode

TEXT = st.text(st.characters(exclude_categories=[]))  # lone surrogates, too: file names that are no UTF-8
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(st.dictionaries(TEXT, JSON, max_size=4), max_size=4)


def pieces(data: bytes, size: int) -> Callable[[int], bytes]:
    """A stream that gives at most ``size`` bytes at once."""
    left = [data]

    def read(wanted: int) -> bytes:
        part, left[0] = left[0][: min(size, wanted)], left[0][min(size, wanted) :]
        return part

    return read


@settings(max_examples=40)
@given(MESSAGES, st.integers(1, 50))
def test_law_round_trip_however_it_is_cut(messages: list[framing.Message], size: int) -> None:
    reader = Reader(pieces(b"".join(map(encode, messages)), size))
    assert [reader.next() for _ in messages] == messages
    assert reader.next() is None


@settings(max_examples=40)
@given(st.dictionaries(TEXT, JSON, max_size=4), st.data())
def test_law_what_is_cut_off_is_the_end(message: framing.Message, data: st.DataObject) -> None:
    frame = encode(message)
    cut = data.draw(st.integers(0, len(frame) - 1))
    assert Reader(pieces(frame[:cut], 7)).next() is None


@given(st.binary(max_size=200))
def test_law_noise_is_refused_or_ends(noise: bytes) -> None:
    reader = Reader(pieces(noise, 10))
    try:
        while (message := reader.next()) is not None:
            assert isinstance(message, dict)
    except BadFrame:
        return


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'"x"', b"\xff", b"null"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadFrame):
        Reader(pieces(struct.pack(">I", len(body)) + body, 100)).next()


def test_a_frame_that_is_too_long_is_not_even_read() -> None:
    read: list[int] = []

    def stream(size: int) -> bytes:
        read.append(size)
        return struct.pack(">I", framing.LIMIT + 1)[:size]

    with pytest.raises(BadFrame, match="16777217 bytes"):
        Reader(stream).next()
    assert read == [4]


def test_nor_is_it_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LIMIT", 20)
    sent: list[bytes] = []
    writer = Writer(sent.append)
    with pytest.raises(BadFrame):
        writer.send({"x": "y" * 20})
    writer.send({"x": "y"})
    assert len(sent) == 1
    assert Reader(pieces(sent[0], 100)).next() == {"x": "y"}


def test_threads_do_not_mix_their_frames() -> None:
    sent = bytearray()

    def slowly(data: bytes) -> None:
        for byte in data:
            sent.append(byte)

    writer = Writer(slowly)
    threads = [
        threading.Thread(target=lambda n=n: [writer.send({"who": n, "k": k}) for k in range(50)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = Reader(pieces(bytes(sent), 9))
    got = []
    while (message := reader.next()) is not None:
        got.append((message["who"], message["k"]))
    assert sorted(got) == [(n, k) for n in range(4) for k in range(50)]


def test_the_head_is_the_length() -> None:
    assert encode({"a": 1}) == b"\x00\x00\x00\x07" + json.dumps({"a": 1}, separators=(",", ":")).encode()
