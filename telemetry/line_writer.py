"""Writes lines to standard error from a thread of its own, so that no work waits for it or fails with it."""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable

MOST_BYTES = 1_000_000
"""What may wait to be written. More is dropped and counted, as when standard error is a pipe without a reader."""

GATHER_SECONDS = 0.005
"""How long a line waits for more to be written with it: each time, the thread takes the interpreter from the work."""

FLUSH_SECONDS = 1.0
"""How long the end of the process waits for what is still to be written."""

Write = Callable[[bytes], object]


class LineWriter:
    """A file for loggers. `put` writes bytes and may block or raise; a line that it raises for is dropped."""

    def __init__(self, put: Write) -> None:
        self._put = put
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._writing = False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def write(self, text: str | bytes) -> None:
        """Add a line, or drop it if too much waits."""
        line = text.encode(errors="backslashreplace") if isinstance(text, str) else text
        with self._changed:
            if self._bytes + len(line) > MOST_BYTES:
                self.dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_forever, name="log lines", daemon=True)
                self._thread.start()
            if not self._writing:
                self._changed.notify()

    def drop(self) -> None:
        """Count a line that could not even be made."""
        with self._changed:
            self.dropped += 1

    def flush(self) -> None:
        """Do nothing: loggers flush after each line."""

    def drain(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything is written, for `seconds` at most. Return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, timeout=seconds)

    def _write_forever(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                self._writing = True
            time.sleep(GATHER_SECONDS)
            with self._changed:
                lines = list(self._lines)
                self._lines.clear()
            try:
                self._put(b"".join(lines))
                lost = 0
            except (OSError, ValueError):  # closed, full, or without a reader
                lost = len(lines)
            with self._changed:
                self._bytes -= sum(map(len, lines))
                self.dropped += lost


def _write_standard_error(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]


def open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed, or the database would get its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


STANDARD_ERROR = LineWriter(_write_standard_error)
atexit.register(STANDARD_ERROR.drain)
