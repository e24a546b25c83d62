"""Writes docs/reference/events.md from the table of events: `make docs`, or `python -m telemetry.events_page`."""

import sys

from telemetry.events import EVENTS, EventType, counter_name

HEAD = """\
# Events, log lines and metrics

<!-- Made by `make docs` from telemetry/events.py: change that. -->

Each event is one line on standard error (`LOG_FORMAT`) and counts up its metric at `GET /metrics`, in Prometheus' text
format. Counters begin at 0 with the process. A line has `event`, `level`, `timestamp`, the metric's labels as fields,
and others such as `job`, `request`, `delivery`, `error`. No line or label has a secret, a header, a URL's query or a
body, with one exception: `provider.raised` has the beginning of the response to a submission that the provider's code
could not read, because the id of a paid request may be in it.

Logging never delays or fails the work. A line that standard error does not take, because it is closed, full or not
read, is dropped and counted: `renderhook_log_lines_dropped_total`.

`renderhook_needs_attention` is a gauge, counted in the database at each request, by `what`: `dead`, `discarded` and
`paused` deliveries, and `conflict` and `orphan` receipts. [Respond to warnings](../operations/respond-to-warnings.md)
says what to do about each.

## Warnings

Logged at level `warning`, because an operator should read them:
"""

WARNINGS = """\
`callback.deferred`, `callback.recorded` with `conflict` or `orphan`, `database.call_failed`, `database.file_lost`,
`delivery.finished` with `dead`, `endpoint.disabled`, `endpoint.paused`, `endpoint.removed`, `job.became_unconfirmed`,
`job.expired`, `job.record_failed`, `job.request_id_conflicted`, `job.resubmitted`, `keys.fetch_failed`, `poll.recorded`
with `conflict` or `orphan`, `poll.record_failed`, `provider.not_configured`, `provider.raised`,
`receiver.became_unready`, `provider.warning_received` (once an hour), `setting.flagged`, `work.hastened`,
`work.missing_enqueued`, `work.sweep_failed`, `worker.fetch_failed` (once a minute), `worker.idled`,
`worker.lease_expired`, `worker.renew_failed`, `worker.reschedule_failed`, `worker.stopped`, `worker.task_failed`.

All other events are logged at level `info`.
"""
"""Written by hand, so that a test can hold the table against it."""


def events_page() -> str:
    """Return the page of events and metrics, in Markdown."""
    rows = [_row(name, kind) for name, kind in EVENTS.items()]
    table = "\n".join(["| Event | Metric | Labels | What is counted |", "|---|---|---|---|", *rows, ""])
    return f"{HEAD}\n{WARNINGS}\n## All events\n\n{table}"


def _row(name: str, kind: EventType) -> str:
    labels = ", ".join(f"`{label}`" for label in kind.labels) or "none"
    return f"| `{name}` | `{counter_name(name)}` | {labels} | {kind.help} |"


if __name__ == "__main__":
    sys.stdout.write(events_page())
