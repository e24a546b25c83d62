"""Writes docs/reference/events.md from the table of events: `make docs`, or `python -m telemetry.events_page`."""

import sys
from collections.abc import Iterable

from telemetry.events import EVENTS, HOUR_MS, EventType, counter_name
from telemetry.labels import LABELS

HEAD = """\
# Events, log lines and metrics

<!-- Made by `make docs` from telemetry/events.py and telemetry/labels.py: change those. -->

Each event is one line on standard error (`LOG_FORMAT`) and counts up its metric at `GET /metrics`, in Prometheus' text
format. Counters begin at 0 with the process; those by provider or by kind of work begin at 0 for each of these. A line
has `event`, `level`, `timestamp`, the metric's labels as fields, and others such as `job`, `request`, `delivery`,
`error`. No line or label has a secret, a header, a URL's query or a body, with one exception: `provider.raised` has the
beginning of the response to a submission that the provider's code could not read, because the id of a paid request may
be in it.

Logging never delays or fails the work. A line that standard error does not take, because it is closed, full or not
read, is dropped and counted: `renderhook_log_lines_dropped_total`.

`renderhook_needs_attention` is a gauge, counted in the database at each request, by `what`: `dead`, `discarded` and
`paused` deliveries, `conflict` and `orphan` receipts, and `held` jobs. [Respond to
warnings](../operations/respond-to-warnings.md) says what to do about each.

## All events

Level `warning` is what an operator should read. Where a row names several levels, the values of a field decide. What
may repeat often is logged once a minute or an hour for each combination of the fields that are named, and counted every
time.

| Event | Level | Metric | Labels | What is counted |
|---|---|---|---|---|
"""

LABELS_HEAD = """\

## Labels

A value that is not in this list is counted as `other`; the line in the log has it.

| Label | Values |
|---|---|
"""


def events_page() -> str:
    """Return the page of events and metrics, in Markdown."""
    events = "".join(_row(name, kind) for name, kind in EVENTS.items())
    labels = "".join(f"| `{name}` | {_words(known, 'the installed providers')} |\n" for name, known in LABELS.items())
    return f"{HEAD}{events}{LABELS_HEAD}{labels}"


def _row(name: str, kind: EventType) -> str:
    return f"| `{name}` | {_level(kind)} | `{counter_name(name)}` | {_words(kind.labels, 'none')} | {kind.help} |\n"


def _level(kind: EventType) -> str:
    words = ["`warning`" if kind.warning else "`info`"]
    for level, when in (("warning", kind.warning_when), ("debug", kind.debug_when)):
        words += [f"`{level}` with `{field}` {_words(values)}" for field, values in when.items()]
    if kind.repeat_after:
        words.append(f"once {'an hour' if kind.repeat_after == HOUR_MS else 'a minute'} by {_words(kind.repeat_by)}")
    return "; ".join(words)


def _words(words: Iterable[str] | None, without: str = "") -> str:
    """Return words as code, those of a set in order, or `without` if there are none."""
    listed = sorted(words) if isinstance(words, frozenset) else words or ()
    return ", ".join(f"`{word}`" for word in listed) or without


if __name__ == "__main__":
    sys.stdout.write(events_page())
