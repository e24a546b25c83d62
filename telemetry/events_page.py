"""Writes docs/reference/events.md from the table of events: `make docs`, or `python -m telemetry.events_page`."""

import sys

from telemetry.event_types import MINUTE_MS, EventType
from telemetry.events import EVENTS, counter_name
from telemetry.labels import LABELS
from telemetry.lines.limits import LineLimit

HEAD = """\
# Events, log lines and metrics

<!-- Made by `make docs` from telemetry/events.py and telemetry/labels.py: change those. -->

Each event is one line on standard error (`LOG_FORMAT`) and counts up its metric at `GET /metrics`, in Prometheus' text
format. Counters begin at 0 with the process. A line has `event`, `level`, `timestamp`, the metric's labels as fields,
and others such as `job`, `request`, `delivery`, `error`. No line or label has a secret, a header, a URL's query or a
body.

Lines are written by a thread of their own, and never hold up the work. If standard error is closed, full or not read,
lines are dropped beyond the 10,000 that wait, and counted by `renderhook_log_lines_dropped_total`. A line has 4,096
bytes at most; the values of a longer one are shortened.

`renderhook_needs_attention` is a gauge, counted in the database at each request, by `what`: `dead`, `discarded` and
`paused` deliveries, and `conflict` and `orphan` receipts. [Respond to warnings](../operations/respond-to-warnings.md)
says what to do about each.

## Levels

`warning` and `error` are what an operator should read. Where several levels are named, the values of a field decide.
What may repeat often is logged so many times a minute at most, for each combination of the fields that are named; the
next line has the number of those before it as `suppressed`. All are counted.

| Level | Is for |
|---|---|
| `error` | a bug, or an exception that was not foreseen |
| `warning` | something that an operator may have to act on |
| `info` | what happens in normal operation |
| `debug` | what another line says already |

## All events

| Event | Level | Metric | Labels | What is counted |
|---|---|---|---|---|
"""

LABELS_HEAD = """
## Labels

A value that is not in this list is counted as `other`; the line in the log has it.

| Label | Values |
|---|---|
"""


def events_page() -> str:
    """Return the page of events and metrics, in Markdown."""
    events = "\n".join(_row(name, kind) for name, kind in EVENTS.items())
    labels = "\n".join(f"| `{name}` | {_values(known)} |" for name, known in LABELS.items())
    return f"{HEAD}{events}\n{LABELS_HEAD}{labels}\n"


def _row(name: str, kind: EventType) -> str:
    labels = ", ".join(f"`{label}`" for label in kind.labels) or "none"
    return f"| `{name}` | {_levels(kind)} | `{counter_name(name)}` | {labels} | {kind.help} |"


def _levels(kind: EventType) -> str:
    words = [f"`{kind.level}`"]
    for field, levels in kind.levels.items():
        for level in dict.fromkeys(levels.values()):
            values = ", ".join(f"`{value}`" for value, other in levels.items() if other == level)
            words.append(f"`{level}` with `{field}` {values}")
    if kind.limit is not None:
        words.append(_limit(kind.limit))
    return "; ".join(words)


def _limit(limit: LineLimit) -> str:
    time = "a minute" if limit.ms == MINUTE_MS else "an hour"
    by = ", ".join(f"`{name}`" for name in limit.by)
    return f"{limit.lines} {time}" + (f" for each {by}" if by else "")


def _values(known: frozenset[str] | None) -> str:
    return "the installed providers" if known is None else ", ".join(f"`{value}`" for value in sorted(known))


if __name__ == "__main__":
    sys.stdout.write(events_page())
