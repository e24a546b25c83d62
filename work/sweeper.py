"""The sweeper: enqueues missing work, once a minute. Transactions enqueue it; the sweeper repairs what was lost."""

import asyncio
import contextlib

from ledger.errors import LedgerError
from ledger.queue import WorkQueue
from telemetry.emit import Emit

SWEEP_SECONDS = 60.0


class Sweeper:
    """Runs beside the workers of a process. Any number of processes may have one."""

    kind = "sweep"

    def __init__(self, queue: WorkQueue, *, emit: Emit) -> None:
        self._queue = queue
        self._emit = emit

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep every `SWEEP_SECONDS` until `stop` is set. An error of the database is emitted."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
                return
            await self.run_once()

    async def run_once(self) -> None:
        """Sweep once."""
        try:
            if number := await self._queue.enqueue_missing():
                self._emit("work.missing_enqueued", number=number)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep comes in a minute
            self._emit("work.sweep_failed", error=str(error) if isinstance(error, LedgerError) else repr(error))

    async def drain(self, seconds: float, release_seconds: float = 0.0) -> None:
        """Do nothing: each page of a sweep is a transaction of its own."""
