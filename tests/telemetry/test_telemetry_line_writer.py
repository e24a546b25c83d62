"""Lines are written by a thread: whatever standard error does, the one who logs neither waits nor fails."""

import threading

import pytest

from telemetry.line_writer import MOST_BYTES, LineWriter

LINE = b"x" * 99 + b"\n"


def test_lines_are_written_in_order_and_text_as_utf_8() -> None:
    written: list[bytes] = []
    writer = LineWriter(written.append)
    for number in range(1000):
        writer.write(f"line {number} é\n")
    writer.write("a lone surrogate: \udcff\n")
    assert writer.drain(5)
    assert b"".join(written) == "".join(f"line {n} é\n" for n in range(1000)).encode() + b"a lone surrogate: \\udcff\n"
    assert writer.dropped == 0


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed")])
def test_lines_that_cannot_be_written_are_dropped_and_counted_and_later_ones_are_written(error: Exception) -> None:
    written: list[bytes] = []
    failing = threading.Event()
    failing.set()

    def put(data: bytes) -> None:
        if failing.is_set():
            raise error
        written.append(data)

    writer = LineWriter(put)
    for _ in range(3):
        writer.write(LINE)
    assert writer.drain(5)
    assert writer.dropped == 3
    failing.clear()
    writer.write(LINE)
    assert writer.drain(5)
    assert (written, writer.dropped) == ([LINE], 3)


def test_what_waits_for_a_stalled_reader_is_bounded_and_the_rest_is_dropped() -> None:
    stalled, written = threading.Event(), []

    def put(data: bytes) -> None:
        stalled.wait(10)
        written.append(data)

    writer = LineWriter(put)
    number = 3 * MOST_BYTES // len(LINE)
    for _ in range(number):
        writer.write(LINE)
    assert not writer.drain(0.01)
    stalled.set()
    assert writer.drain(5)
    kept = sum(map(len, written)) // len(LINE)
    assert kept == MOST_BYTES // len(LINE)
    assert writer.dropped == number - kept
