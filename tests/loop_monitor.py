"""Measures how long the event loop is held: the longest time of the processor between two turns of the loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

LONGEST_STEP_SECONDS = 0.05


class LoopMonitor:
    """The longest step so far. Other processes and threads do not count: only this thread's own time does."""

    longest = 0.0

    async def run(self) -> None:
        """Watch the loop until cancelled."""
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now


@contextlib.asynccontextmanager
async def loop_never_held(seconds: float = LONGEST_STEP_SECONDS) -> AsyncIterator[LoopMonitor]:
    """Fail when one step of the event loop takes longer than `seconds`."""
    monitor = LoopMonitor()
    watching = asyncio.create_task(monitor.run())
    await asyncio.sleep(0)
    try:
        yield monitor
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert monitor.longest <= seconds, f"the event loop was held for {monitor.longest * 1000:.0f} ms"
