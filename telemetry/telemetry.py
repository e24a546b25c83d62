"""Logs and counts events, as the table of events says."""

import time
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from telemetry.event_types import EventType
from telemetry.events import EVENTS, counter_name
from telemetry.labels import closed
from telemetry.lines.formats import Level
from telemetry.lines.limits import LineLimits

_UNKNOWN = EventType(help="An event that is not in the table.", level="warning")


class Log(Protocol):
    """Writes lines."""

    def __call__(self, level: Level, event: str, fields: dict[str, object]) -> None:
        """Write the line of an event, if lines of this level are written."""


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


class Telemetry:
    """The process's `Emit`. `clock` returns milliseconds. An event that is not in the table is logged as a warning.

    A call raises nothing and waits for nothing: what observes the work must not break it.
    """

    def __init__(self, registry: CollectorRegistry, log: Log, *, clock: Callable[[], int] = _now) -> None:
        self.registry = registry
        self._log = log
        self._limits = LineLimits(clock)
        self._counters = {
            name: Counter(counter_name(name), event.help, event.labels, registry=registry)
            for name, event in EVENTS.items()
        }
        self._children: dict[tuple[str, ...], Counter] = {}

    def __call__(self, event: str, /, **fields: object) -> None:
        """Count and log one event."""
        try:
            self._emit(event, fields)
        except Exception:  # noqa: BLE001 - see above; what could not be logged is counted
            self.count_dropped(1)

    def count_dropped(self, lines: int) -> None:
        """Count lines that were not written. May be called from any thread."""
        self._counters["log.lines_dropped"].inc(lines)

    def _emit(self, event: str, fields: dict[str, object]) -> None:
        kind = EVENTS.get(event, _UNKNOWN)
        if kind is not _UNKNOWN:
            self._counter(event, kind, fields).inc()
        if kind.limit is not None:
            key = (event, *(str(fields.get(name)) for name in kind.limit.by))
            suppressed = self._limits.admit(key, kind.limit)
            if suppressed is None:
                return
            if suppressed:
                fields["suppressed"] = suppressed
        self._log(kind.level_of(fields), event, fields)

    def _counter(self, event: str, kind: EventType, fields: dict[str, object]) -> Counter:
        labels = [closed(label, fields.get(label)) for label in kind.labels]
        key = (event, *labels)
        if key not in self._children:  # prometheus_client's own look-up takes longer than counting
            self._children[key] = self._counters[event].labels(*labels) if labels else self._counters[event]
        return self._children[key]
