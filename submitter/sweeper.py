"""The sweeper: gives work to what is open and has none, once in a while."""

import asyncio
import contextlib

from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.storage.store import Store
from ledger.transitions.queue import enqueue_missing
from telemetry.emit import Emit

SWEEP_SECONDS = 60.0


class Sweeper:
    """Runs beside the workers of a process. Any number of processes may have one."""

    kind = "sweep"

    def __init__(self, store: Store, *, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep every `SWEEP_SECONDS` until `stop` is set. Faults of the ledger are announced."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
                return
            await self.run_once()

    async def run_once(self) -> None:
        """Sweep once."""
        try:
            if number := await enqueue_missing(self._store, now=self._clock()):
                self._emit("work.missing_enqueued", number=number)
        except LedgerError as error:  # the next sweep comes soon
            self._emit("work.sweep_failed", error=str(error))

    async def drain(self, seconds: float) -> None:
        """Do nothing: a sweep ends where it is, each of its pages being a transaction."""
