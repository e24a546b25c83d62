"""The sweeper: enqueues missing work, and brings waiting work forward when the clock was set back.

Transactions enqueue work; the sweeper repairs what was lost.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ledger.errors import LedgerError
from ledger.queue import WorkQueue
from telemetry.emit import Emit
from work.clock import ClockWatch
from work.worker import LEASE_MS

SWEEP_SECONDS = 60.0
CLOCK_SECONDS = 5.0
"""How often the clock is compared with the monotonic one. Nothing is asked of the database unless it was set back."""


class Sweeper:
    """Runs beside the workers of a process. Any number of processes may have one."""

    kind = "sweep"

    def __init__(self, queue: WorkQueue, *, emit: Emit, watch: ClockWatch | None = None) -> None:
        self._queue = queue
        self._emit = emit
        self._watch = watch or ClockWatch()

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep every `SWEEP_SECONDS` until `stop` is set. An error of the database is emitted."""
        clock = asyncio.get_running_loop().time
        sweep_at = clock() + SWEEP_SECONDS
        await self._attempt(self._remember)
        while not stop.is_set():
            await self._attempt(self.follow_clock)
            if clock() >= sweep_at:
                await self.run_once()
                sweep_at = clock() + SWEEP_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(CLOCK_SECONDS, SWEEP_SECONDS))

    async def run_once(self) -> None:
        """Enqueue missing work once."""
        await self._attempt(self._enqueue_missing)

    async def follow_clock(self) -> None:
        """Bring waiting work forward if the clock was set back. Raises LedgerError; it is tried again next time."""
        if set_back := self._watch.set_back():
            number = await self._queue.bring_forward(set_back=set_back, longest_lease=LEASE_MS)
            self._watch.accept()
            self._emit("work.hastened", clock_set_back_ms=set_back, number=number)

    async def drain(self, seconds: float) -> None:
        """Do nothing: each page of a sweep is a transaction of its own."""

    async def _remember(self) -> None:
        newest = await self._queue.newest_job()
        if newest is not None:
            self._watch.saw(newest)

    async def _enqueue_missing(self) -> None:
        if number := await self._queue.enqueue_missing():
            self._emit("work.missing_enqueued", number=number)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one comes soon
            self._emit("work.sweep_failed", error=str(error) if isinstance(error, LedgerError) else repr(error))
