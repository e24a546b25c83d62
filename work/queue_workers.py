"""Workers on Postgres: the same handlers as on SQLite, their tasks fetched and kept by the ledger's queue there."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.postgres.queue import Queue, UpkeepQueue, WorkQueue
from ledger.postgres.store import PostgresStore
from ledger.postgres.upkeep import next_due, promote
from ledger.queue import WorkQueue as LedgerQueue
from ledger.requests import Kind, Task
from ledger.storage.store import Store
from telemetry.emit import Emit
from work.worker import Handler, reschedule_failed

RESTART_SECONDS = 1.0

SHORTEST_NAP_SECONDS, FULL_NAP_SECONDS, LONGEST_NAP_SECONDS = 0.02, 0.1, 1.0
"""Between looks for what has come due: other processes put work there without a word."""

RELEASE_SECONDS = 1.0
"""What is kept of the time to stop for putting back what did not finish in it."""


class QueueWorker:
    """Runs a queue until it is told to stop. What a dead one did, the queue's upkeep puts back."""

    def __init__(self, queue: Queue, *, emit: Emit, stop_seconds: float) -> None:
        self.kind = queue.name
        self._queue = queue
        self._emit = emit
        self._stop_seconds = max(0.0, stop_seconds - RELEASE_SECONDS)
        self._running: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. A fault that ends the queue's own worker is announced, and it is started again."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._running = asyncio.create_task(self._queue.run(stop_seconds=self._stop_seconds))
            await asyncio.wait({self._running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                break
            fault = self._running.exception()
            self._emit("worker.fetch_failed", kind=self.kind, error=repr(fault and (fault.__cause__ or fault)))
            await asyncio.wait({stopping}, timeout=RESTART_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Let what is running finish for the time there is to stop, and put back the rest; `seconds` bounds it all."""
        if self._running is None or self._running.done():
            return
        self._running.cancel()
        _, late = await asyncio.wait({self._running}, timeout=max(seconds, RELEASE_SECONDS))
        if late:
            self._queue.give_up()
            self._emit("worker.tasks_abandoned", kind=self.kind, number=1)


class Promoter:
    """Puts what has come due into the queue, when it does. Any number of processes may have one."""

    kind = "promote"

    def __init__(self, store: PostgresStore, *, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Faults of the ledger are announced and waited out."""
        while not stop.is_set():
            try:
                nap = await self.run_once()
            except LedgerError as error:
                self._emit("worker.fetch_failed", kind=self.kind, error=str(error))
                nap = LONGEST_NAP_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), nap)

    async def run_once(self) -> float:
        """Promote what is due, and return how long to wait for more, in seconds."""
        promoted = await self._store.write(promote(now=self._clock()))
        due_at = await next_due(self._store)
        nap = LONGEST_NAP_SECONDS if due_at is None else (due_at - self._clock()) / 1000
        # What is due and was not promoted waits for room, or for whoever is promoting it.
        return min(max(nap, SHORTEST_NAP_SECONDS if promoted else FULL_NAP_SECONDS), LONGEST_NAP_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Let nothing finish: each promotion is a transaction."""


def queue_workers(
    store: Store,
    kinds: Iterable[tuple[Kind, Handler, int, int]],
    *,
    clock: Clock,
    emit: Emit,
    stop_seconds: float,
) -> Sequence[QueueWorker | Promoter]:
    """Make the promoter, and a worker of each kind: its handler, how many tasks at once, how long one may take (ms)."""
    assert isinstance(store, PostgresStore)
    kinds = list(kinds)

    def guarded(handle: Handler) -> Handler:
        """Put off the task of a handler that raises, longer each time."""

        async def perform(task: Task) -> None:
            try:
                await handle(task)
            except Exception as error:  # noqa: BLE001 - a worker outlives every fault of one task; the fault is announced
                await reschedule_failed(LedgerQueue(store, clock), task, error, clock=clock, emit=emit)

        return perform

    queues: list[Queue] = [
        WorkQueue(store, kind, guarded(handle), emit=emit, concurrency=concurrency)
        for kind, handle, concurrency, _ in kinds
    ]
    longest = max(lease for *_, lease in kinds)
    queues.append(UpkeepQueue(store, emit=emit, lease_seconds=longest / 1000))
    workers = [QueueWorker(queue, emit=emit, stop_seconds=stop_seconds) for queue in queues]
    return [*workers, Promoter(store, clock=clock, emit=emit)]
