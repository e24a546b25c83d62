"""Workers: fetch what is due, do it, and sleep until something is due or somebody says so."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.queue import WorkQueue
from ledger.requests import Kind, Task
from telemetry.emit import Emit

Handler = Callable[[Task], Awaitable[None]]
"""Does one task, and settles it: finished or postponed."""

LONGEST_WAIT = 60_000
"""A worker looks at least once a minute, whatever it was told."""

BACKOFF_MS = 1_000
LONGEST_BACKOFF_MS = 300_000


class Worker:
    """Does one kind of work, at most `concurrency` pieces at once, each under a lease of `lease_ms`.

    `handle` settles its own task (finished or postponed). One that raises is put off, longer each time; one that is
    killed comes due again when its lease ends.
    """

    def __init__(
        self,
        queue: WorkQueue,
        kind: Kind,
        handle: Handler,
        *,
        clock: Clock,
        emit: Emit,
        concurrency: int,
        lease_ms: int,
    ) -> None:
        self._queue = queue
        self.kind = kind
        self._handle = handle
        self._clock = clock
        self._emit = emit
        self._concurrency = concurrency
        self._lease_ms = lease_ms
        self._running: set[asyncio.Task[None]] = set()
        self._subjects: set[str] = set()
        self._due = queue.due(kind)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Faults of the ledger are announced and waited out."""
        while not stop.is_set():
            self._due.clear()
            try:
                nap = await self.run_once()
            except LedgerError as error:
                self._emit("worker.fetch_failed", kind=self.kind, error=str(error))
                nap = BACKOFF_MS
            if nap > 0:
                await self._sleep(nap, stop)

    async def run_once(self) -> int:
        """Start everything that is due and fits, and return how long to wait for more, in milliseconds."""
        free = self._concurrency - len(self._running)
        if free <= 0:
            return LONGEST_WAIT  # the first to end wakes us
        tasks = await self._queue.fetch(self.kind, lease_ms=self._lease_ms, limit=free)
        for task in tasks:
            if task.subject in self._subjects:  # our own lease ran out under us: whoever is at it goes on alone
                self._emit("worker.lease_expired", kind=self.kind, subject=task.subject)
                continue
            self._subjects.add(task.subject)
            running = asyncio.create_task(self._do(task), name=f"{self.kind} {task.subject}")
            self._running.add(running)
            running.add_done_callback(self._ended)
        if len(tasks) == free:
            return 0
        due_at = await self._queue.next_due(self.kind)
        return LONGEST_WAIT if due_at is None else min(max(due_at - self._clock(), 0), LONGEST_WAIT)

    async def drain(self, seconds: float) -> None:
        """Let what is running finish for at most `seconds`, then abandon it to the end of its lease."""
        if not self._running:
            return
        _, late = await asyncio.wait(set(self._running), timeout=seconds)
        for running in late:
            running.cancel()
        if late:
            await asyncio.wait(late)
            self._emit("worker.tasks_abandoned", kind=self.kind, number=len(late))

    async def _do(self, task: Task) -> None:
        try:
            await self._handle(task)
        except Exception as error:  # noqa: BLE001 - a worker outlives every fault of one task; the fault is announced
            with contextlib.suppress(LedgerError):  # announced: the lease's end will bring it back
                await reschedule_failed(self._queue, task, error, clock=self._clock, emit=self._emit)
        finally:
            self._subjects.discard(task.subject)

    def _ended(self, running: asyncio.Task[None]) -> None:
        if len(self._running) >= self._concurrency:
            self._due.set()
        self._running.discard(running)

    async def _sleep(self, nap: int, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._due, stop)]
        try:
            await asyncio.wait(waits, timeout=nap / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


async def reschedule_failed(queue: WorkQueue, task: Task, error: Exception, *, clock: Clock, emit: Emit) -> None:
    """Emit that `error` ended `task`, and postpone it, longer each time. Raises LedgerError when that fails."""
    emit("worker.task_failed", kind=task.kind, subject=task.subject, error=repr(error))
    pause = min(BACKOFF_MS * 2 ** min(task.tries, 10), LONGEST_BACKOFF_MS)
    try:
        await queue.reschedule(task, due_at=clock() + pause, failed=True)
    except LedgerError as fault:
        emit("worker.reschedule_failed", kind=task.kind, subject=task.subject, error=str(fault))
        raise
