"""The head of a request: its line and its headers, and how long its body is, by RFC 9110 and RFC 9112.

What two readers could understand differently is refused: each such difference has been used to smuggle requests past
a proxy. What is only unusual is read.
"""

import functools
import re
from urllib.parse import unquote

import msgspec

from receiver.web.problems import Problem

LONGEST_HEAD = 65_536
"""Bytes of a request's line and headers, or of the trailers after a chunked body."""

HEADER_OVERHEAD = 32
"""Counted for each header besides its bytes, as in https://www.rfc-editor.org/rfc/rfc7541#section-4.1."""

LONGEST_LENGTH = 18
"""Digits of a Content-Length. No body is that long."""

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})
"""CONNECT is for proxies."""

PRINTABLE = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""What a line of a head may have."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}+")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([\x21-\x7e]++) HTTP/([0-9])\.([0-9])")
_ABSOLUTE = re.compile(rb"https?://([^/?#]++)(.*+)", re.IGNORECASE)
_READ_HERE = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding"})

Header = tuple[bytes, bytes]


class Head(msgspec.Struct, frozen=True):
    """What a head says. `length` is that of the body in bytes, or None for a chunked one."""

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: list[Header]
    length: int | None
    keep_alive: bool
    expects_continue: bool


def read_head(data: bytes) -> Head:
    """Read the head of a request, from its first byte to the end of its empty line. Raises Problem."""
    line, *fields = data[:-4].split(b"\r\n")
    if data.translate(None, PRINTABLE) != b"\r\n" * (len(fields) + 2):
        raise _bad("a line of the request's head has a control character, or does not end with CR LF")
    method, target, version = _read_line(line)
    if len(data) + HEADER_OVERHEAD * len(fields) > LONGEST_HEAD:
        raise head_too_long(data)
    headers: list[Header] = []
    found: dict[bytes, list[bytes]] = {}
    for field in fields:
        raw, colon, value = field.partition(b":")
        name = _lower_name(raw)
        if name is None or not colon:
            raise _bad(_NO_HEADER)
        value = value.strip(b" \t")  # https://www.rfc-editor.org/rfc/rfc9110#section-5.5
        headers.append((name, value))
        if name in _READ_HERE:
            found.setdefault(name, []).append(value)
    raw_path, query, authority = _read_target(method, target)
    hosts = found.get(b"host", [])
    if len(hosts) > 1 or not (hosts or version == "1.0"):
        raise _bad("the request has not exactly one Host header")
    if authority is not None:  # https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
        headers = [(b"host", authority), *(header for header in headers if header[0] != b"host")]
    lengths = found.get(b"content-length", [])
    length = _body_length(lengths, found.get(b"transfer-encoding", []), version)
    if length is not None and (len(lengths) > 1 or b"," in b"".join(lengths)):
        headers = [header for header in headers if header[0] != b"content-length"]
        headers.append((b"content-length", b"%d" % length))
    path = raw_path.decode("ascii")
    return Head(
        method=method.decode("ascii"),
        path=unquote(path) if "%" in path else path,
        raw_path=raw_path,
        query=query,
        version=version,
        headers=headers,
        length=length,
        keep_alive=version == "1.1" and b"close" not in _words(found.get(b"connection", ())),
        expects_continue=version == "1.1" and b"100-continue" in _words(found.get(b"expect", ())),
    )


def check_trailer(line: bytes) -> None:
    """Raise Problem 400 unless `line`, with its end, is one header."""
    name, colon, _ = line.partition(b":")
    if not colon or _lower_name(name) is None or line.translate(None, PRINTABLE) != b"\r\n" or line[-2:] != b"\r\n":
        raise _bad(_NO_HEADER)


_NO_HEADER = (
    "a header is a name of at most 256 characters, a colon, and a value: on one line, with no space before the colon"
)


@functools.lru_cache(maxsize=512)
def _lower_name(raw: bytes) -> bytes | None:
    """Return a header's name in lower case; None if it is none. A line that continues another begins with a space."""
    return raw.lower() if _TOKEN.fullmatch(raw) else None


def check_beginning(data: bytes | bytearray, searched: int) -> None:
    """Raise Problem 400 if `data` begins no request's head, whatever may follow. `searched` bytes were checked before.

    Such data would otherwise wait for the end of a head that never comes: a TLS handshake, or lines that end with LF.
    """
    if data and data != b"\r" and data[0] not in _FIRST_BYTES:
        raise _bad("the data is not an HTTP request")
    end = data.find(b"\n", searched)
    while end >= 0:
        if end == 0 or data[end - 1] != 0x0D:
            raise _bad("a line of the request's head does not end with CR LF")
        end = data.find(b"\n", end + 1)


_FIRST_BYTES = frozenset(byte for byte in range(256) if _TOKEN.fullmatch(bytes([byte])))


def head_too_long(data: bytes | bytearray) -> Problem:
    """Make the response to a head, or the beginning of one, that is longer than LONGEST_HEAD: 414 or 431."""
    if data.find(b"\r\n", 0, LONGEST_HEAD) < 0:
        return Problem(414, f"the request line is longer than {LONGEST_HEAD} bytes")
    detail = f"the headers are longer than {LONGEST_HEAD} bytes, of which each counts {HEADER_OVERHEAD} besides its own"
    return Problem(431, detail)


def _read_line(line: bytes) -> tuple[bytes, bytes, str]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _bad("the first line is not METHOD TARGET HTTP/1.1, with single spaces and the target in ASCII")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise Problem(505, "the version of HTTP is neither 1.1 nor 1.0")
    if method not in METHODS:
        raise Problem(501, f"the server does not know the method {method[:40].decode()}; methods are in upper case")
    return method, target, "1.0" if minor == b"0" else "1.1"


def _read_target(method: bytes, target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Return the path, the query, and the authority of a target that has one."""
    target = target.partition(b"#")[0]  # no client should send a fragment; it is no part of the address
    authority = None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        authority, target = absolute.groups()
        target = target if target.startswith(b"/") else b"/" + target
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and not (path == b"*" and method == b"OPTIONS"):
        raise _bad("the target is neither a path that begins with / nor an http URL")
    return path, query, authority


def _body_length(lengths: list[bytes], encodings: list[bytes], version: str) -> int | None:
    """Return the length of the body, None for a chunked one. https://www.rfc-editor.org/rfc/rfc9112#section-6.3."""
    if not encodings:
        return _content_length(lengths) if lengths else 0
    if version == "1.0":
        raise _bad("an HTTP/1.0 request has a Transfer-Encoding")
    if lengths:
        raise _bad("the request has a Content-Length and a Transfer-Encoding")
    if len(encodings) > 1 or encodings[0].lower() != b"chunked":
        raise _bad("the Transfer-Encoding is not chunked, which is the only one allowed")
    return None


def _content_length(values: list[bytes]) -> int:
    texts = {text.strip(b" \t") for value in values for text in value.split(b",")}
    text = texts.pop()
    if texts or not text.isdigit():
        raise _bad("the Content-Length is not one number")
    if len(text) > LONGEST_LENGTH:
        raise Problem(413, f"the Content-Length has more than {LONGEST_LENGTH} digits")
    return int(text)


def _words(values: list[bytes] | tuple[()]) -> set[bytes]:
    return {word.strip(b" \t").lower() for value in values for word in value.split(b",")}


def _bad(detail: str) -> Problem:
    return Problem(400, detail)
