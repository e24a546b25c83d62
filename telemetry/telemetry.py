"""Logs and counts events, as the table of events says."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from telemetry.events import EVENTS, EventType, counter_name
from telemetry.line_writer import STANDARD_ERROR, LineWriter

_UNKNOWN = EventType(help="An event that is not in the table.", warning=True)


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


class _DroppedLines(Collector):
    """Counts the lines that standard error did not take."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "renderhook_log_lines_dropped", "Log lines that standard error did not take.", value=self._writer.dropped
        )


class Telemetry:
    """The process's `Emit`. `clock` returns milliseconds. An event that is not in the table is logged as a warning."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], int] = _now, log: Any = None) -> None:
        self._clock = clock
        self._log = log if log is not None else structlog.get_logger().bind()
        self._logged: dict[str, int] = {}
        self._counters = {
            name: Counter(counter_name(name), event.help, event.labels, registry=registry)
            for name, event in EVENTS.items()
        }
        self._children: dict[tuple[str, ...], Counter] = {}
        registry.register(_DroppedLines(STANDARD_ERROR))

    def __call__(self, event: str, /, **fields: object) -> None:
        """Count and log one event."""
        kind = EVENTS.get(event, _UNKNOWN)
        if kind is not _UNKNOWN:
            self._counter(event, kind, fields).inc()
        if kind.repeat_after and self._logged_lately(f"{event} {fields}", kind.repeat_after):
            return
        try:
            self._write(event, kind, fields)
        except Exception:  # noqa: BLE001 - what was done must not fail because it cannot be logged
            STANDARD_ERROR.drop()

    def _write(self, event: str, kind: EventType, fields: dict[str, object]) -> None:
        warning = kind.warning or any(fields.get(field) in values for field, values in kind.warning_when.items())
        (self._log.warning if warning else self._log.info)(event, **fields)

    def _counter(self, event: str, kind: EventType, fields: dict[str, object]) -> Counter:
        labels = [str(fields.get(label, "")) for label in kind.labels]
        key = (event, *labels)
        if key not in self._children:  # in prometheus_client this lookup takes longer than counting
            self._children[key] = self._counters[event].labels(*labels) if labels else self._counters[event]
        return self._children[key]

    def _logged_lately(self, words: str, repeat_after: int) -> bool:
        now = self._clock()
        self._logged = {old: until for old, until in self._logged.items() if now < until}
        if words in self._logged:
            return True
        self._logged[words] = now + repeat_after
        return False
