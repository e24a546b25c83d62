"""Submissions: from `accepted` to `submitted`, or to `unconfirmed`."""

from collections.abc import Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import EventType, JobError
from ledger.requests import CLAIM_ENDED, RESTORED, ClaimResult, ProviderRequest, Task
from ledger.rows import Job
from ledger.storage.transaction import Call, Rows, Transaction, changed
from ledger.transitions.events import event_values, publish
from ledger.transitions.queue import rescheduled

MOST_SUBMISSIONS = 2
"""Submissions of one job. The provider may bill each of them."""


def claim(
    job_id: str, *, claim: str | None = None, now: int, until: int, unconfirmed_before: int | None = None
) -> Transaction[ClaimResult]:
    """Claim a job for submission until `until` (ms). The id of the transition is `claim`, or a new one.

    A job whose claim has ended becomes `unconfirmed` first. An unconfirmed job is claimed only if it became so before
    `unconfirmed_before` (ms); None never claims it.
    """
    claim, expiry = claim or new_identifier("claim", now), new_identifier("tran", now)
    values: dict[str, object] = {"job_id": job_id, "now": now, "until": until, "transition": claim, "expiry": expiry}
    values |= error_values(CLAIM_ENDED)
    unconfirmed = event_values(EventType.JOB_UNCONFIRMED, job_id, expiry, now=now)
    steps = [Call("expire_claim"), Call("insert_event", unconfirmed), Call("claim_submission")]
    if unconfirmed_before is not None:
        bounds = {"unconfirmed_before": unconfirmed_before, "most_submissions": MOST_SUBMISSIONS}
        steps.append(Call("claim_resubmission", values | bounds))

    def read(rows: Sequence[Rows]) -> ClaimResult:
        if not rows[-1]:
            return ClaimResult(claim=None, job=None)
        job = Job.from_rows(rows[-1])
        return ClaimResult(lost=bool(rows[0]), claim=claim if job.last_transition == claim else None, job=job)

    return Transaction(steps=(*steps, Call("read_claimed")), values=values, read=read)


def confirm(job_id: str, provider: str, request: ProviderRequest, *, now: int, poll_at: int) -> Transaction[bool]:
    """Make a job `submitted`, with its first poll at `poll_at` (ms). The result is whether its state changed."""
    values = _values(EventType.JOB_SUBMITTED, job_id, now) | msgspec.structs.asdict(request)
    values |= {"provider": provider, "kind": "poll", "due_at": poll_at}
    steps = (
        Call("confirm_submission"),
        *publish(EventType.JOB_SUBMITTED),
        Call("clear_submit_work"),
        Call("enqueue_job_work", wakes=("poll",)),
    )
    return Transaction(steps=steps, values=values, read=changed)


def return_to_accepted(
    task: Task, *, claim: str, error: JobError | None, server_error: bool = False, now: int, due_at: int
) -> Transaction[bool]:
    """Return a job to `accepted` because of `error`, to be submitted again at `due_at` (ms).

    `server_error` counts a response after which the provider may have taken the job all the same.
    """
    values = {"job_id": task.subject, "transition": new_identifier("tran", now), "claim": claim} | error_values(error)
    values["server_errors"] = int(server_error)
    steps = (Call("return_to_accepted"), rescheduled(task, due_at=due_at, failed=True))
    return Transaction(steps=steps, values=values, read=changed)


def hold(task: Task, *, error: JobError, due_at: int) -> Transaction[None]:
    """Leave the job `accepted` because of `error`, and its task due at `due_at` (ms)."""
    values = error_values(error) | {"job_id": task.subject}
    steps = (Call("hold_job"), rescheduled(task, due_at=due_at, failed=False))
    return Transaction(steps=steps, values=values, read=lambda _: None)


def mark_unconfirmed(task: Task, *, claim: str, error: JobError, now: int, due_at: int) -> Transaction[bool]:
    """Make a job `unconfirmed` because of `error`. RESUBMIT_UNCONFIRMED is applied at `due_at` (ms)."""
    values = _values(EventType.JOB_UNCONFIRMED, task.subject, now) | error_values(error) | {"claim": claim}
    steps = (
        Call("mark_unconfirmed"),
        *publish(EventType.JOB_UNCONFIRMED),
        rescheduled(task, due_at=due_at, failed=False),
    )
    return Transaction(steps=steps, values=values, read=changed)


def error_values(error: JobError | None) -> dict[str, object]:
    """Return the columns of a job's error."""
    return {
        "error_fault": error and error.fault.value,
        "error_code": error and error.code,
        "error_message": error and error.message,
        "error_retryable": None if error is None else int(error.retryable),
    }


def mark_restored(*, now: int, limit: int) -> Transaction[int]:
    """Make at most `limit` jobs that are `accepted` or `submitting` `unconfirmed`. The result is how many they were."""

    def read(rows: Sequence[Rows]) -> int:
        return len(rows[0])

    transition = new_identifier("tran", now)
    values = event_values(EventType.JOB_UNCONFIRMED, "", transition, now=now) | error_values(RESTORED)
    values["limit"] = limit
    return Transaction(steps=(Call("mark_restored"), Call("insert_restored_events")), values=values, read=read)


def _values(event: EventType, job_id: str, now: int) -> dict[str, object]:
    return event_values(event, job_id, new_identifier("tran", now), now=now) | {"job_id": job_id}
