"""Outcomes: how a job ends. Callbacks and polls use the same transaction."""

from collections.abc import Iterator, Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import EventType, Outcome, RecordResult
from ledger.requests import Report, Task
from ledger.storage.transaction import Call, Rows, Transaction, changed
from ledger.transitions.events import event_values, publish
from ledger.transitions.queue import finished
from ledger.transitions.submissions import error_values


def record(report: Report, *, now: int) -> Transaction[RecordResult]:
    """Record a provider's report and its receipt. The first outcome of a job is kept.

    Job, outputs, event, deliveries, their tasks and the receipt are written in one transaction.
    """
    if report.outcome is None:
        return _record_pending(report, now=now)
    values = _report_values(report, EventType.of_ending(report.outcome.state), now)
    values.update(_outcome_values(report.outcome))
    outputs = _outputs(report.outcome, report.job_id, values["transition"])
    return Transaction(steps=(*_SETTLE, *outputs, *_END, _RECEIPT), values=values, read=_read_result)


def poll_now(report: Report, *, now: int) -> Transaction[None]:
    """Make a poll of the job due, if the receipt of the report is `pending`."""
    values = {"job_id": report.job_id, "transition": report.receipt, "now": now}
    return Transaction(steps=_POLL, values=values, read=lambda _: None)


def refuse(task: Task, outcome: Outcome, *, claim: str, now: int) -> Transaction[bool]:
    """End a job that the provider refused, if the claim still holds. The result is whether it ended."""
    return _end("settle_claimed_job", task.subject, outcome, {"claim": claim}, now=now, task=task)


def expire(task: Task, outcome: Outcome, *, last_transition: str, now: int) -> Transaction[bool]:
    """End a job without an outcome in time, if it has not changed since it was read. The result is whether it ended."""
    return _end("expire_job", task.subject, outcome, {"last_transition": last_transition}, now=now, task=task)


def cancel(job_id: str, *, now: int) -> Transaction[bool]:
    """Cancel a job that was not submitted. The result is False if it was."""
    return _end("cancel_accepted_job", job_id, Outcome.canceled(), {}, now=now, task=None)


def _record_pending(report: Report, *, now: int) -> Transaction[RecordResult]:
    values = _report_values(report, EventType.JOB_SUBMITTED, now)
    values |= {"fingerprint": None, "status_url": None, "response_url": None, "cancel_url": None}
    steps = _CONFIRM if report.ours and report.request_id is not None else ()
    return Transaction(
        steps=(*steps, _RECEIPT, *_POLL), values=values, read=lambda rows: _read_result(rows[: -len(_POLL)])
    )


def _end(
    statement: str, job_id: str, outcome: Outcome, guard: dict[str, object], *, now: int, task: Task | None
) -> Transaction[bool]:
    event = event_values(EventType.of_ending(outcome.state), job_id, new_identifier("tran", now), now=now)
    values = event | _outcome_values(outcome) | {"job_id": job_id} | guard
    done = (finished(task),) if task else ()
    steps = (Call(statement), *_outputs(outcome, job_id, values["transition"]), *_END, *done)
    return Transaction(steps=steps, values=values, read=changed)


_SETTLE = (Call("settle_job"), Call("set_request_id"))
_END = (*publish(EventType.JOB_COMPLETED), Call("clear_job_work"))  # the steps are the same for every ending
_CONFIRM = (Call("confirm_submission"), *publish(EventType.JOB_SUBMITTED), Call("clear_submit_work"))
_POLL = (Call("end_poll_lease"), Call("poll_now", wakes=("poll",)))
_RECEIPT = Call("insert_receipt")


def _outputs(outcome: Outcome, job_id: str, transition: object) -> Iterator[Call]:
    for position, output in enumerate(outcome.outputs, start=1):
        values = msgspec.structs.asdict(output)
        values.update(job_id=job_id, transition=transition, position=position)
        yield Call("insert_output", values)


def _report_values(report: Report, event: EventType, now: int) -> dict[str, object]:
    return {
        "job_id": report.job_id,
        "provider": report.provider,
        "source": report.source,
        "request_id": report.request_id,
        "headers": report.headers,
        "body": report.body,
        "ours": int(report.ours),
        # the receipt's id is also the id of the transition, so the job names the report that ended it
        **event_values(event, report.job_id, report.receipt or new_identifier("rcpt", now), now=now),
    }


def _outcome_values(outcome: Outcome) -> dict[str, object]:
    return error_values(outcome.error) | {
        "state": outcome.state.value,
        "fingerprint": outcome.fingerprint,
        "processing_time_ms": outcome.processing_time_ms,
        "warning": outcome.warning,
    }


def _read_result(rows: Sequence[Rows]) -> RecordResult:
    receipt = rows[-1]
    return RecordResult(receipt[0]["result"]) if receipt else RecordResult.FOREIGN
