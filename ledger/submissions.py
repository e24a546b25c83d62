"""Submissions: from accepted to submitted, with every way of not being sure in between."""

from collections.abc import Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import ProviderName
from ledger.rows import Job
from ledger.verbs import Rows, Step, Verb
from ledger.work import Task, postponed

PUBLIC_EVENTS = frozenset({"job.submitted", "job.completed", "job.failed", "job.canceled", "job.expired"})
"""The events that endpoints are told of; the others are for the job's own history."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may do with a job: submit it, if `claim` is set; otherwise see what `job` says and go home.

    `lost` says that this call made the job `unconfirmed`: whoever claimed it before is gone.
    """

    lost: bool = False
    claim: str | None
    job: Job | None


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """Where the provider keeps a request: its id, and the URLs it said to follow."""

    request_id: str
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


def begin(job_id: str, *, now: int, until: int, unconfirmed_before: int | None = None) -> Verb[Begun]:
    """Claim a job for submitting until `until` (ms).

    A job that somebody claimed and whose claim is over becomes `unconfirmed` first: its request may have left.
    An unconfirmed job is claimed only when it has been so since `unconfirmed_before` (ms); None never does.
    """
    move, lost = new_identifier("move", now), new_identifier("move", now)
    values = {"job_id": job_id, "now": now, "until": until, "move": move, "lost": lost}
    steps = [
        Step("lose_submission"),
        Step("note_event", {"job_id": job_id, "now": now, "event": "job.unconfirmed", "move": lost}),
        Step("begin_submission"),
    ]
    if unconfirmed_before is not None:
        steps.append(Step("begin_resubmission", values | {"unconfirmed_before": unconfirmed_before}))

    def read(rows: Sequence[Rows]) -> Begun:
        if not rows[-1]:
            return Begun(claim=None, job=None)
        job = Job.from_rows(rows[-1])
        return Begun(lost=bool(rows[0]), claim=move if job.moved_by == move else None, job=job)

    return Verb(steps=(*steps, Step("read_begun")), values=values, read=read)


def confirm(job_id: str, provider: ProviderName, handle: Handle, *, now: int, check_at: int) -> Verb[bool]:
    """Note that the provider has the job, and when to look first (ms). True when the job became `submitted`."""
    values = _move(job_id, now, "job.submitted") | msgspec.structs.asdict(handle)
    values |= {"provider": provider, "kind": "check", "due_at": check_at}
    steps = (
        Step("confirm_submission"),
        *announced("job.submitted"),
        Step("clear_submit_work"),
        Step("enqueue_job_work", wakes=("check",)),
    )
    return Verb(steps=steps, values=values, read=moved)


def put_back(task: Task, *, claim: str, now: int, due_at: int) -> Verb[bool]:
    """Return the job to `accepted`, to be asked again at `due_at` (ms): the provider certainly does not have it."""
    values = _move(task.subject, now, "") | {"claim": claim}
    steps = (Step("put_back_submission"), postponed(task, due_at=due_at, failed=True))
    return Verb(steps=steps, values=values, read=moved)


def doubt(task: Task, *, claim: str, now: int, due_at: int) -> Verb[bool]:
    """Make the job `unconfirmed`, its policy to be asked at `due_at` (ms): the provider may have it."""
    values = _move(task.subject, now, "job.unconfirmed") | {"claim": claim}
    steps = (Step("doubt_submission"), Step("note_event"), postponed(task, due_at=due_at, failed=False))
    return Verb(steps=steps, values=values, read=moved)


def announced(event: str) -> tuple[Step, ...]:
    """Be the steps of a verb that number its event and, for a public one, make the deliveries and their work."""
    if event not in PUBLIC_EVENTS:
        return (Step("note_event"),)
    return (
        Step("note_event"),
        Step("fan_out", wakes_each="endpoint_id"),
        Step("enqueue_deliveries", wakes=("deliver",)),
    )


def moved(rows: Sequence[Rows]) -> bool:
    """Read whether a verb's first statement moved its job."""
    return bool(rows[0])


def _move(job_id: str, now: int, event: str) -> dict[str, object]:
    return {"job_id": job_id, "now": now, "event": event, "move": new_identifier("move", now)}
