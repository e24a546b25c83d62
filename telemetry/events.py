"""The table of events: what each means, how it is logged, and how it is counted.

A name is `subject.past_participle`. Names, labels and levels are public: operators' searches and alerts use them.
"""

from collections.abc import Mapping

import msgspec

from telemetry.labels import REFUSED_CALLBACKS

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """How an event is logged and counted.

    `help` says what happened, for the documentation and for the counter. `labels` are the fields that become the
    counter's labels; their values are those of `telemetry.labels`. It is logged at `warning` level when that is set, or
    when a field has one of the values in `warning_when`, and at `debug` when one has a value in `debug_when`. With
    `repeat_after` (ms) it is logged only once in so long for the same values of the fields `repeat_by`; it is counted
    every time.
    """

    help: str
    labels: tuple[str, ...] = ()
    warning: bool = False
    warning_when: Mapping[str, frozenset[str]] = {}
    debug_when: Mapping[str, frozenset[str]] = {}
    repeat_after: int = 0
    repeat_by: tuple[str, ...] = ()

    def level(self, fields: Mapping[str, object]) -> str:
        """Return the level at which the event is logged with these fields."""
        for level, when in (("warning", self.warning_when), ("debug", self.debug_when)):
            if any(fields.get(field) in values for field, values in when.items()):
                return level
        return "warning" if self.warning else "info"


def _event(
    help: str,  # noqa: A002 - Prometheus' own word
    *labels: str,
    warning: bool = False,
    repeat_after: int = 0,
    repeat_by: tuple[str, ...] = (),
    debug: Mapping[str, str] | None = None,
    **when: str,
) -> EventType:
    return EventType(
        help=help,
        labels=labels,
        warning=warning,
        warning_when={field: frozenset(words.split()) for field, words in when.items()},
        debug_when={field: frozenset(words.split()) for field, words in (debug or {}).items()},
        repeat_after=repeat_after,
        repeat_by=repeat_by or labels,
    )


_OPERATORS = "account renderhook"
"""Faults that the operator corrects: the key or the balance at the provider, or our own settings."""

_SAID_ELSEWHERE = {"result": "recorded"}
"""The end of the job is a line of its own."""

EVENTS: Mapping[str, EventType] = {
    "receiver.started": _event("Starts of the process that serves HTTP."),
    "receiver.shutdown_requested": _event("Shutdowns of the process that serves HTTP, at their beginning."),
    "receiver.became_unready": _event("Changes of /readyz from 200 to 503, or to another reason.", warning=True),
    "receiver.became_ready": _event("Changes of /readyz from 503 to 200."),
    "setting.flagged": _event("Settings that are probably not meant, at the start.", warning=True),
    "worker.started": _event("Starts of a process that only works."),
    "worker.idled": _event("Starts of a process that only works on SQLite, where it has nothing to do.", warning=True),
    "worker.shutdown_requested": _event("Shutdowns of a process that only works, at their beginning."),
    "database.call_failed": _event("Database calls that failed because the database did not answer.", warning=True),
    "database.file_lost": _event("Files of SQLite deleted or replaced while the process had them open.", warning=True),
    "request.refused": _event(
        "Requests to the API that were answered 401, by reason.", "reason", repeat_after=MINUTE_MS
    ),
    "job.accepted": _event("Jobs accepted by the API.", "provider"),
    "job.submitted": _event("Jobs accepted by a provider.", "provider"),
    "job.submit_rescheduled": _event(
        "Submissions postponed because a provider did not take them, or may not have.",
        "provider",
        "code",
        fault=_OPERATORS,
        taken="unclear",
    ),
    "job.became_unconfirmed": _event(
        "Jobs that a provider may have taken, because its answer was not read.", "provider", "code", warning=True
    ),
    "job.resubmitted": _event("Unconfirmed jobs that were submitted once more.", "provider", warning=True),
    "job.already_confirmed": _event("Submissions whose callback was recorded before their answer.", "provider"),
    "job.request_id_conflicted": _event(
        "Submissions answered with a request id other than the job's: both requests may be billed.",
        "provider",
        warning=True,
    ),
    "job.record_failed": _event(
        "Attempts to record the response to a submission that the database did not confirm.",
        "provider",
        warning=True,
        repeat_after=MINUTE_MS,
        repeat_by=("job", "request"),
    ),
    "job.completed": _event("Jobs that completed, by what reported it.", "provider", "source"),
    "job.failed": _event(
        "Jobs that failed, by what reported it and whose fault it is.", "provider", "source", "fault", fault=_OPERATORS
    ),
    "job.canceled": _event("Jobs that were canceled, by what reported it.", "provider", "source"),
    "job.expired": _event("Jobs that ended without a result in the time allowed.", "provider", "code", warning=True),
    "callback.recorded": _event(
        "Verified callbacks, by what became of them.",
        "provider",
        "state",
        "result",
        result="conflict orphan",
        debug=_SAID_ELSEWHERE,
    ),
    "callback.unread": _event(
        "Verified callbacks whose outcome could not be read: the job is polled.", "provider", "reason", warning=True
    ),
    "callback.refused": _event(
        "Callbacks that were refused, by reason.",
        "provider",
        "reason",
        repeat_after=MINUTE_MS,
        repeat_by=("provider", "reason", "job"),
        reason=" ".join(REFUSED_CALLBACKS),
    ),
    "callback.deferred": _event(
        "Callbacks answered 503 because keys or database were unavailable; the provider retries.",
        "provider",
        "reason",
        warning=True,
    ),
    "callback.disproved": _event(
        "Callbacks about a request that a poll with our key did not find: it is of another account.",
        "provider",
        warning=True,
    ),
    "keys.fetched": _event("Fetches of a provider's public keys.", "provider"),
    "keys.fetch_failed": _event("Failed fetches of a provider's public keys.", "provider", warning=True),
    "poll.recorded": _event(
        "Polls that found a job ended, by what became of them.",
        "provider",
        "state",
        "result",
        result="conflict orphan",
        debug=_SAID_ELSEWHERE,
    ),
    "poll.failed": _event("Polls without a response that says how the job is.", "provider", "code", fault=_OPERATORS),
    "poll.record_failed": _event("Outcomes that a poll read and the database rejected.", "provider", warning=True),
    "provider.not_configured": _event("Polls not made because the provider has no key.", "provider", warning=True),
    "provider.paused": _event(
        "Submissions refused because of our account: the provider's jobs are held until it works.",
        "provider",
        "code",
        warning=True,
        repeat_after=HOUR_MS,
    ),
    "provider.resumed": _event("Ends of a provider's pause: our account works again.", "provider"),
    "provider.raised": _event("Exceptions of a provider's code, by its step.", "provider", "step", warning=True),
    "provider.warning_received": _event(
        "Responses in which a provider announced a change or an end of its API.",
        "provider",
        warning=True,
        repeat_after=HOUR_MS,
        repeat_by=("provider", "warning"),
    ),
    "delivery.attempted": _event("Delivery attempts, by class of HTTP status.", "outcome"),
    "delivery.finished": _event("Deliveries that ended, by state.", "state", state="dead discarded"),
    "delivery.postponed": _event(
        "Delivery attempts postponed because this process had no connection, file or thread for them.",
        repeat_after=MINUTE_MS,
        repeat_by=("reason",),
    ),
    "delivery.replayed": _event("Deliveries that were replayed one by one, by the state before.", "state"),
    "delivery.filter_replayed": _event("Requests that replayed deliveries by a filter."),
    "endpoint.disabled": _event("Endpoints disabled because they answered 410 Gone.", warning=True),
    "endpoint.paused": _event("Settings that are absent, so that deliveries wait for them.", warning=True),
    "endpoint.removed": _event("Removals of the endpoint of NOTIFY_URL that discarded deliveries.", warning=True),
    "worker.task_failed": _event("Tasks whose handler raised an exception.", "kind", warning=True),
    "worker.fetch_failed": _event("Fetches of due tasks that failed.", "kind", warning=True, repeat_after=MINUTE_MS),
    "worker.renew_failed": _event("Renewals of leases that failed.", "kind", warning=True),
    "worker.reschedule_failed": _event("Failed tasks that could not be rescheduled.", "kind", warning=True),
    "worker.lease_expired": _event("Tasks whose lease expired while they were still running.", "kind", warning=True),
    "worker.tasks_abandoned": _event("Shutdowns that abandoned tasks when their time was over.", "kind"),
    "worker.stopped": _event("Workers that stopped although no shutdown was requested.", warning=True),
    "work.missing_enqueued": _event("Repairs of jobs or endpoints that had no task.", warning=True),
    "work.hastened": _event("Set-backs of the clock, after which waiting work was made due sooner.", warning=True),
    "work.sweep_failed": _event("Sweeps for missing work that failed.", warning=True),
}


def counter_name(event: str) -> str:
    """Return the name of the event's counter in Prometheus."""
    return f"renderhook_{event.replace('.', '_')}_total"
