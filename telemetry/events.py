"""The table of events: what each means, how it is logged, and how it is counted.

A name is `subject.past_participle`. Names, labels and levels are public: operators' searches and alerts use them.
"""

from collections.abc import Mapping

from telemetry.event_types import HOUR_MS, MINUTE_MS, EventType, event_type, ten_a_minute
from telemetry.lines.limits import LineLimit

_ONCE_AN_HOUR = LineLimit(1, HOUR_MS, ("provider", "warning"))
_OPERATORS = "fault=account renderhook"
"""Faults that the operator corrects: the key or the balance at the provider, or our own settings."""

_STRANGERS = "reason=token_missing token_foreign wrong_method content_length_malformed body_too_long"
"""Why callbacks are refused before their token is known to be ours: whoever finds the address may send them."""

EVENTS: Mapping[str, EventType] = {
    "receiver.started": event_type("Starts of the process that serves HTTP."),
    "receiver.shutdown_requested": event_type("Shutdowns of the process that serves HTTP, at their beginning."),
    "receiver.became_unready": event_type("Changes of /readyz from 200 to 503, or to another reason.", level="warning"),
    "receiver.became_ready": event_type("Changes of /readyz from 503 to 200."),
    "worker.started": event_type("Starts of a process that only works."),
    "worker.shutdown_requested": event_type("Shutdowns of a process that only works, at their beginning."),
    "process.exit_forced": event_type("Shutdowns that were ended when STOP_SECONDS were over.", level="warning"),
    "process.crashed": event_type("Exceptions that end the process: a bug in Renderhook.", level="error"),
    "log.lines_dropped": event_type(
        "Log lines that were not written: standard error was closed, full or not read.", level="warning"
    ),
    "library.warned": event_type(
        "Warnings logged by libraries.", level="warning", limit=ten_a_minute("logger", "where")
    ),
    "library.failed": event_type(
        "Errors logged by libraries, unforeseen exceptions among them.",
        level="error",
        limit=ten_a_minute("logger", "where"),
    ),
    "database.call_failed": event_type(
        "Database calls that failed because the database did not answer.", level="warning", limit=ten_a_minute()
    ),
    "database.close_abandoned": event_type("Closings of the database that took too long at shutdown.", level="warning"),
    "request.refused": event_type(
        "Requests to the API that were answered 401, by reason.", "reason", limit=ten_a_minute("reason")
    ),
    "job.accepted": event_type("Jobs accepted by the API.", "provider"),
    "job.submitted": event_type("Jobs accepted by a provider.", "provider"),
    "job.submit_rescheduled": event_type(
        "Submissions postponed because a provider did not take them.", "provider", "code"
    ),
    "job.became_unconfirmed": event_type(
        "Jobs that a provider may have taken, because its answer was not read.", "provider", "code", level="warning"
    ),
    "job.resubmitted": event_type("Unconfirmed jobs that were submitted once more.", "provider", level="warning"),
    "job.already_confirmed": event_type("Submissions whose callback was recorded before their answer.", "provider"),
    "job.request_id_conflicted": event_type(
        "Submissions answered with a request id other than the job's: both requests may be billed.",
        "provider",
        level="warning",
    ),
    "job.record_failed": event_type(
        "Attempts to record the response to a submission that the database did not take.",
        "provider",
        level="warning",
        limit=LineLimit(1, MINUTE_MS, ("job", "request")),
    ),
    "job.completed": event_type("Jobs that completed, by what reported it.", "provider", "source"),
    "job.failed": event_type(
        "Jobs that failed, by what reported it and whose fault it is.",
        "provider",
        "source",
        "fault",
        warning=_OPERATORS,
    ),
    "job.canceled": event_type("Jobs that were canceled, by what reported it.", "provider", "source"),
    "job.expired": event_type(
        "Jobs that ended without a result in the time allowed.", "provider", "code", level="warning"
    ),
    "callback.recorded": event_type(
        "Verified callbacks, by what became of them.",
        "provider",
        "state",
        "result",
        warning="result=conflict orphan",
        debug="result=recorded",
    ),
    "callback.refused": event_type(
        "Callbacks that were refused, by reason.",
        "provider",
        "reason",
        level="warning",
        info=_STRANGERS,
        limit=ten_a_minute("provider", "reason"),
    ),
    "callback.deferred": event_type(
        "Callbacks answered 503 because keys or database were unavailable; the provider retries.",
        "provider",
        "reason",
        level="warning",
        limit=ten_a_minute("provider", "reason"),
    ),
    "keys.fetched": event_type("Fetches of a provider's public keys.", "provider"),
    "keys.fetch_failed": event_type(
        "Failed fetches of a provider's public keys.", "provider", level="warning", limit=ten_a_minute("provider")
    ),
    "poll.recorded": event_type(
        "Polls that found a job ended, by what became of them.",
        "provider",
        "state",
        "result",
        warning="result=conflict orphan",
        debug="result=recorded",
    ),
    "poll.failed": event_type(
        "Polls that a provider did not answer, by whose fault it is.",
        "provider",
        "fault",
        warning=_OPERATORS,
        limit=ten_a_minute("provider", "fault"),
    ),
    "provider.not_configured": event_type(
        "Polls not made because the provider has no key.",
        "provider",
        level="warning",
        limit=ten_a_minute("provider"),
    ),
    "provider.raised": event_type(
        "Exceptions of a provider's code, by its step.",
        "provider",
        "step",
        level="warning",
        limit=ten_a_minute("provider", "step"),
    ),
    "provider.warning_received": event_type(
        "Responses in which a provider announced a change or an end of its API.",
        "provider",
        level="warning",
        limit=_ONCE_AN_HOUR,
    ),
    "delivery.attempted": event_type("Delivery attempts, by class of HTTP status.", "outcome"),
    "delivery.finished": event_type("Deliveries that ended, by state.", "state", warning="state=dead discarded"),
    "delivery.replayed": event_type("Dead deliveries that were made pending again."),
    "endpoint.disabled": event_type("Endpoints disabled because they answered 410 Gone.", level="warning"),
    "endpoint.paused": event_type("Settings that are absent, so that deliveries wait for them.", level="warning"),
    "endpoint.removed": event_type(
        "Removals of the endpoint of NOTIFY_URL that discarded deliveries.", level="warning"
    ),
    "worker.task_failed": event_type("Tasks whose handler raised an exception.", "kind", level="warning"),
    "worker.fetch_failed": event_type(
        "Fetches of due tasks that failed.", "kind", level="warning", limit=ten_a_minute("kind")
    ),
    "worker.renew_failed": event_type(
        "Renewals of leases that failed.", "kind", level="warning", limit=ten_a_minute("kind")
    ),
    "worker.reschedule_failed": event_type("Failed tasks that could not be rescheduled.", "kind", level="warning"),
    "worker.lease_expired": event_type(
        "Tasks whose lease expired while they were still running.",
        "kind",
        level="warning",
        limit=ten_a_minute("kind"),
    ),
    "worker.tasks_abandoned": event_type("Shutdowns that abandoned tasks when their time was over.", "kind"),
    "worker.stopped": event_type("Workers that stopped although no shutdown was requested.", level="error"),
    "work.missing_enqueued": event_type("Repairs of jobs or endpoints that had no task.", level="warning"),
    "work.sweep_failed": event_type("Sweeps for missing work that failed.", level="warning"),
}


def counter_name(event: str) -> str:
    """Return the name of the event's counter in Prometheus."""
    return f"renderhook_{event.replace('.', '_')}_total"
