"""The work queue: tasks with leases, so that those of a killed worker come due again."""

from collections.abc import Sequence
from typing import get_args

from ledger.identifiers import new_identifier
from ledger.requests import Kind, Task
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction, nothing

PAGE = 1_000
"""Rows read in one transaction of `enqueue_missing`, so that its time is bounded."""

_OPEN: tuple[tuple[str, Kind], ...] = (
    ("accepted", "submit"),
    ("submitting", "submit"),
    ("unconfirmed", "submit"),
    ("submitted", "poll"),
)
"""The kind of the task of an open job, by its state."""


def fetch(kind: Kind, *, now: int, until: int, limit: int) -> Transaction[Sequence[Task]]:
    """Lease up to `limit` tasks that are due at `now`, until `until` (both in ms)."""
    lease = new_identifier("lease", now)

    def read(rows: Sequence[Rows]) -> Sequence[Task]:
        return [Task(kind=kind, subject=row["subject"], lease=lease, tries=row["tries"]) for row in rows[0]]

    values = {"kind": kind, "now": now, "until": until, "limit": limit, "lease": lease}
    return Transaction(steps=(Call("fetch_work"),), values=values, read=read)


def renew(tasks: Sequence[Task], *, until: int) -> Transaction[None]:
    """Extend the leases that still hold to `until` (ms)."""
    steps = tuple(Call("renew_lease", task.values | {"until": until}) for task in tasks)
    return Transaction(steps=steps, values={}, read=nothing)


def finish(task: Task) -> Transaction[None]:
    """Delete the task, if the lease still holds."""
    return Transaction(steps=(Call("finish_work"),), values=task.values, read=nothing)


def reschedule(task: Task, *, due_at: int, failed: bool) -> Transaction[None]:
    """Make a task due at `due_at` (ms) without a lease. `failed` counts a try."""
    step = rescheduled(task, due_at=due_at, failed=failed)
    return Transaction(steps=(step,), values=task.values, read=nothing)


def give_back(tasks: Sequence[Task], *, due_at: int) -> Transaction[None]:
    """Make tasks that were not finished due at `due_at` (ms) without a lease. Their tries are kept."""
    steps = tuple(Call("give_back_work", task.values | {"due_at": due_at}, wakes=(task.kind,)) for task in tasks)
    return Transaction(steps=steps, values={}, read=nothing)


def finished(task: Task) -> Call:
    """Return the step of another transaction that deletes `task`."""
    return Call("finish_work", task.values)


def rescheduled(task: Task, *, due_at: int, failed: bool) -> Call:
    """Return the step of another transaction that makes `task` due at `due_at` (ms)."""
    # Idle workers sleep until the lease ends, and this is sooner.
    return Call("reschedule_work", task.values | {"due_at": due_at, "failed": int(failed)}, wakes=(task.kind,))


def end_leases(*, now: int) -> Transaction[None]:
    """End every lease and claim. Only for SQLite at start, when no other process can hold one."""
    return Transaction(steps=(Call("end_leases"), Call("end_claims")), values={"now": now}, read=nothing)


async def enqueue_missing(store: Store, *, now: int) -> int:
    """Enqueue work for open jobs and for endpoints with pending deliveries that have none. Return how many.

    Raises LedgerError.
    """
    number = 0
    for state, kind in _OPEN:
        values = {"state": state, "kind": kind, "now": now, "after_provider": "", "after": ""}
        number += await _through(store, ("enqueue_missing_jobs", "end_of_open_jobs"), values, kind)
    values = {"now": now, "after": ""}
    return number + await _through(store, ("enqueue_missing_endpoints", "end_of_endpoints"), values, "deliver")


async def bring_forward(store: Store, *, now: int, set_back: int, longest_lease: int) -> int:
    """Make everything that is due later due sooner by `set_back` ms, and return how many rows that were.

    Leases are left alone unless they would last longer than `longest_lease` (ms). Raises LedgerError.
    """
    values = {"now": now, "set_back": set_back, "longest_lease": longest_lease, "after": ""}
    statements, number = ("bring_work_forward", "end_of_work"), 0
    for kind in get_args(Kind):
        number += await _through(store, statements, values | {"kind": kind}, kind)
    return number + await _through(store, ("bring_deliveries_forward", "end_of_endpoints"), values, "deliver")


async def newest_job(store: Store) -> int | None:
    """Return when the newest job was accepted (ms), or None without any job."""
    rows = await store.read("newest_job", {})
    return rows[0]["created_at"] if rows else None


async def _through(store: Store, statements: tuple[str, str], values: dict[str, object], kind: Kind) -> int:
    """Run both statements page by page; the second returns where the next page begins, or nothing."""
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
