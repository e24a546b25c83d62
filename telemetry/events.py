"""One place that turns announced telemetry into log lines and metrics."""

import json
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from ledger.clock import Clock, wall_clock

_COUNTED: dict[str, tuple[str, ...]] = {
    # fact: the fields that become labels, each with few values
    "callback.recorded": ("provider", "state", "result"),
    "callback.refused": ("provider", "reason"),
    "callback.unavailable": ("provider", "reason"),
    "poll.recorded": ("provider", "state", "result"),
    "job.accepted": ("provider",),
    "job.submitted": ("provider",),
    "job.submit_rescheduled": ("provider", "code"),
    "job.became_unconfirmed": ("provider", "code"),
    "job.resubmitted": ("provider",),
    "job.refused": ("provider", "fault"),
    "job.expired": ("provider", "code"),
    "poll.failed": ("provider", "code"),
    "delivery.attempted": ("outcome",),
    "delivery.finished": ("state",),
    "keys.fetched": (),
    "keys.fetch_failed": (),
    "worker.task_failed": ("kind",),
    "work.missing_enqueued": (),
    "database.unavailable": (),
}

_LOUD = frozenset(
    {
        "callback.unavailable",
        "job.became_unconfirmed",
        "job.expired",
        "job.record_failed",
        "job.request_id_conflict",
        "job.resubmitted",
        "provider.warning_received",
        "keys.fetch_failed",
        "worker.task_failed",
        "worker.fetch_failed",
        "worker.reschedule_failed",
        "worker.stopped",
        "worker.lease_expired",
        "worker.renew_failed",
        "work.missing_enqueued",
        "work.sweep_failed",
        "database.unavailable",
        "provider.not_configured",
        "endpoint.disabled",
    }
)
"""Telemetry that somebody should read: logged as warnings."""


_SAID_ONCE_AN_HOUR = frozenset({"provider.warning_received"})
"""Telemetry that come with every answer while they last: the same words are logged once an hour."""

_HOUR_MS = 3_600_000


class Telemetry:
    """The process's `Emit`: a log line for each fact, and a counter for those in the table."""

    def __init__(self, registry: CollectorRegistry, *, clock: Clock = wall_clock, log: Any = None) -> None:
        self._clock = clock
        self._said: dict[str, int] = {}
        self._log = log if log is not None else structlog.get_logger()
        self._counters = {
            fact: Counter(f"renderhook_{fact.replace('.', '_')}", f"How often: {fact}", labels, registry=registry)
            for fact, labels in _COUNTED.items()
        }
        self._counting: dict[tuple[str, ...], Counter] = {}

    def __call__(self, fact: str, /, **fields: object) -> None:
        """See `Emit`."""
        if fact in _COUNTED:
            self._counter(fact, fields).inc()
        if fact in _SAID_ONCE_AN_HOUR and self._said_lately(f"{fact} {fields}"):
            return
        needs_reading = fact in _LOUD or fields.get("result") in {"conflict", "orphan"} or fields.get("state") == "dead"
        (self._log.warning if needs_reading else self._log.info)(fact, **fields)

    def _counter(self, fact: str, fields: dict[str, object]) -> Counter:
        labels = [str(fields.get(label, "")) for label in _COUNTED[fact]]
        key = (fact, *labels)
        if key not in self._counting:  # asking prometheus_client takes longer than counting
            self._counting[key] = self._counters[fact].labels(*labels) if labels else self._counters[fact]
        return self._counting[key]

    def _said_lately(self, words: str) -> bool:
        now = self._clock()
        self._said = {old: at for old, at in self._said.items() if now - at < _HOUR_MS}
        if words in self._said:
            return True
        self._said[words] = now
        return False


def configure_logs(log_format: str, log_level: str) -> None:
    """Send every log line to standard error, one line an event, as JSON or as text. Levels are names."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    processors: list[Any] = [_json_line]
    factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    if log_format == "text":
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    for library in ("psycopg", "psycopg.pool"):  # what they warn of, we say ourselves, as telemetry
        logging.getLogger(library).setLevel(logging.ERROR)
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )


_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def _json_line(_: object, level: str, event: MutableMapping[str, Any]) -> bytes:
    """Write an event out, in a third of the time that structlog's own processors take: each callback is a line."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:  # a lone surrogate, as in a header that is not UTF-8: json has a way to write it
        return json.dumps(event, default=repr).encode()
