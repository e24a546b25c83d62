"""Finds where the body of an HTTP/1 response ends, by RFC 9112 section 6.3. Bytes in, bytes out.

As generous as it may be: equal lengths count once, chunks count before a length, and what cannot be read as a length
leaves the body to end with the connection.
"""

import re
from typing import Protocol

from outbound.response_heads import Head

LONGEST_CHUNK_LINE = 4096
LONGEST_LENGTH = 19
"""Digits of a Content-Length, below."""

MOST_FRAMING = 65536
"""Bytes of a chunked body that are neither data nor what its framing needs: extensions, above all."""

_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)


class Body(Protocol):
    """A body that is being received."""

    @property
    def done(self) -> bool:
        """Whether the body is complete."""

    @property
    def reusable(self) -> bool:
        """Whether the connection can serve another request: the body ended exactly where it said."""

    @property
    def fault(self) -> str | None:
        """How what was received differs from what the head or the chunks say. Nothing can be read after it."""

    def feed(self, data: bytes) -> bytes:
        """Return the part of `data` that belongs to the body."""

    def end(self) -> None:
        """Say that nothing follows, because the server closed the connection."""


def body_of(head: Head) -> Body:
    """Return the body that follows `head`."""
    codings, lengths = head.values(b"transfer-encoding"), set(head.values(b"content-length"))
    options = head.values(b"connection")
    keeps = b"close" not in options if head.persistent else b"keep-alive" in options
    if head.status in (204, 304):
        return LengthBody(0, keeps=keeps and not codings and lengths <= {b"0"})
    if b"chunked" in codings:
        return ChunkedBody(keeps=keeps and not lengths)
    if len(lengths) == 1 and (length := lengths.pop()).isdigit() and len(length) < LONGEST_LENGTH:
        return LengthBody(int(length), keeps=keeps)
    return UntilClose()


class LengthBody:
    """A body of a declared length."""

    def __init__(self, length: int, *, keeps: bool) -> None:
        self._length = length
        self._left = length
        self._keeps = keeps
        self.fault: str | None = None

    @property
    def done(self) -> bool:
        """Whether as many bytes have come as were declared."""
        return not self._left

    @property
    def reusable(self) -> bool:
        """Whether exactly as many bytes have come as were declared."""
        return self._keeps and not self._left

    def feed(self, data: bytes) -> bytes:
        """Return what belongs to the body."""
        if len(data) > self._left:
            self._keeps = False
            data = data[: self._left]
        self._left -= len(data)
        return data

    def end(self) -> None:
        """Say that nothing follows: a fault if bytes are missing."""
        if self._left:
            self.fault = f"the response ended after {self._length - self._left} of {self._length} bytes"


class UntilClose:
    """A body that ends when the server closes the connection."""

    done = False
    reusable = False
    fault = None

    def feed(self, data: bytes) -> bytes:
        """Return all of it."""
        return data

    def end(self) -> None:
        """Say that nothing follows: the body is complete."""


class ChunkedBody:
    """A body in chunks. The chunk of size 0 completes it; what follows that chunk matters to the connection only."""

    def __init__(self, *, keeps: bool) -> None:
        self._received = bytearray()
        self._left = 0
        self._after_data = False
        self._framing = 0
        self._keeps = keeps
        self.done = False
        self.reusable = False
        self.fault: str | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the data of the chunks in `data`, up to a fault if there is one."""
        self._received += data
        at, found = 0, []
        while not self.done and self.fault is None and at < len(self._received):
            if self._left:
                found.append(bytes(self._received[at : at + self._left]))
                at += len(found[-1])
                self._left -= len(found[-1])
                self._after_data = not self._left
                continue
            end = self._received.find(b"\n", at, at + LONGEST_CHUNK_LINE)
            if end < 0:
                if len(self._received) - at >= LONGEST_CHUNK_LINE:
                    self.fault = f"the first line of a chunk is longer than {LONGEST_CHUNK_LINE} bytes"
                break
            self._read_line(bytes(self._received[at:end]).rstrip(b"\r"))
            at = end + 1
        self.reusable = self.done and self._keeps and bytes(self._received[at:]) == b"\r\n"
        del self._received[:at]
        return b"".join(found)

    def end(self) -> None:
        """Say that nothing follows: a fault unless the last chunk has come."""
        if not self.done:
            self.fault = "the response ended before its last chunk"

    def _read_line(self, line: bytes) -> None:
        if self._after_data:
            self._after_data = False
            if line:
                self.fault = "a chunk is longer than its size"
            return
        size = _SIZE.fullmatch(line)
        if size is None:
            self.fault = "the size of a chunk cannot be read"
            return
        self._left = int(size[1], 16)
        self.done = not self._left
        self._framing = max(0, self._framing + len(line) - 16 - 2 * self._left)
        if self._framing > MOST_FRAMING:
            self.fault = f"the chunks have more than {MOST_FRAMING} bytes of extensions"
