"""The table of events: every emitted event is in it, every row is emitted, and levels, counters and page follow it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from telemetry.events import EVENTS, HOUR_MS, counter_name
from telemetry.events_page import events_page
from telemetry.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ledger", "outbound", "providers", "receiver", "renderhook", "submitter", "work")
EVENT_NAME = re.compile(r"[a-z]+\.[a-z_]+")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(("warning", event, fields))

    @property
    def levels(self) -> list[str]:
        return [level for level, _, _ in self.lines]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def emit(log: Log, registry: CollectorRegistry) -> Telemetry:
    return Telemetry(registry, log=log)


# --- the table and the code -----------------------------------------------------------------------------------------


def emitted(source: str) -> Iterator[str]:
    """Yield the events that a module emits; where a name is computed, every string of that shape in the module."""
    tree = ast.parse(source)
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"emit", "_emit"}:
            event = node.args[0]
            if isinstance(event, ast.Constant):
                yield str(event.value)
            else:
                yield from (text for text in strings if EVENT_NAME.fullmatch(text))


def all_emitted() -> set[str]:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {event for path in modules for event in emitted(path.read_text("utf-8"))}


def test_every_emitted_event_is_in_the_table() -> None:
    assert all_emitted() - EVENTS.keys() == set()


def test_every_event_in_the_table_is_emitted() -> None:
    assert EVENTS.keys() - all_emitted() == set()


def test_emitted_events_are_found_in_code() -> None:
    source = """
def f(self, ok):
    self._emit("job.accepted", job=1)
    name = "job.one" if ok else "job.other"
    emit(name)
"""
    assert set(emitted(source)) == {"job.accepted", "job.one", "job.other"}


@pytest.mark.parametrize("name", EVENTS)
def test_names_are_a_subject_and_a_past_participle(name: str) -> None:
    subject, _, happened = name.partition(".")
    irregular = {"file_lost", "became_unconfirmed", "became_ready", "became_unready"}
    assert subject in {
        *("callback", "database", "delivery", "endpoint", "job", "keys", "poll", "provider", "receiver", "setting"),
        *("work", "worker"),
    }
    assert happened.endswith("ed") or happened in irregular


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_has_a_sentence_that_says_what_is_counted(name: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]{10,98}\.", EVENTS[name].help)


def test_no_label_is_an_identifier() -> None:
    """A label with as many values as there are jobs would fill Prometheus' memory."""
    labels = {label for event in EVENTS.values() for label in event.labels}
    assert labels == {"provider", "state", "result", "reason", "code", "fault", "outcome", "kind", "step"}


# --- the page -------------------------------------------------------------------------------------------------------


def page() -> str:
    return (ROOT / "docs/reference/events.md").read_text("utf-8")


def test_the_page_of_events_is_up_to_date() -> None:
    assert page() == events_page(), "run `make docs`"


def documented_warnings() -> set[str]:
    section = page().partition("## Warnings")[2].partition("## ")[0]
    return set(re.findall(r"`([a-z]+\.[a-z_]+)`", section))


def test_the_documented_warnings_are_those_of_the_table() -> None:
    always = {name for name, event in EVENTS.items() if event.warning}
    at_times = {name for name, event in EVENTS.items() if event.warning_when}
    assert documented_warnings() == always | at_times


# --- log and counters -----------------------------------------------------------------------------------------------


def test_an_event_is_one_line_with_its_fields(emit: Telemetry, log: Log) -> None:
    emit("job.accepted", job="job_1", provider="fal", model="a/b")
    assert log.lines == [("info", "job.accepted", {"job": "job_1", "provider": "fal", "model": "a/b"})]


@pytest.mark.parametrize(
    ("event", "fields", "level"),
    [
        ("job.accepted", {}, "info"),
        ("job.expired", {}, "warning"),
        ("endpoint.disabled", {}, "warning"),
        ("callback.recorded", {"result": "recorded"}, "info"),
        ("callback.recorded", {"result": "duplicate"}, "info"),
        ("callback.recorded", {"result": "conflict"}, "warning"),
        ("callback.recorded", {"result": "orphan"}, "warning"),
        ("poll.recorded", {"result": "conflict"}, "warning"),
        ("delivery.finished", {"state": "delivered"}, "info"),
        ("delivery.finished", {"state": "dead"}, "warning"),
        ("not.listed", {}, "warning"),
    ],
)
def test_levels(emit: Telemetry, log: Log, event: str, fields: dict[str, str], level: str) -> None:
    emit(event, **fields)
    assert log.levels == [level]


def test_a_repeated_warning_of_a_provider_is_logged_once_an_hour_and_counted_each_time(log: Log) -> None:
    now, registry = [0], CollectorRegistry()
    emit = Telemetry(registry, log=log, clock=lambda: now[0])
    for at, warning in ((0, "a"), (1, "a"), (1, "b"), (HOUR_MS - 1, "a"), (HOUR_MS, "a")):
        now[0] = at
        emit("provider.warning_received", provider="heygen", warning=warning)
    assert [fields["warning"] for _, _, fields in log.lines] == ["a", "b", "a"]
    counted = registry.get_sample_value(counter_name("provider.warning_received"), {"provider": "heygen"})
    assert counted == 5


def test_events_are_counted_by_labels_with_few_values(emit: Telemetry, registry: CollectorRegistry) -> None:
    for number in range(100):
        emit("callback.refused", provider="fal", reason="token_foreign", client=f"10.0.0.{number}")
    lines = [line for line in generate_latest(registry).decode().splitlines() if "callback_refused_total{" in line]
    assert lines == ['renderhook_callback_refused_total{provider="fal",reason="token_foreign"} 100.0']


def test_a_missing_label_is_empty_and_an_event_may_have_none(emit: Telemetry, registry: CollectorRegistry) -> None:
    for _ in range(2):
        emit("endpoint.disabled", endpoint="ep_1")
        emit("callback.refused", provider="fal", client="10.0.0.1")
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.endswith(" 2.0")]
    assert lines == [
        'renderhook_callback_refused_total{provider="fal",reason=""} 2.0',
        "renderhook_endpoint_disabled_total 2.0",
    ]


def test_metrics_have_the_names_and_sentences_of_the_table(emit: Telemetry, registry: CollectorRegistry) -> None:
    emit("job.submitted", provider="fal")
    text = generate_latest(registry).decode()
    assert "# HELP renderhook_job_submitted_total Jobs accepted by a provider.\n" in text
    assert set(re.findall(r"^# TYPE (\S+_total) counter$", text, re.MULTILINE)) == {
        "renderhook_log_lines_dropped_total",
        *map(counter_name, EVENTS),
    }
