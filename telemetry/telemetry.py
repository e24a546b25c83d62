"""Logs and counts events, as the table of events says."""

import itertools
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from telemetry.events import EVENTS, EventType, counter_name

_UNKNOWN = EventType(help="An event that is not in the table.", warning=True)


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


class Telemetry:
    """The process's `Emit`. `clock` returns milliseconds. An event that is not in the table is logged as a warning.

    `labels` are labels all of whose values are known. Counters that have no others begin at 0 for each of them: a rate
    over a counter that appears with its first event would miss that event.
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
        self._log = log if log is not None else structlog.get_logger()
        self._logged: dict[str, int] = {}
        self._counters = {
            name: Counter(counter_name(name), event.help, event.labels, registry=registry)
            for name, event in EVENTS.items()
        }
        self._children: dict[tuple[str, ...], Counter] = {}
        for name, kind in EVENTS.items():
            for values in itertools.product(*(labels.get(label, ()) for label in kind.labels)):
                self._counter(name, kind, dict(zip(kind.labels, values, strict=True)))

    def __call__(self, event: str, /, **fields: object) -> None:
        """Count and log one event."""
        kind = EVENTS.get(event, _UNKNOWN)
        if kind is not _UNKNOWN:
            self._counter(event, kind, fields).inc()
        if kind.repeat_after and self._logged_lately(f"{event} {fields}", kind.repeat_after):
            return
        warning = kind.warning or any(fields.get(field) in values for field, values in kind.warning_when.items())
        (self._log.warning if warning else self._log.info)(event, **fields)

    def _counter(self, event: str, kind: EventType, fields: Mapping[str, object]) -> Counter:
        labels = [str(fields.get(label, "")) for label in kind.labels]
        key = (event, *labels)
        if key not in self._children:  # prometheus_client's own look-up takes longer than counting
            self._children[key] = self._counters[event].labels(*labels) if labels else self._counters[event]
        return self._children[key]

    def _logged_lately(self, words: str, repeat_after: int) -> bool:
        now = self._clock()
        self._logged = {old: until for old, until in self._logged.items() if now < until}
        if words in self._logged:
            return True
        self._logged[words] = now + repeat_after
        return False
