"""The work queue: who does what next, leased so that a dead worker's share comes due by itself."""

from collections.abc import Sequence

from ledger.identifiers import new_identifier
from ledger.requests import Kind, Task
from ledger.storage.transaction import Call, Rows, Transaction


def fetch(kind: Kind, *, now: int, until: int, limit: int) -> Transaction[Sequence[Task]]:
    """Lease up to `limit` due tasks until `until` (both in ms); the result is empty when nothing is due."""
    lease = new_identifier("lease", now)

    def read(rows: Sequence[Rows]) -> Sequence[Task]:
        return [Task(kind=kind, subject=row["subject"], lease=lease, tries=row["tries"]) for row in rows[0]]

    values = {"kind": kind, "now": now, "until": until, "limit": limit, "lease": lease}
    return Transaction(steps=(Call("fetch_work"),), values=values, read=read)


def finish(task: Task) -> Transaction[None]:
    """Take the task off the queue. Does nothing when the lease is not ours any more."""
    return Transaction(steps=(finished(task),), values={}, read=_nothing)


def reschedule(task: Task, *, due_at: int, failed: bool) -> Transaction[None]:
    """Put the task off until `due_at` (ms). `failed` counts a try; waiting for a provider does not."""
    return Transaction(steps=(rescheduled(task, due_at=due_at, failed=failed),), values={}, read=_nothing)


def finished(task: Task) -> Call:
    """Be the step of another transaction that takes `task` off the queue."""
    return Call("finish_work", {"kind": task.kind, "subject": task.subject, "lease": task.lease})


def rescheduled(task: Task, *, due_at: int, failed: bool) -> Call:
    """Be the step of another transaction that puts `task` off until `due_at` (ms)."""
    values = {
        "kind": task.kind,
        "subject": task.subject,
        "lease": task.lease,
        "due_at": due_at,
        "failed": int(failed),
    }
    # The worker sleeps towards the lease's end: it must hear that this comes sooner.
    return Call("reschedule_work", values, wakes=(task.kind,))


def end_leases(*, now: int) -> Transaction[None]:
    """Make everything leased due now. Only where no other process can be at work: at start, holding the lock."""
    return Transaction(
        steps=(Call("end_leases", wakes=("submit", "poll", "deliver")), Call("end_claims")),
        values={"now": now},
        read=_nothing,
    )


def _nothing(_: Sequence[Rows]) -> None:
    return None
