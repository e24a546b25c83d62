"""Workers: fetch what is due, do it under a lease that is renewed meanwhile, and sleep until something is due."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.storage.store import Store
from ledger.transitions import queue as work
from ledger.transitions.queue import Kind, Task
from telemetry.emit import Emit

Handler = Callable[[Task], Awaitable[None]]
"""Does one task, and settles it: finished or postponed."""

LEASE_MS = 20_000
"""How long a lease lasts from its last renewal: what a killed worker had comes due after so long at most."""

RENEW_SECONDS = 5.0
"""How often leases are renewed while their handlers run: a database that is away for a moment costs none."""

LONGEST_WAIT = 60_000
"""A worker looks at least once a minute; more often where other processes may enqueue without waking it."""

BACKOFF_MS = 1_000
LONGEST_BACKOFF_MS = 300_000

RELEASE_SECONDS = 0.5
"""What is kept of the time to stop for giving leases back."""


class Worker:
    """Does one kind of work, at most `concurrency` tasks at once, each under a lease.

    `handle` settles its own task (finished or postponed). One that raises is retried, later each time. The lease of one
    that runs longer than `longest_ms` is not renewed any more, so that nothing that hangs is kept for ever.
    """

    def __init__(
        self,
        store: Store,
        kind: Kind,
        handle: Handler,
        *,
        clock: Clock,
        emit: Emit,
        concurrency: int,
        longest_ms: int,
    ) -> None:
        self._store = store
        self.kind = kind
        self._handle = handle
        self._clock = clock
        self._emit = emit
        self._concurrency = concurrency
        self._longest_ms = longest_ms
        self._longest_nap = min(LONGEST_WAIT, store.poll_ms)
        self._running: set[asyncio.Task[None]] = set()
        self._held: dict[str, tuple[Task, int]] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._due = store.due(kind)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Faults of the ledger are announced and waited out."""
        self._renewing = asyncio.create_task(self._renew_forever(), name=f"renew {self.kind} leases")
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
            return self._longest_nap  # the first to end wakes us
        now = self._clock()
        tasks = await self._store.write(work.fetch(self.kind, now=now, until=now + LEASE_MS, limit=free))
        held = [task for task in tasks if task.subject in self._held]
        for task in tasks:
            if task.subject not in self._held:
                self._begin(task, now)
        if held:  # their leases ended under us, or were taken away to have them done again
            for task in held:
                self._emit("worker.lease_expired", kind=self.kind, subject=task.subject)
            await self._postpone(held, BACKOFF_MS)
        if len(tasks) == free:
            return 0
        due_at = (await self._store.read("next_due", {"kind": self.kind}))[0]["due_at"]
        return self._longest_nap if due_at is None else min(max(due_at - self._clock(), 0), self._longest_nap)

    async def renew_once(self) -> None:
        """Renew the leases of what runs, and has not run for too long. Raises LedgerError."""
        now = self._clock()
        tasks = [task for task, begun_at in self._held.values() if now - begun_at < self._longest_ms]
        if tasks:
            await self._store.write(work.renew(tasks, until=now + LEASE_MS))

    async def drain(self, seconds: float) -> None:
        """Let what is running finish for at most `seconds`, then cancel it and give its leases back."""
        if self._running:
            _, late = await asyncio.wait(set(self._running), timeout=max(0.0, seconds - RELEASE_SECONDS))
            abandoned = [task for task, _ in self._held.values()]
            for running in late:
                running.cancel()
            if late:
                await asyncio.wait(late)
                self._emit("worker.abandoned", kind=self.kind, number=len(late))
                with contextlib.suppress(LedgerError, TimeoutError):  # they come due when their leases end
                    await asyncio.wait_for(self._postpone(abandoned, 0), RELEASE_SECONDS)
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    def _begin(self, task: Task, now: int) -> None:
        self._held[task.subject] = task, now
        running = asyncio.create_task(self._do(task), name=f"{self.kind} {task.subject}")
        self._running.add(running)
        running.add_done_callback(self._ended)

    async def _do(self, task: Task) -> None:
        try:
            await self._handle(task)
        except Exception as error:  # noqa: BLE001 - a worker outlives every fault of one task; the fault is announced
            await self._retry_later(task, error)
        finally:
            del self._held[task.subject]

    async def _retry_later(self, task: Task, error: Exception) -> None:
        self._emit("worker.task_failed", kind=task.kind, subject=task.subject, error=repr(error))
        pause = min(BACKOFF_MS * 2 ** min(task.tries, 10), LONGEST_BACKOFF_MS)
        try:
            await self._store.write(work.postpone(task, due_at=self._clock() + pause, failed=True))
        except LedgerError as fault:  # it comes due when its lease ends
            self._emit("worker.reschedule_failed", kind=task.kind, subject=task.subject, error=str(fault))

    async def _postpone(self, tasks: Iterable[Task], pause: int) -> None:
        due_at = self._clock() + pause
        await asyncio.gather(*(self._store.write(work.postpone(task, due_at=due_at, failed=False)) for task in tasks))

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew_once()
            except LedgerError as error:
                self._emit("worker.renew_failed", kind=self.kind, error=str(error))

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
