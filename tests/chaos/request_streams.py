"""Streams of bytes that resemble HTTP requests: well formed, unusual, malformed, and hostile."""

import random
from collections.abc import Callable

_METHODS = [
    *(b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS"),
    *(b"get", b"BREW", b"CONNECT", b"PRI", b"G T", b""),
]
_TARGETS = [
    *(b"/", b"/a?b=c", b"/a%20b", b"//x", b"*", b"http://other/a", b"HTTP://other:81", b"x:80", b"/a#b", b"/\xc3\xa9"),
    *(b"/a b", b"", b"http:///a", b"/|^`{}", b"/" + b"x" * 300),
]
_VERSIONS = [
    *[b"HTTP/1.1"] * 8,
    b"HTTP/1.0",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/11",
]
_LINE_ENDS = [*[b"\r\n"] * 60, b"\n", b"\r", b"\n\r", b"\r\r\n"]
_SPACES = [*[b" "] * 6, b"", b"\t", b"  ", b" \t ", b"\x0b", b"\x0c", b"\xa0"]
_FIELDS = [
    *(b"X-Name", b"Accept", b"Host", b"Connection", b"Expect", b"Content-Length", b"Transfer-Encoding", b"Upgrade"),
    *(
        b"content-length",
        b"TRANSFER-ENCODING",
        b"X Name",
        b"",
        b" Folded",
        b"Name ",
        b"N\xc3\xa4me",
        b"x" * 300,
        b"Content_Length",
    ),
]
_VALUES = [
    *(
        b"x",
        b"",
        b"close",
        b"keep-alive",
        b"Upgrade",
        b"h2c",
        b"websocket",
        b"100-continue",
        b"0",
        b"1",
        b"2",
        b"3, 3",
        b"+3",
    ),
    *(
        b"-1",
        b"0x1",
        b"1 1",
        b"9" * 20,
        b"chunked",
        b"Chunked",
        b"gzip",
        b"gzip, chunked",
        b"chunked, chunked",
        b"identity",
    ),
    *(b"\xff", b"a\x00b", b"a\x01b", b"a\x7fb", b"a\rb", b"a\nb", b"a, b", b'"a"'),
]
_NOISE = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\x00",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"0",
    b"a",
    b"A",
    b"/",
]


def make_stream(dice: random.Random) -> bytes:
    """Make one to three requests, of which about half have something unusual, and sometimes change a byte or more."""
    stream = b"".join(_request(dice) for _ in range(dice.randint(1, 3)))
    if dice.random() < 0.3:
        for _ in range(dice.randint(1, 2)):
            stream = dice.choice(_CHANGES)(dice, stream)
    return stream


def packets(dice: random.Random, stream: bytes) -> list[bytes]:
    """Cut a stream into one to five packets."""
    cuts = sorted(dice.randrange(len(stream) + 1) for _ in range(dice.choice([0, 0, 1, 2, 4])))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if start < end]


def _request(dice: random.Random) -> bytes:
    odd = dice.random() < 0.5

    def pick(choices: list[bytes], usual: int) -> bytes:
        return dice.choice(choices if odd and dice.random() < 0.3 else choices[:usual])

    def end() -> bytes:
        return dice.choice(_LINE_ENDS) if odd else b"\r\n"

    blank = dice.choice([b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\r"]) if odd and dice.random() < 0.1 else b""
    line = blank + b" ".join([pick(_METHODS, 6), pick(_TARGETS, 4), pick(_VERSIONS, 9)]) + end()
    fields = [] if odd and dice.random() < 0.1 else [b"Host: x"]
    framing, body = _framed(dice, odd=odd)
    fields += framing
    fields += [b"X-Usual: 1"] * dice.randint(0, 2)
    for _ in range(dice.randint(0, 2) if odd else 0):
        fields.append(dice.choice(_FIELDS) + b":" + dice.choice(_SPACES) + dice.choice(_VALUES) + dice.choice(_SPACES))
    dice.shuffle(fields)
    return line + b"".join(field + end() for field in fields) + end() + body


def _framed(dice: random.Random, *, odd: bool) -> tuple[list[bytes], bytes]:
    data = dice.choice([b"", b"abc", b"\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 3000])
    kind = dice.random()
    if kind < 0.3:
        return [], data if odd and dice.random() < 0.1 else b""
    if kind < 0.65:
        length = len(data) + (dice.choice([-1, 1]) if odd and dice.random() < 0.1 else 0)
        return [b"Content-Length: %d" % length], data
    return [b"Transfer-Encoding: chunked"], _chunks(dice, data, odd=odd)


def _chunks(dice: random.Random, data: bytes, *, odd: bool) -> bytes:
    parts = []
    while data:
        size = min(len(data), dice.choice([1, 2, 5, 1000, 5000]))
        text = dice.choice([b"%x", b"%X", b"0%x"]) % size
        text += (
            dice.choice([b";a=b", b' ; a="b"', b" ", b"\t", b";", b" x", b";\x00", b";" + b"e" * 1100])
            if odd and dice.random() < 0.2
            else b""
        )
        ends = [dice.choice(_LINE_ENDS) if odd else b"\r\n" for _ in range(2)]
        parts += [text, ends[0], data[:size], ends[1]]
        data = data[size:]
    trailers = (
        [b"X-Trailer: 1\r\n", b"Bad trailer\r\n", b" folded: 1\r\n", b"a: \x00\r\n"] if odd else [b"X-Trailer: 1\r\n"]
    )
    last = dice.choice([b"0", b"00", b"0;x", b"0 "]) if odd else b"0"
    return b"".join([*parts, last, b"\r\n", dice.choice([b"", b"", dice.choice(trailers)]), b"\r\n"])


def _insert(dice: random.Random, stream: bytes) -> bytes:
    at = dice.randrange(len(stream) + 1)
    return stream[:at] + dice.choice(_NOISE) + stream[at:]


def _delete(dice: random.Random, stream: bytes) -> bytes:
    at = dice.randrange(len(stream))
    return stream[:at] + stream[at + 1 :]


def _replace(dice: random.Random, stream: bytes) -> bytes:
    return _insert(dice, _delete(dice, stream))


def _cut(dice: random.Random, stream: bytes) -> bytes:
    return stream[: dice.randrange(1, len(stream) + 1)]


def _repeat(dice: random.Random, stream: bytes) -> bytes:
    start, length = dice.randrange(len(stream)), dice.randint(1, 20)
    return stream[: start + length] + stream[start:]


_CHANGES: list[Callable[[random.Random, bytes], bytes]] = [_insert, _delete, _replace, _cut, _repeat]
