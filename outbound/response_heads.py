"""Reads the head of an HTTP/1 response: the status line and the header fields. Bytes in, values out.

As generous as curl: what does not end the response early or change where its body ends is accepted.
"""

import re

import msgspec

Field = tuple[bytes, bytes]

_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/([0-9](?:\.[0-9])?)[ \t]+([1-9][0-9]{2})(?:[ \t][^\n]*)?\r?\n")
_BEGINNING = b"HTTP/"

MOST_INTERIM = 16
"""Interim responses (100 Continue, 103 Early Hints) of one exchange. Go's client reads five."""

NOT_HTTP = "the server does not speak HTTP/1"


class MalformedHead(ValueError):
    """The bytes are no HTTP response, or its head is longer than the limits; the message says which."""


class HeadLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The longest head that is read, interim responses included, and the most header fields."""

    max_bytes: int
    max_fields: int


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A status, whether the version is 1.1 or later, and the header fields as they came, without white space around."""

    status: int
    persistent: bool
    fields: tuple[Field, ...]

    def values(self, name: bytes) -> list[bytes]:
        """Return the comma-separated values of every field of this name (in lower case), in lower case."""
        found = b",".join(value for field, value in self.fields if field.lower() == name)
        return [value.strip().lower() for value in found.split(b",") if value.strip()]


class HeadReader:
    """Collects bytes until the head of the response is complete. What follows it is `rest`."""

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._received = bytearray()
        self._searched = 0
        self._skipped = 0
        self._interim = 0

    def feed(self, data: bytes) -> Head | None:
        """Return the head when it is complete; interim responses are skipped. Raises `MalformedHead`."""
        self._received += data
        while True:
            if not self._searched:
                self._skip(len(self._received) - len(self._received.lstrip(b"\r\n")))  # what some servers send between
            end = _END.search(self._received, max(0, self._searched - 2))
            self._searched = len(self._received)
            if self._skipped + (end.end() if end else len(self._received)) > self._limits.max_bytes:
                raise MalformedHead(f"the header block of the response is longer than {self._limits.max_bytes} bytes")
            if end is None:
                if not _BEGINNING.startswith(bytes(self._received[: len(_BEGINNING)])):
                    raise MalformedHead(NOT_HTTP)
                return None
            head = parse_head(bytes(self._received[: end.end()]), max_fields=self._limits.max_fields)
            self._skip(end.end())
            if head.status >= 200:
                return head
            if head.status == 101:
                raise MalformedHead("the server switched to another protocol, which was not asked for")
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise MalformedHead(f"more than {MOST_INTERIM} interim responses came before the response")

    @property
    def rest(self) -> bytes:
        """What was received after the head."""
        return bytes(self._received)

    @property
    def status(self) -> int | None:
        """The status of a response whose status line has come and whose head is not complete; None without one."""
        found = _STATUS_LINE.match(self._received)
        return int(found[2]) if found and int(found[2]) >= 200 else None

    def _skip(self, number: int) -> None:
        del self._received[:number]
        self._skipped += number
        self._searched = 0


def parse_head(block: bytes, *, max_fields: int) -> Head:
    """Parse a complete head, with its blank line. Raises `MalformedHead`."""
    found = _STATUS_LINE.match(block)
    if found is None:
        raise MalformedHead(NOT_HTTP)
    lines = block[found.end() :].split(b"\n")
    if len(lines) - 2 > max_fields:
        raise MalformedHead(f"the response has more than {max_fields} header fields")
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:  # a folded line: RFC 9112 5.2 lets us read it
            fields[-1][1].append(line.strip())
            continue
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and name and b"\0" not in line:
            fields.append((name, [value.strip()]))
    persistent = found[1] not in (b"0.9", b"1.0")
    joined = tuple((name, b" ".join(values)) for name, values in fields)
    return Head(status=int(found[2]), persistent=persistent, fields=joined)
