"""Submissions: from accepted to submitted, with every way of not being sure in between."""

from collections.abc import Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.requests import ClaimResult, ProviderRequest, Task
from ledger.rows import Job
from ledger.storage.transaction import Call, Rows, Transaction
from ledger.transitions.queue import rescheduled

PUBLIC_EVENTS = frozenset({"job.submitted", "job.completed", "job.failed", "job.canceled", "job.expired"})
"""The events that endpoints are told of; the others are for the job's own history."""


def claim(
    job_id: str, *, claim: str | None = None, now: int, until: int, unconfirmed_before: int | None = None
) -> Transaction[ClaimResult]:
    """Claim a job for submitting until `until` (ms). The transition's id is `claim`, or a new one.

    A job that somebody claimed and whose claim is over becomes `unconfirmed` first: its request may have left.
    An unconfirmed job is claimed only when it has been so since `unconfirmed_before` (ms); None never does.
    """
    claim, lost = claim or new_identifier("claim", now), new_identifier("move", now)
    values = {"job_id": job_id, "now": now, "until": until, "move": claim, "lost": lost}
    steps = [
        Call("expire_claim"),
        Call("insert_event", {"job_id": job_id, "now": now, "event": "job.unconfirmed", "move": lost}),
        Call("claim_submission"),
    ]
    if unconfirmed_before is not None:
        steps.append(Call("claim_resubmission", values | {"unconfirmed_before": unconfirmed_before}))

    def read(rows: Sequence[Rows]) -> ClaimResult:
        if not rows[-1]:
            return ClaimResult(claim=None, job=None)
        job = Job.from_rows(rows[-1])
        return ClaimResult(lost=bool(rows[0]), claim=claim if job.last_transition == claim else None, job=job)

    return Transaction(steps=(*steps, Call("read_claimed")), values=values, read=read)


def confirm(job_id: str, provider: str, handle: ProviderRequest, *, now: int, poll_at: int) -> Transaction[bool]:
    """Note that the provider has the job, and when to look first (ms). True when the job became `submitted`."""
    values = _move(job_id, now, "job.submitted") | msgspec.structs.asdict(handle)
    values |= {"provider": provider, "kind": "poll", "due_at": poll_at}
    steps = (
        Call("confirm_submission"),
        *announced("job.submitted"),
        Call("clear_submit_work"),
        Call("enqueue_job_work", wakes=("poll",)),
    )
    return Transaction(steps=steps, values=values, read=changed)


def return_to_accepted(task: Task, *, claim: str, now: int, due_at: int) -> Transaction[bool]:
    """Return the job to `accepted`, to be asked again at `due_at` (ms): the provider certainly does not have it."""
    values = _move(task.subject, now, "") | {"claim": claim}
    steps = (Call("return_to_accepted"), rescheduled(task, due_at=due_at, failed=True))
    return Transaction(steps=steps, values=values, read=changed)


def mark_unconfirmed(task: Task, *, claim: str, now: int, due_at: int) -> Transaction[bool]:
    """Make the job `unconfirmed`, its policy to be asked at `due_at` (ms): the provider may have it."""
    values = _move(task.subject, now, "job.unconfirmed") | {"claim": claim}
    steps = (Call("mark_unconfirmed"), Call("insert_event"), rescheduled(task, due_at=due_at, failed=False))
    return Transaction(steps=steps, values=values, read=changed)


def announced(event: str) -> tuple[Call, ...]:
    """Be the steps of a transaction that number its event and, for a public one, make the deliveries and their work."""
    if event not in PUBLIC_EVENTS:
        return (Call("insert_event"),)
    return (
        Call("insert_event"),
        Call("fan_out", wakes_each="endpoint_id"),
        Call("enqueue_deliveries", wakes=("deliver",)),
    )


def changed(rows: Sequence[Rows]) -> bool:
    """Read whether a transaction's first statement moved its job."""
    return bool(rows[0])


def _move(job_id: str, now: int, event: str) -> dict[str, object]:
    return {"job_id": job_id, "now": now, "event": event, "move": new_identifier("move", now)}
