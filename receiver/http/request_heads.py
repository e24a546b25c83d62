"""Finds the heads of requests in what a connection receives."""

import re

from receiver.http.heads import LONGEST_HEAD, Head, check_beginning, head_too_long, read_head
from receiver.web.problems import Problem

_END = b"\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")


class RequestHeads:
    """Takes heads out of `buffer`, which has what was received and not read yet."""

    __slots__ = ("_blank", "_searched", "buffer")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._searched = 0  # bytes of the buffer in which no head ends
        self._blank = 0  # bytes of empty lines before the head

    @property
    def has_begun(self) -> bool:
        """Whether anything was received of the next head."""
        return bool(self.buffer or self._blank)

    def take(self) -> Head | None:
        """Remove the next head from the buffer, if it is whole, and read it. Raises Problem."""
        buffer = self.buffer
        if buffer[:1] == b"\r":
            self._skip_empty_lines()
        end = buffer.find(_END, max(0, self._searched - 3)) + len(_END)
        if end < len(_END):
            check_beginning(buffer, self._searched)
            self._searched = len(buffer)
            if len(buffer) > LONGEST_HEAD:
                raise head_too_long(buffer)
            return None
        self._searched = self._blank = 0
        if end > LONGEST_HEAD:
            raise head_too_long(buffer)
        data = bytes(memoryview(buffer)[:end])
        del buffer[:end]
        return read_head(data)

    def _skip_empty_lines(self) -> None:
        """Skip what older clients send behind a body: https://www.rfc-editor.org/rfc/rfc9112#section-2.2."""
        lines = _EMPTY_LINES.match(self.buffer)
        assert lines is not None
        count = lines.end()
        del self.buffer[:count]
        self._searched = max(0, self._searched - count)
        self._blank += count
        if self._blank > LONGEST_HEAD:
            raise Problem(400, "there are too many empty lines before a request")
