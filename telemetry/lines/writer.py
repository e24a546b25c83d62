"""Writes log lines to a file descriptor, from a thread of its own: a caller neither waits for that nor sees it fail."""

import os
import queue
import select
import stat
import threading
import time
from collections.abc import Callable

MOST_LINES = 10_000
"""Lines that may wait to be written. More are dropped."""

LONGEST_WRITE = 65_536
"""Bytes of one write."""

LONGEST_PIPE_WRITE = 4096
"""Bytes of one write to a pipe, which keeps so many together (PIPE_BUF), whatever other processes write to it."""

MANY_LINES = 1_000
"""With so many lines waiting, writes to a pipe are longer too: lines that are mixed are better than lines that are lost."""

GATHER_SECONDS = 0.02
"""After a write, how long the next lines may wait for more to be written with them."""


class LogWriter:
    """A bounded buffer of lines, and the thread that writes them.

    Lines are dropped when the buffer is full, and when a write fails. `on_drop` is called with how many, from any
    thread. When a write succeeds again, `report` makes the line that says how many were dropped until then.
    """

    def __init__(self, descriptor: int, report: Callable[[int], bytes], *, most_lines: int = MOST_LINES) -> None:
        self.on_drop: Callable[[int], None] = lambda _: None
        self._descriptor = descriptor
        self._report = report
        self._most_lines = most_lines
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        self._longest_write = LONGEST_PIPE_WRITE if is_pipe else LONGEST_WRITE
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # its put may be called in a finalizer too
        self._unreported = 0
        self._counting = threading.Lock()
        self._torn = False
        self._thread = threading.Thread(target=self._write_forever, name="log writer", daemon=True)
        self._thread.start()

    def add(self, line: bytes) -> None:
        """Enqueue one line, which ends with a line break, or drop it."""
        if self._lines.qsize() < self._most_lines:
            self._lines.put(line)
        else:
            self._drop(1)

    def close(self, seconds: float) -> None:
        """Wait until all lines are written, for `seconds` at most. Lines that are added later are not written."""
        self._lines.put(None)
        self._thread.join(seconds)

    def _write_forever(self) -> None:
        line = self._lines.get()
        while line is not None:
            longest = self._longest_write if self._lines.qsize() < MANY_LINES else LONGEST_WRITE
            batch, size = [line], len(line)
            line = self._next()
            while line and size + len(line) <= longest:
                batch.append(line)
                size += len(line)
                line = self._next()
            self._write(b"".join(batch), len(batch))
            if line == b"":
                time.sleep(GATHER_SECONDS)
                line = self._lines.get()

    def _next(self) -> bytes | None:
        """Return the next line, None at the end, and b"" if there is no other yet."""
        try:
            return self._lines.get_nowait()
        except queue.Empty:
            return b""

    def _write(self, batch: bytes, lines: int) -> None:
        dropped = self._unreported
        report = self._report(dropped) if dropped else b""
        text = (b"\n" if self._torn else b"") + report + batch
        left = memoryview(text)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:  # closed, full, or gone
            self._torn = self._torn or len(left) < len(text)
            self._drop(lines)
            return
        self._torn = False
        with self._counting:
            self._unreported -= dropped

    def _write_some(self, text: memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, text)
            except BlockingIOError:  # whoever shares the descriptor made it so
                select.select([], [self._descriptor], [])

    def _drop(self, number: int) -> None:
        with self._counting:
            self._unreported += number
        self.on_drop(number)
