"""Opens the telemetry of a process: lines on standard error, metrics in a registry of its own."""

import contextlib
import os
import sys
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from telemetry.library_records import library_records
from telemetry.lines.formats import Level, LineFormat, colored_line, json_line, text_line
from telemetry.lines.writer import LogWriter
from telemetry.telemetry import Telemetry

FLUSH_SECONDS = 0.5
"""How long the end of the process waits for lines to be written."""

STANDARD_ERROR = 2

_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


class LineLog:
    """Writes the lines of events from `level` on, in a format."""

    def __init__(self, writer: LogWriter, format_line: LineFormat, level: str) -> None:
        self._writer = writer
        self._format_line = format_line
        self._written = frozenset(_LEVELS[_LEVELS.index(level) :])

    def __call__(self, level: Level, event: str, fields: dict[str, object]) -> None:
        """Write the line of an event, if lines of this level are written."""
        if level in self._written:
            self._writer.add(self._format_line(level, event, fields))


@contextlib.contextmanager
def open_telemetry(log_format: str, log_level: str) -> Iterator[Telemetry]:
    """Yield the process's telemetry. `log_format` is `json` or `text`, `log_level` a level's name in lower case.

    At the end it waits `FLUSH_SECONDS` at most for standard error to take the lines.
    """
    descriptor = _open_standard_error()
    text = colored_line if os.isatty(descriptor) else text_line
    format_line = json_line if log_format == "json" else text
    writer = LogWriter(descriptor, lambda number: format_line("warning", "log.lines_dropped", {"number": number}))
    telemetry = Telemetry(CollectorRegistry(), LineLog(writer, format_line, log_level))
    writer.on_drop = telemetry.count_dropped
    try:
        with library_records(telemetry):
            yield telemetry
    finally:
        writer.close(FLUSH_SECONDS)


def _open_standard_error() -> int:
    """Return the descriptor for lines. Closed standard descriptors are opened on the null device.

    Otherwise the next socket or file would get the number of standard error, and lines would be written to it.
    """
    closed = sys.stderr is None
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    return os.open(os.devnull, os.O_WRONLY) if closed else STANDARD_ERROR
