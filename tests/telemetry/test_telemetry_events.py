"""The table of events: every emitted event is in it, every row is emitted, and levels, counters and page follow it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ledger.records import Fault, JobState, RecordResult
from ledger.requests import Ending, Kind
from providers.errors import Reason
from telemetry.events import EVENTS, HOUR_MS, MINUTE_MS, counter_name
from telemetry.events_page import events_page
from telemetry.labels import LABELS
from telemetry.line_writer import STANDARD_ERROR
from telemetry.telemetry import MOST_REPEATED, Telemetry

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ledger", "outbound", "providers", "receiver", "renderhook", "submitter", "work")
EVENT_NAME = re.compile(r"[a-z]+\.[a-z_]+")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, **fields: object) -> None:
        self.lines.append(("debug", event, fields))

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
    irregular = {"file_lost", "became_unconfirmed", "became_ready", "became_unready", "unread"}
    assert subject in {
        *("callback", "database", "delivery", "endpoint", "job", "keys", "poll", "provider", "receiver", "request"),
        *("setting", "work", "worker"),
    }
    assert happened.endswith("ed") or happened in irregular


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_has_a_sentence_that_says_what_is_counted(name: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]{10,98}\.", EVENTS[name].help)


def test_the_values_of_every_label_are_listed() -> None:
    """A label with as many values as there are jobs would fill Prometheus' memory."""
    assert {label for event in EVENTS.values() for label in event.labels} == LABELS.keys()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("state", {*(state for state in JobState if state.is_terminal), *get_args(Ending)}),
        ("result", set(RecordResult) - {RecordResult.FOREIGN}),
        ("fault", set(Fault)),
        ("reason", set(Reason)),
        ("kind", set(get_args(Kind))),
    ],
)
def test_the_listed_values_of_a_label_include_those_of_the_code(label: str, words: set[str]) -> None:
    assert words <= (LABELS[label] or set())


def test_the_codes_of_our_own_errors_are_listed() -> None:
    found = {
        str(node.value.value)
        for package in ("ledger", "submitter")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant)
    }
    assert {"claim_ended", "timed_out", "no_account"} <= found <= (LABELS["code"] or set())


# --- the page -------------------------------------------------------------------------------------------------------


def page() -> str:
    return (ROOT / "docs/reference/events.md").read_text("utf-8")


def test_the_page_of_events_is_up_to_date() -> None:
    assert page() == events_page(), "run `make docs`"


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
        ("callback.recorded", {"result": "recorded"}, "debug"),
        ("callback.recorded", {"result": "duplicate"}, "info"),
        ("callback.recorded", {"result": "conflict"}, "warning"),
        ("callback.recorded", {"result": "orphan"}, "warning"),
        ("poll.recorded", {"result": "conflict"}, "warning"),
        ("delivery.finished", {"state": "delivered"}, "info"),
        ("delivery.finished", {"state": "dead"}, "warning"),
        ("delivery.finished", {"state": "discarded"}, "warning"),
        ("job.failed", {"fault": "input"}, "info"),
        ("job.failed", {"fault": "account"}, "warning"),
        ("poll.failed", {"fault": "network"}, "info"),
        ("poll.failed", {"fault": "account"}, "warning"),
        ("callback.refused", {"reason": "no_key_matches"}, "warning"),
        ("callback.refused", {"reason": "token_foreign"}, "info"),
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


def test_what_unauthenticated_clients_cause_is_logged_once_a_minute_and_counted_each_time(log: Log) -> None:
    now, registry = [0], CollectorRegistry()
    emit = Telemetry(registry, log=log, clock=lambda: now[0])
    for at in (0, 0, MINUTE_MS - 1, MINUTE_MS):
        now[0] = at
        for number in range(100):
            emit("callback.refused", provider="fal", reason="token_foreign", client=f"10.0.0.{number}")
            emit("request.refused", reason="key_unknown", client=f"10.0.0.{number}")
    assert [event for _, event, _ in log.lines] == ["callback.refused", "request.refused"] * 2
    assert registry.get_sample_value(counter_name("request.refused"), {"reason": "key_unknown"}) == 400


def test_only_so_many_kinds_of_repeated_lines_are_remembered_and_written(log: Log) -> None:
    now = [0]
    emit = Telemetry(CollectorRegistry(), log=log, clock=lambda: now[0])
    for at, lines in ((0, MOST_REPEATED), (HOUR_MS, 2 * MOST_REPEATED)):
        now[0] = at
        for number in range(MOST_REPEATED + 10):
            emit("provider.warning_received", provider="heygen", warning=f"warning {number}")
        assert len(log.lines) == lines


def test_values_that_are_not_listed_are_counted_as_other(emit: Telemetry, registry: CollectorRegistry) -> None:
    for number in range(100):
        emit("job.submit_rescheduled", provider="fal", code=f"never_seen_{number}")
        emit("job.failed", provider="fal", source=f"source {number}", fault=f"fault {number}")
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.endswith(" 100.0")]
    assert lines == [
        'renderhook_job_submit_rescheduled_total{code="other",provider="fal"} 100.0',
        'renderhook_job_failed_total{fault="other",provider="fal",source="other"} 100.0',
    ]


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


def test_counters_whose_labels_are_known_begin_at_0(log: Log, registry: CollectorRegistry) -> None:
    Telemetry(registry, labels={"provider": ["fal", "heygen"], "kind": ["poll"]}, log=log)
    text = generate_latest(registry).decode()
    assert 'renderhook_keys_fetch_failed_total{provider="fal"} 0.0' in text
    assert 'renderhook_keys_fetch_failed_total{provider="heygen"} 0.0' in text
    assert 'renderhook_worker_task_failed_total{kind="poll"} 0.0' in text
    assert "renderhook_callback_refused_total{" not in text  # its reasons are not known
    assert log.lines == []


def test_an_event_that_cannot_be_counted_or_logged_raises_nothing_and_is_counted_as_dropped(emit: Telemetry) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("an installed provider's own class")

    before = STANDARD_ERROR.dropped
    emit("callback.refused", provider="fal", reason=Unprintable())
    assert STANDARD_ERROR.dropped == before + 1
