"""Outcomes: the one mouth through which a job ends, from callback and from poll alike."""

from collections.abc import Iterator, Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import Outcome, RecordResult
from ledger.requests import Report, Task
from ledger.storage.transaction import Call, Rows, Transaction
from ledger.transitions.queue import finished
from ledger.transitions.submissions import announced, changed


def record(report: Report, *, now: int) -> Transaction[RecordResult]:
    """Record what a provider reported: once, first writer wins, with its receipt.

    Job, outputs, event, deliveries, their work and the receipt change in one transaction, or none does.
    The result says which of the named things happened; see `RecordResult`.
    """
    if report.outcome is None:
        return _record_pending(report, now=now)
    values = _report_values(report, now)
    values.update(_outcome_values(report.outcome))
    outputs = _outputs(report.outcome, report.job_id, values["move"])
    return Transaction(steps=(*_SETTLED, *outputs, *_ENDED, _RECEIPT), values=values, read=_read_result)


def refuse(task: Task, outcome: Outcome, *, claim: str, now: int) -> Transaction[bool]:
    """End a job that the provider refused to take, if the claim is still ours. True when it ended so."""
    return _end_by_us("settle_claimed_job", task.subject, outcome, now=now, claim=claim, task=task)


def expire(task: Task, outcome: Outcome, *, last_transition: str, now: int) -> Transaction[bool]:
    """End a job that got no outcome in time, if it is still as it was read."""
    return _end_by_us("expire_job", task.subject, outcome, now=now, claim=last_transition, task=task)


def cancel(job_id: str, *, now: int) -> Transaction[bool]:
    """Cancel a job that no provider has been asked for. False when it is too late for that."""
    return _end_by_us("cancel_accepted_job", job_id, Outcome.canceled(), now=now, claim=None, task=None)


def _record_pending(report: Report, *, now: int) -> Transaction[RecordResult]:
    values = _report_values(report, now) | {
        "event": "job.submitted",
        "fingerprint": None,
        "status_url": None,
        "response_url": None,
        "cancel_url": None,
    }
    return Transaction(steps=(*_CONFIRMED, _RECEIPT), values=values, read=_read_result)


def _end_by_us(
    statement: str, job_id: str, outcome: Outcome, *, now: int, claim: str | None, task: Task | None
) -> Transaction[bool]:
    values = _outcome_values(outcome) | {
        "job_id": job_id,
        "now": now,
        "move": new_identifier("move", now),
        "claim": claim,
    }
    done = (finished(task),) if task else ()
    steps = (Call(statement), *_outputs(outcome, job_id, values["move"]), *_ENDED, *done)
    return Transaction(steps=steps, values=values, read=changed)


_SETTLED = (Call("settle_job"), Call("set_request_id"))
_ENDED = (*announced("job.completed"), Call("clear_job_work"))  # what it is called is among the values
_CONFIRMED = (
    Call("confirm_submission"),
    *announced("job.submitted"),
    Call("clear_submit_work"),
    Call("recall_check"),
    Call("poll_now", wakes=("poll",)),
)
_RECEIPT = Call("insert_receipt")


def _outputs(outcome: Outcome, job_id: str, move: object) -> Iterator[Call]:
    for position, output in enumerate(outcome.outputs, start=1):
        values = msgspec.structs.asdict(output)
        values.update(job_id=job_id, move=move, position=position)
        yield Call("insert_output", values)


def _report_values(report: Report, now: int) -> dict[str, object]:
    return {
        "job_id": report.job_id,
        "provider": report.provider,
        "source": report.source,
        "request_id": report.request_id,
        "headers": report.headers,
        "body": report.body,
        "now": now,
        "move": new_identifier("rcpt", now),
    }


def _outcome_values(outcome: Outcome) -> dict[str, object]:
    error = outcome.error
    return {
        "state": outcome.state.value,
        "fingerprint": outcome.fingerprint,
        "processing_time_ms": outcome.processing_time_ms,
        "warning": outcome.warning,
        "event": f"job.{outcome.state.value}",
        "error_fault": error and error.fault.value,
        "error_code": error and error.code,
        "error_message": error and error.message,
        "error_retryable": None if error is None else int(error.retryable),
    }


def _read_result(rows: Sequence[Rows]) -> RecordResult:
    receipt = rows[-1]
    return RecordResult(receipt[0]["result"]) if receipt else RecordResult.FOREIGN
