"""The work queue: who does what next, leased so that the tasks of a killed worker come due by themselves."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from ledger.identifiers import new_identifier
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction

Kind = Literal["submit", "poll", "deliver"]
"""The names in `work_kinds`. Subjects of submit and check are jobs, those of deliver are endpoints."""

PAGE = 1_000
"""Rows read in one transaction of `enqueue_missing`: a statement's time is bounded, the ledger's size is not."""

_OPEN: tuple[tuple[str, Kind], ...] = (
    ("accepted", "submit"),
    ("submitting", "submit"),
    ("unconfirmed", "submit"),
    ("submitted", "poll"),
)
"""What an open job waits for, by its state."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do, leased. `tries` counts the failures in a row, not the waits."""

    kind: Kind
    subject: str
    lease: str
    tries: int

    @property
    def values(self) -> dict[str, object]:
        """Return what a statement repeats to act only while the lease is ours."""
        return {"kind": self.kind, "subject": self.subject, "lease": self.lease}


def fetch(kind: Kind, *, now: int, until: int, limit: int) -> Transaction[Sequence[Task]]:
    """Lease up to `limit` due tasks until `until` (both in ms); the result is empty when nothing is due."""
    lease = new_identifier("lease", now)

    def read(rows: Sequence[Rows]) -> Sequence[Task]:
        return [Task(kind=kind, subject=row["subject"], lease=lease, tries=row["tries"]) for row in rows[0]]

    values = {"kind": kind, "now": now, "until": until, "limit": limit, "lease": lease}
    return Transaction(steps=(Call("fetch_work"),), values=values, read=read)


def renew(tasks: Sequence[Task], *, until: int) -> Transaction[None]:
    """Have the leases of `tasks` last until `until` (ms), those that are still ours."""
    steps = tuple(Call("renew_lease", task.values | {"until": until}) for task in tasks)
    return Transaction(steps=steps, values={}, read=_nothing)


def finish(task: Task) -> Transaction[None]:
    """Take the task off the queue. Does nothing when the lease is not ours any more."""
    return Transaction(steps=(Call("finish_work"),), values=task.values, read=_nothing)


def postpone(task: Task, *, due_at: int, failed: bool) -> Transaction[None]:
    """Make the task due at `due_at` (ms), leased by nobody. `failed` counts a try; waiting for a provider does not."""
    step = postponed(task, due_at=due_at, failed=failed)
    return Transaction(steps=(step,), values=task.values, read=_nothing)


def finished(task: Task) -> Call:
    """Return the step of another transaction that takes `task` off the queue."""
    return Call("finish_work", task.values)


def postponed(task: Task, *, due_at: int, failed: bool) -> Call:
    """Return the step of another transaction that makes `task` due at `due_at` (ms)."""
    # Workers sleep towards the lease's end, and this comes sooner.
    return Call("reschedule_work", task.values | {"due_at": due_at, "failed": int(failed)}, wakes=(task.kind,))


def end_leases(*, now: int) -> Transaction[None]:
    """Make everything leased due now. Only where no other process can be at work: at start, holding the lock."""
    return Transaction(steps=(Call("end_leases"), Call("end_claims")), values={"now": now}, read=_nothing)


async def enqueue_missing(store: Store, *, now: int) -> int:
    """Give work to every open job, and every endpoint with something pending, that has none. Returns how many.

    The ledger is the truth and the queue is made of it: one that was lost comes back. Raises LedgerError.
    """
    number = 0
    for state, kind in _OPEN:
        values = {"state": state, "kind": kind, "now": now, "after_provider": "", "after": ""}
        number += await _through(store, ("enqueue_missing_jobs", "end_of_open_jobs"), values, kind)
    values = {"now": now, "after": ""}
    return number + await _through(store, ("enqueue_missing_endpoints", "end_of_endpoints"), values, "deliver")


async def _through(store: Store, statements: tuple[str, str], values: dict[str, object], kind: Kind) -> int:
    """Run both statements page by page, as far as the second says that there is one."""
    enqueue, end = statements

    def read(rows: Sequence[Rows]) -> tuple[int, Rows]:
        return len(rows[0]), rows[1]

    number = 0
    while True:
        steps = (Call(enqueue, wakes=(kind,)), Call(end))
        found, last = await store.write(Transaction(steps=steps, values=values | {"limit": PAGE}, read=read))
        number += found
        if not last:
            return number
        values = values | last[0]


def _nothing(_: Sequence[Rows]) -> None:
    return None
