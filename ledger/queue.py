"""The work queue: tasks that are due, leased to one worker at a time.

Tasks are enqueued inside the ledger's own transactions. A task whose worker dies comes due again when its lease ends.
"""

import asyncio
from collections.abc import Sequence

from ledger.clock import Clock
from ledger.requests import Kind, Task
from ledger.storage.store import Store
from ledger.transitions import deliveries, queue


class WorkQueue:
    """Fetches, finishes and reschedules tasks. Times are milliseconds since the epoch, UTC."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def fetch(self, kind: Kind, *, lease_ms: int, limit: int) -> Sequence[Task]:
        """Lease up to `limit` due tasks for `lease_ms`, longest due first."""
        now = self._clock()
        return await self._store.write(queue.fetch(kind, now=now, until=now + lease_ms, limit=limit))

    async def renew(self, tasks: Sequence[Task], *, lease_ms: int) -> None:
        """Extend the leases that still hold to `lease_ms` from now."""
        await self._store.write(queue.renew(tasks, until=self._clock() + lease_ms))

    async def finish(self, task: Task) -> None:
        """Delete a task, if the lease still holds."""
        await self._store.write(queue.finish(task))

    async def reschedule(self, task: Task, *, due_at: int, failed: bool) -> None:
        """Make a task due at `due_at` (ms), if the lease still holds. `failed` counts a try."""
        await self._store.write(queue.reschedule(task, due_at=due_at, failed=failed))

    async def give_back(self, tasks: Sequence[Task], *, pause_ms: int) -> None:
        """Make tasks that were not finished due again in `pause_ms`, where the leases still hold. Tries are kept."""
        await self._store.write(queue.give_back(tasks, due_at=self._clock() + pause_ms))

    async def release_endpoint(self, task: Task) -> None:
        """Make the task of an endpoint due with its next delivery, or delete it if there is none."""
        await self._store.write(deliveries.release(task, now=self._clock()))

    async def next_due(self, kind: Kind) -> int | None:
        """Return when the next task of a kind is due (ms), or None if there is none."""
        [row] = await self._store.read("next_due", {"kind": kind})
        due_at: int | None = row["due_at"]
        return due_at

    async def enqueue_missing(self) -> int:
        """Enqueue work for open jobs and for endpoints with pending deliveries that have none. Return how many."""
        return await queue.enqueue_missing(self._store, now=self._clock())

    async def bring_forward(self, *, set_back: int, longest_lease: int) -> int:
        """Make what is due later due sooner by `set_back` ms, because the clock was set back. Return how many rows.

        A lease is left alone unless it would last longer than `longest_lease` (ms).
        """
        return await queue.bring_forward(self._store, now=self._clock(), set_back=set_back, longest_lease=longest_lease)

    async def newest_job(self) -> int | None:
        """Return when the newest job was accepted (ms), or None without any job."""
        return await queue.newest_job(self._store)

    @property
    def poll_ms(self) -> int:
        """How often a worker must poll, because other processes may enqueue without waking it."""
        return self._store.poll_ms

    def due(self, what: str) -> asyncio.Event:
        """Return the event that is set when a commit may have made something due.

        `what` is a kind of work, or an endpoint's id for its deliveries. The event is kept while a caller holds it.
        """
        return self._store.due(what)
