"""Logs and counts events, as the table of events says."""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from telemetry.events import EVENTS, EventType, counter_name
from telemetry.labels import closed
from telemetry.line_writer import STANDARD_ERROR, LineWriter

_UNKNOWN = EventType(help="An event that is not in the table.", warning=True)

MOST_REPEATED = 1000
"""Repeated lines of one event that are remembered. Any more are not logged until one of these may be repeated."""


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
    """The process's `Emit`. `clock` returns milliseconds. An event that is not in the table is logged as a warning.

    `labels` has the values of labels that are known from the start. A counter with no other labels begins at 0 for each
    of them: a rate over a counter that appears with its first event would miss that event.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        labels: Mapping[str, Collection[str]] = MappingProxyType({}),
        clock: Callable[[], int] = _now,
        log: Any = None,
    ) -> None:
        self._clock = clock
        log = log if log is not None else structlog.get_logger().bind()
        self._write = {"debug": log.debug, "info": log.info, "warning": log.warning}
        self._logged: dict[str, dict[str, int]] = defaultdict(dict)
        self._counters = {
            name: Counter(counter_name(name), event.help, event.labels, registry=registry)
            for name, event in EVENTS.items()
        }
        self._children: dict[tuple[str, ...], Counter] = {}
        for name, kind in EVENTS.items():
            for values in itertools.product(*(labels.get(label, ()) for label in kind.labels)):
                self._counter(name, kind, dict(zip(kind.labels, values, strict=True)))
        registry.register(_DroppedLines(STANDARD_ERROR))

    def __call__(self, event: str, /, **fields: object) -> None:
        """Count and log one event."""
        kind = EVENTS.get(event, _UNKNOWN)
        try:
            if kind is not _UNKNOWN:
                self._counter(event, kind, fields).inc()
            if not (kind.repeat_after and self._logged_lately(event, kind, fields)):
                self._write[kind.level(fields)](event, **fields)
        except Exception:  # noqa: BLE001 - what was done must not fail because it cannot be counted or logged
            STANDARD_ERROR.drop()

    def _counter(self, event: str, kind: EventType, fields: Mapping[str, object]) -> Counter:
        labels = [closed(label, fields.get(label, "")) for label in kind.labels]
        key = (event, *labels)
        if key not in self._children:  # in prometheus_client this lookup takes longer than counting
            self._children[key] = self._counters[event].labels(*labels) if labels else self._counters[event]
        return self._children[key]

    def _logged_lately(self, event: str, kind: EventType, fields: dict[str, object]) -> bool:
        now, words = self._clock(), str([fields.get(field) for field in kind.repeat_by])
        if now < self._logged[event].get(words, now):
            return True
        logged = {old: until for old, until in self._logged[event].items() if now < until}
        self._logged[event] = logged
        if len(logged) >= MOST_REPEATED:
            return True
        logged[words] = now + kind.repeat_after
        return False
