"""The writer of log lines: whatever becomes of standard error, a caller neither waits nor fails. Losses are counted."""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.lines.writer import LONGEST_PIPE_WRITE, LogWriter
from tests.process.children import until

SECONDS = 5.0


def report(number: int) -> bytes:
    return b"dropped %d\n" % number


def open_writer(descriptor: int, **options: int) -> tuple[LogWriter, list[int]]:
    writer, dropped = LogWriter(descriptor, report, **options), list[int]()
    writer.on_drop = dropped.append
    return writer, dropped


class Pipe:
    """A pipe that nobody reads. Its buffer holds one page, the least there is."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, LONGEST_PIPE_WRITE)
        self._opened: list[LogWriter] = []

    def open_writer(self, **options: int) -> tuple[LogWriter, list[int]]:
        writer, dropped = open_writer(self.writer, **options)
        self._opened.append(writer)
        return writer, dropped

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        """Close both ends, once no thread writes any more."""
        self.close_reader()
        for writer in self._opened:
            writer.close(SECONDS)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_are_written_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as file:
        writer, dropped = open_writer(file.fileno())
        for number in range(5_000):
            writer.add(b"line %d\n" % number)
        writer.close(SECONDS)
    assert (tmp_path / "log").read_bytes() == b"".join(b"line %d\n" % number for number in range(5_000))
    assert dropped == []


def test_a_reader_that_went_away_loses_lines_and_nothing_else(pipe: Pipe) -> None:
    pipe.close_reader()
    writer, dropped = pipe.open_writer()
    for _ in range(3):
        writer.add(b"line\n")
    writer.close(SECONDS)
    assert sum(dropped) == 3


def test_a_reader_that_stalls_makes_nobody_wait(pipe: Pipe) -> None:
    writer, dropped = pipe.open_writer(most_lines=100)
    began = time.monotonic()
    for _ in range(10_000):
        writer.add(b"x" * 999 + b"\n")
    writer.close(0.05)
    assert time.monotonic() - began < 2
    assert 9_800 < sum(dropped) < 9_900


def test_when_a_stalled_reader_goes_on_a_line_says_how_many_were_dropped(pipe: Pipe) -> None:
    writer, dropped = pipe.open_writer(most_lines=10)
    for _ in range(100):
        writer.add(b"x" * 999 + b"\n")
    assert dropped
    os.set_blocking(pipe.reader, False)
    found = bytearray()

    def reported() -> bool:
        try:
            found.extend(os.read(pipe.reader, 65_536))
        except BlockingIOError:
            return False
        return b"dropped" in found

    until("it is reported", reported)
    assert b"dropped %d\n" % sum(dropped) in found


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    writer, dropped = pipe.open_writer()
    for _ in range(100):
        writer.add(b"x" * 999 + b"\n")
    found = bytearray()
    while len(found) < 100_000:
        found += os.read(pipe.reader, 65_536)
    writer.close(SECONDS)
    assert dropped == []


def test_a_line_that_was_torn_by_a_full_disk_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [8]
    write = os.write

    def limited(descriptor: int, text: bytes) -> int:
        part = text[: room[0]]
        if not part:
            raise OSError(28, "No space left on device")
        room[0] -= len(part)
        return write(descriptor, part)

    monkeypatch.setattr("telemetry.lines.writer.os.write", limited)
    with (tmp_path / "log").open("wb", buffering=0) as file:
        writer, dropped = open_writer(file.fileno())
        writer.add(b"one\n")
        until("one is written", lambda: room[0] == 4)
        writer.add(b"two is torn\n")
        until("two is dropped", lambda: bool(dropped))
        room[0] = 1_000
        writer.add(b"three\n")
        writer.close(SECONDS)
    assert (tmp_path / "log").read_text().splitlines() == ["one", "two ", "dropped 1", "three"]
