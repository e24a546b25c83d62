"""Log lines: one valid line an event, as JSON and as text."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry

from ledger.records import RecordResult
from settings.redaction import Redactor
from telemetry.line_writer import STANDARD_ERROR
from telemetry.logs import configure_logs
from telemetry.telemetry import Telemetry


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """The lines that the process would write, with logging restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []

    def lines() -> list[str]:
        assert STANDARD_ERROR.drain()
        text = capfd.readouterr().err
        assert text.endswith("\n")
        return text.removesuffix("\n").split("\n")

    yield lines
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_json_line_is_one_json_object(written: Callable[[], list[str]]) -> None:
    configure_logs("json", "info")
    Telemetry(CollectorRegistry())("callback.refused", provider="fal", reason="token\nforeign")
    [line] = map(json.loads, written())
    assert (line["event"], line["reason"], line["level"]) == ("callback.refused", "token\nforeign", "info")


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
    ],
)
def test_any_value_can_be_written_as_json(written: Callable[[], list[str]], value: object, written_as: object) -> None:
    configure_logs("json", "info")
    Telemetry(CollectorRegistry())("job.accepted", value=value)
    [line] = written()
    assert json.loads(line)["value"] == written_as


def test_a_text_line_stays_one_line(written: Callable[[], list[str]]) -> None:
    configure_logs("text", "info")
    Telemetry(CollectorRegistry())("delivery.attempted", error="one\nrenderhook: forged line")
    [line] = written()
    assert "delivery.attempted" in line


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_callback_that_ended_a_job_is_a_line_only_at_level_debug(
    log_format: str, written: Callable[[], list[str]]
) -> None:
    configure_logs(log_format, "debug")
    Telemetry(CollectorRegistry())("callback.recorded", result="recorded")
    [line] = written()
    assert "callback.recorded" in line
    assert "debug" in line


def test_lines_below_the_log_level_are_not_written(written: Callable[[], list[str]]) -> None:
    configure_logs("json", "warning")
    emit = Telemetry(CollectorRegistry())
    emit("callback.recorded", result="recorded")
    emit("job.accepted", provider="fal")
    emit("endpoint.disabled", endpoint="ep_1")
    assert [json.loads(line)["event"] for line in written()] == ["endpoint.disabled"]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_secrets_in_what_libraries_log_are_redacted(
    written: Callable[[], list[str]], log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    configure_logs(log_format, "info", redact=Redactor(["the-key-of-our-account"]))
    error = ValueError("cannot reach https://u.example/?token=in-the-query with the-key-of-our-account")
    logging.getLogger("library").error("refused: Key %s", "the-key-of-our-account", exc_info=error)
    lines = "\n".join(written())
    assert "ValueError" in lines
    assert "[redacted]" in lines
    assert "the-key" not in lines
    assert "in-the-query" not in lines
