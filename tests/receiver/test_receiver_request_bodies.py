"""Bodies of requests as they arrive: by length and in chunks."""

import pytest

from receiver.http.heads import LONGEST_HEAD
from receiver.http.request_bodies import CHUNKS_AT_ONCE, LONGEST_CHUNK_LINE, open_body
from receiver.web.problems import Problem


def read(length: int | None, *parts: bytes) -> tuple[bytes, bytes, bool]:
    """Read a body that arrives in parts. Returns its data, what was left behind it, and whether it is complete."""
    body, buffer, found = open_body(length), bytearray(), b""
    for part in parts:
        buffer += part
        before = -1
        while not body.complete and len(buffer) != before:
            before = len(buffer)
            found += body.take(buffer)
    return found, bytes(buffer), body.complete


def one_by_one(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def refused(*parts: bytes) -> int:
    with pytest.raises(Problem) as caught:
        read(None, *parts)
    return caught.value.status


def test_a_sized_body_ends_at_its_length() -> None:
    assert read(3, b"abcGET") == (b"abc", b"GET", True)
    assert read(3, *one_by_one(b"abcG")) == (b"abc", b"G", True)
    assert read(3, b"ab") == (b"ab", b"", False)
    assert read(0) == (b"", b"", True)


CHUNKED = [
    (b"0\r\n\r\n", b""),
    (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    (b'3;a=b;c="d"\r\nabc\r\n2 ;x\r\nde\r\n0;last\r\n\r\n', b"abcde"),
    (b"003 \t\r\nabc\r\n000\r\nName: value\r\nOther:\r\n\r\n", b"abc"),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
]


@pytest.mark.parametrize(("sent", "data"), CHUNKED)
def test_a_chunked_body_is_read_whole_or_byte_by_byte(sent: bytes, data: bytes) -> None:
    assert read(None, sent + b"GET") == (data, b"GET", True)
    assert read(None, *one_by_one(sent), b"GET") == (data, b"GET", True)
    assert not read(None, sent[:-1])[2]


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n",
        b"g\r\n",
        b"0x3\r\nabc",
        b"-1\r\n",
        b" 3\r\nabc",
        b"3\nabc",
        b"3\rabc\r\n",
        b"3;a\x00b\r\n",
        b"3;a\nb\r\n",
        b"3 a\r\nabc",
        b"1" * 17 + b"\r\n",
        b"3\r\nabcd",
        b"3\r\nabc\n",
        b"3\r\nabc\rx",
        b"3\r\nabc0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nName : x\r\n\r\n",
        b"0\r\nName: x\n\r\n",
        b"0\r\nName: x\ry\n\r\n",
        b"0\r\nName: x\x00\r\n\r\n",
        b"0\r\n\n",
    ],
)
def test_a_malformed_chunk_is_refused(sent: bytes) -> None:
    assert refused(sent) == 400
    assert refused(*one_by_one(sent)) == 400


def test_extensions_and_trailers_are_limited() -> None:
    assert refused(b"3;" + b"x" * LONGEST_CHUNK_LINE) == 400
    assert refused((b"1;" + b"x" * 1000 + b"\r\na\r\n") * 100) == 400
    assert refused(b"0\r\n" + b"x:y\r\n" * 3000) == 431
    assert refused(b"0\r\nx: " + b"y" * LONGEST_HEAD) == 400


def test_chunks_of_one_byte_are_read_in_steps() -> None:
    body, buffer = open_body(None), bytearray(b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n")
    steps = []
    while not body.complete:
        steps.append(len(body.take(buffer)))
    assert sum(steps) == 10_000
    assert max(steps) <= CHUNKS_AT_ONCE
