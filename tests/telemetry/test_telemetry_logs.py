"""Log lines: one valid line an event, as JSON and as text, and what libraries log among them."""

import asyncio
import gc
import json
import logging
import threading
import warnings
from collections.abc import Callable

import pytest

from ledger.records import RecordResult
from telemetry.background import report_exception
from telemetry.lines.formats import LONGEST_LINE, colored_line, json_line, text_line
from telemetry.logs import open_telemetry
from telemetry.telemetry import Telemetry

Lines = list[dict[str, object]]
Capture = Callable[[], Lines]


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Capture:
    """Return a function that reads the lines on standard error, once telemetry is closed."""
    return lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_json_line_is_one_json_object(lines: Capture) -> None:
    with open_telemetry("json", "info") as emit:
        emit("job.accepted", provider="fal", model="a\nb")
    [line] = lines()
    assert (line["event"], line["model"], line["level"]) == ("job.accepted", "a\nb", "info")


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no words for it")


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "written_as"),
    [
        (RecordResult.RECORDED, "recorded"),
        (ValueError("no"), "ValueError('no')"),
        (("a", 1, None), ["a", 1, None]),
        ({"code": 2**70}, {"code": 2**70}),
        ("é\u2028\x00\x1b[31m", "é\u2028\x00\x1b[31m"),
        ("not UTF-8: \udcff", "not UTF-8: \udcff"),
        ({"\ud800": ValueError("no")}, {"\ud800": "ValueError('no')"}),
        (Broken(), "a Broken"),
        (10**5000, "a int"),
        (CYCLE, "[[...]]"),
    ],
    ids=["enum", "exception", "tuple", "large", "characters", "surrogate", "nested", "broken", "huge", "cycle"],
)
def test_any_value_can_be_written_as_json(value: object, written_as: object) -> None:
    line = json_line("info", "job.accepted", {"value": value})
    assert json.loads(line)["value"] == written_as


@pytest.mark.parametrize("value", ["one\nrenderhook: forged line", "\x1b[31m", "\u2028", "\udcff", Broken(), CYCLE])
def test_a_text_line_stays_one_line_of_printable_characters(value: object) -> None:
    line = text_line("info", "delivery.attempted", {"error": value}).decode()
    assert "delivery.attempted error=" in line
    assert line.removesuffix("\n").isprintable()


def test_a_line_for_a_terminal_is_colored_and_still_one_line() -> None:
    line = colored_line("warning", "job.expired", {"job": "job_1"})
    assert line.startswith(b"\x1b[33m")
    assert line.endswith(b" job=job_1\x1b[0m\n")


@pytest.mark.parametrize("write", [json_line, text_line])
@pytest.mark.parametrize("values", [1, 30, 300])
@pytest.mark.parametrize("character", ["x", "é", "\udcff", "\n"])
def test_the_values_of_a_long_line_are_shortened(write: Callable[..., bytes], values: int, character: str) -> None:
    fields = {f"field_{number}": f"begin{character * 10_000}end" for number in range(values)}
    line = write("error", "library.failed", fields)
    assert len(line) <= LONGEST_LINE
    assert line.count(b"\n") == 1
    if write is json_line and values == 1:
        value = str(json.loads(line)["field_0"])
        assert (value[:5], value[-3:]) == ("begin", "end")


def test_lines_below_the_log_level_are_not_written(lines: Capture) -> None:
    with open_telemetry("json", "warning") as emit:
        emit("job.accepted", provider="fal")
        emit("endpoint.disabled", endpoint="ep_1")
    assert [line["event"] for line in lines()] == ["endpoint.disabled"]


# --- libraries and the interpreter ------------------------------------------------------------------------------------


def log_and_raise(emit: Telemetry) -> None:
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").info("of no interest")
    try:
        int("a bug\nof ours")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    logging.getLogger("careless").warning("%d words", "no number")


def warn(emit: Telemetry) -> None:
    warnings.warn("deprecated", DeprecationWarning, stacklevel=1)


def raise_in_a_thread(emit: Telemetry) -> None:
    thread = threading.Thread(target=lambda: int("a bug"))
    thread.start()
    thread.join()


def raise_in_a_task(emit: Telemetry) -> None:
    async def fail() -> None:
        raise ValueError("nobody awaits this")

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task
        gc.collect()
        report_exception("ledger writer", KeyError("a bug"))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        (
            log_and_raise,
            [
                ("library.warned", "warning", "Invalid HTTP request received."),
                ("library.failed", "error", "Exception in ASGI application"),
                ("library.warned", "warning", "%d words"),
            ],
        ),
        (warn, [("library.warned", "warning", "deprecated")]),
        (raise_in_a_thread, [("library.failed", "error", "an exception was lost")]),
        (
            raise_in_a_task,
            [
                ("library.failed", "error", "Task exception was never retrieved"),
                ("library.failed", "error", "ledger writer raised"),
            ],
        ),
    ],
)
def test_what_libraries_and_the_interpreter_report_is_json_too(
    happen: Callable[[Telemetry], None], expected: list[tuple[str, str, str]], lines: Capture
) -> None:
    with open_telemetry("json", "info") as emit, warnings.catch_warnings():
        warnings.simplefilter("always")
        happen(emit)
    found = lines()
    for line, (event, level, message) in zip(found, expected, strict=True):
        assert (line["event"], line["level"]) == (event, level)
        assert message in str(line["message"])
        assert ("exception" in line) == (event == "library.failed")


def test_what_libraries_repeat_is_logged_ten_times_a_minute(lines: Capture) -> None:
    with open_telemetry("json", "info") as emit:
        for number in range(1_000):
            logging.getLogger("uvicorn.error").warning("Invalid HTTP request received: %d", number)
        assert emit.registry.get_sample_value("renderhook_library_warned_total") == 1_000
    assert len(lines()) == 10


def test_logging_is_as_before_when_telemetry_is_closed() -> None:
    before = logging.getLogger().handlers, threading.excepthook
    with open_telemetry("json", "info"):
        assert logging.getLogger().handlers != before[0]
    assert (logging.getLogger().handlers, threading.excepthook) == before
