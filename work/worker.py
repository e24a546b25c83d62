"""Workers: fetch tasks that are due, run them under leases that are renewed, and sleep until the next is due."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.queue import WorkQueue
from ledger.requests import Kind, Task
from telemetry.emit import Emit

Handler = Callable[[Task], Awaitable[None]]
"""Runs one task, and finishes or reschedules it."""

LEASE_MS = 20_000
"""How long a lease lasts after its last renewal. The tasks of a killed worker come due again within this time."""

RENEW_SECONDS = 5.0
"""How often leases are renewed while their handlers run. One renewal that fails does not end a lease."""

LONGEST_WAIT_MS = 60_000
"""A worker polls at least once a minute; more often if other processes may enqueue without waking it."""

BACKOFF_MS = 1_000
LONGEST_BACKOFF_MS = 300_000

RELEASE_SECONDS = 0.5
"""The part of the grace period that is kept for giving leases back."""


@dataclass(slots=True)
class _Held:
    """A task that runs here: since when, and until when its lease holds if nothing else ends it. Both in ms."""

    task: Task
    begun_at: int
    leased_until: int


class Worker:
    """Runs one kind of task, at most `concurrency` at once, each under a lease.

    `handle` finishes or reschedules its own task. A task whose handler raises is retried with backoff. The lease of a
    handler that runs longer than `longest_ms` is not renewed, so that a handler that hangs does not keep its task.
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
        longest_ms: int,
    ) -> None:
        self._queue = queue
        self.kind = kind
        self._handle = handle
        self._clock = clock
        self._emit = emit
        self._concurrency = concurrency
        self._longest_ms = longest_ms
        self._longest_wait = min(LONGEST_WAIT_MS, queue.poll_ms)
        self._running: set[asyncio.Task[None]] = set()
        self._held: dict[str, _Held] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._due = queue.due(kind)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. After an error of the database it waits and tries again."""
        self._renewing = asyncio.create_task(self._renew_forever(), name=f"renew {self.kind} leases")
        while not stop.is_set():
            self._due.clear()
            try:
                nap = await self.run_once()
            except Exception as error:  # noqa: BLE001 - whatever it is, this kind of work must not end
                self._emit("worker.fetch_failed", kind=self.kind, error=_words(error))
                nap = BACKOFF_MS
            if nap > 0:
                await self._sleep(nap, stop)

    async def run_once(self) -> int:
        """Start everything that is due and fits, and return how long to wait for more, in milliseconds."""
        free = self._concurrency - len(self._running)
        if free <= 0:
            return self._longest_wait  # the first handler to end wakes it
        now = self._clock()
        tasks = await self._queue.fetch(self.kind, lease_ms=LEASE_MS, limit=free)
        held = [task for task in tasks if task.subject in self._held]
        for task in tasks:
            if task.subject not in self._held:
                self._begin(task, now)
        if held:  # their leases expired while they run here, or were ended so that they run again
            for task in held:
                if now >= self._held[task.subject].leased_until:
                    self._emit("worker.lease_expired", kind=self.kind, subject=task.subject)
            await self._queue.give_back(held, pause_ms=BACKOFF_MS)
        if len(tasks) == free:
            return 0
        due_at = await self._queue.next_due(self.kind)
        return self._longest_wait if due_at is None else min(max(due_at - self._clock(), 0), self._longest_wait)

    async def renew_once(self) -> None:
        """Renew the leases of the tasks that run here and have not run too long. Raises LedgerError."""
        now = self._clock()
        renewed = [each for each in self._held.values() if now - each.begun_at < self._longest_ms]
        if renewed:
            await self._queue.renew([each.task for each in renewed], lease_ms=LEASE_MS)
        for each in renewed:
            each.leased_until = now + LEASE_MS

    async def drain(self, seconds: float) -> None:
        """Wait at most `seconds` for running handlers, then cancel them and give their leases back."""
        if self._running:
            _, late = await asyncio.wait(set(self._running), timeout=max(0.0, seconds - RELEASE_SECONDS))
            abandoned = [each.task for each in self._held.values()]
            for running in late:
                running.cancel()
            if late:
                await asyncio.wait(late)
                self._emit("worker.tasks_abandoned", kind=self.kind, number=len(late))
                with contextlib.suppress(LedgerError, TimeoutError):  # they come due when their leases end
                    await asyncio.wait_for(self._queue.give_back(abandoned, pause_ms=0), RELEASE_SECONDS)
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    def _begin(self, task: Task, now: int) -> None:
        self._held[task.subject] = _Held(task, now, now + LEASE_MS)
        running = asyncio.create_task(self._do(task), name=f"{self.kind} {task.subject}")
        self._running.add(running)
        running.add_done_callback(self._ended)

    async def _do(self, task: Task) -> None:
        try:
            await self._handle(task)
        except Exception as error:  # noqa: BLE001 - a worker survives every exception of a handler, and emits it
            await self._retry_later(task, error)
        finally:
            del self._held[task.subject]

    async def _retry_later(self, task: Task, error: Exception) -> None:
        self._emit("worker.task_failed", kind=task.kind, subject=task.subject, error=repr(error))
        pause = min(BACKOFF_MS * 2 ** min(task.tries, 10), LONGEST_BACKOFF_MS)
        try:
            await self._queue.reschedule(task, due_at=self._clock() + pause, failed=True)
        except LedgerError as fault:  # it comes due when its lease ends
            self._emit("worker.reschedule_failed", kind=task.kind, subject=task.subject, error=str(fault))

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew_once()
            except Exception as error:  # noqa: BLE001 - whatever it is, leases must be renewed
                self._emit("worker.renew_failed", kind=self.kind, error=_words(error))

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


def _words(error: Exception) -> str:
    """Return the words of the ledger's own errors, which say what to do, and of others the class as well."""
    return str(error) if isinstance(error, LedgerError) else repr(error)
