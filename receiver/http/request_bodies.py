"""The body of a request on the wire, by its length or in chunks, taken out of what a connection has received."""

import re

from receiver.http.heads import HEADER_OVERHEAD, LONGEST_HEAD, check_trailer
from receiver.web.problems import Problem

CHUNKS_AT_ONCE = 512
"""Chunks that are read in one step: about 1 ms."""

LONGEST_CHUNK_LINE = 1024
"""Bytes of a chunk's size and extensions. Extensions are not used."""

OVERHEAD_FACTOR = 16
"""Bytes that may frame a byte of chunked data, after the first LONGEST_HEAD. A chunk of one byte has five."""

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16}+)[ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r\n")


class SizedBody:
    """A body whose length was declared. `complete` is set when it was read to its end."""

    __slots__ = ("_left", "complete")

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0

    def has_arrived(self, buffer: bytearray) -> bool:
        """Return whether the rest of it is in `buffer`."""
        return len(buffer) >= self._left

    def take(self, buffer: bytearray) -> bytes:
        """Remove from the front of `buffer` what belongs to the body, and return it."""
        data = bytes(buffer if len(buffer) <= self._left else memoryview(buffer)[: self._left])
        del buffer[: len(data)]
        self._left -= len(data)
        self.complete = self._left == 0
        return data


class ChunkedBody:
    """A chunked body: https://www.rfc-editor.org/rfc/rfc9112#section-7.1. Its trailers are checked and dropped.

    `complete` is set when it was read to its end.
    """

    __slots__ = ("_in_chunk", "_in_trailers", "_left", "_spare", "_trailers", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._in_chunk = False  # up to and including the line end after its data
        self._in_trailers = False
        self._left = 0
        self._spare = LONGEST_HEAD  # bytes that may still frame the data
        self._trailers = 0

    def has_arrived(self, buffer: bytearray) -> bool:  # noqa: ARG002 - `SizedBody` needs it to compare lengths
        """Return whether it was read to its end: its length is not known before."""
        return self.complete

    def take(self, buffer: bytearray) -> bytes:
        """Remove at most CHUNKS_AT_ONCE chunks from the front of `buffer`, and return their data.

        Raises Problem 400 when one is malformed. Returns nothing when more has to arrive.
        """
        pieces: list[bytes] = []
        position = 0
        for _ in range(CHUNKS_AT_ONCE):
            before = position
            if self._in_chunk:
                position = self._take_data(buffer, position, pieces)
            elif self._in_trailers:
                position = self._take_trailer(buffer, position)
            else:
                position = self._take_size(buffer, position)
            if position == before or self.complete:
                break
        del buffer[:position]
        return b"".join(pieces)

    def _take_size(self, buffer: bytearray, position: int) -> int:
        end = _line_end(buffer, position, LONGEST_CHUNK_LINE)
        if end < 0:
            return position
        match = _SIZE_LINE.fullmatch(buffer, position, end)
        if match is None:
            raise Problem(400, "the size of a chunk is not a hexadecimal number")
        self._spare -= end - position
        self._left = int(match[1], 16)
        self._in_chunk = self._left > 0
        self._in_trailers = self._left == 0
        if self._spare < 0:
            raise Problem(400, "the chunks have too little data for their number and extensions")
        return end

    def _take_data(self, buffer: bytearray, position: int, pieces: list[bytes]) -> int:
        if self._left:
            data = bytes(memoryview(buffer)[position : position + self._left])
            pieces.append(data)
            self._left -= len(data)
            self._spare += OVERHEAD_FACTOR * len(data)
            position += len(data)
        ending = buffer[position : position + 2]
        if self._left or (len(ending) < 2 and b"\r\n".startswith(ending)):
            return position
        if ending != b"\r\n":
            raise Problem(400, "a chunk is longer than its size")
        self._in_chunk = False
        return position + 2

    def _take_trailer(self, buffer: bytearray, position: int) -> int:
        end = _line_end(buffer, position, LONGEST_HEAD)
        if end < 0:
            return position
        line = bytes(buffer[position:end])
        if line == b"\r\n":
            self.complete = True
            return end
        check_trailer(line)
        self._trailers += len(line) + HEADER_OVERHEAD
        if self._trailers > LONGEST_HEAD:
            raise Problem(431, f"the trailers are longer than {LONGEST_HEAD} bytes")
        return end


Body = SizedBody | ChunkedBody


def open_body(length: int | None) -> Body:
    """Make the reader of a body of `length` bytes, or of a chunked one for None."""
    return ChunkedBody() if length is None else SizedBody(length)


def _line_end(buffer: bytearray, position: int, longest: int) -> int:
    """Return the position after the line that begins at `position`, or -1 if it is not there yet. Raises Problem."""
    end = buffer.find(b"\n", position, position + longest)
    if end < 0 and len(buffer) - position >= longest:
        raise Problem(400, f"a line of the chunked body is longer than {longest} bytes")
    return end + 1 if end >= 0 else -1
