"""Shutdown: requested once, by SIGTERM or SIGINT, with one budget of seconds for everything that has to end."""

import asyncio
import enum
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

OVERRUN_SECONDS = 1.0
"""How long after its seconds a shutdown that was requested by a signal may take."""

LONGEST_SHARE = 0.5
"""The most seconds that are kept for a phase after the first."""


class Phase(enum.IntEnum):
    """What ends during shutdown, last to first. Each has a share of its own, and what those before it have left."""

    CLOSE = 0
    """The database is closed."""
    RELEASE = 1
    """The leases of tasks that did not finish are given back."""
    WORK = 2
    """Requests and tasks in progress finish."""


class Shutdown:
    """Whether shutdown was requested, and how much of its time is left. Some PaaS send either signal, or several."""

    def __init__(self, seconds: float) -> None:
        self.requested = asyncio.Event()
        self._seconds = seconds
        self._requested_at = 0.0
        self._callbacks: list[Callable[[], None]] = []

    def listen(self, end_process: Callable[[], None]) -> None:
        """Handle SIGTERM and SIGINT until the process ends: a second one must not cut the shutdown short.

        `end_process` is called from another thread if the process still runs `OVERRUN_SECONDS` after its seconds:
        whatever hangs, in a thread of the database or of a resolver, must not hold the process.
        """

        def begin() -> None:
            if not self.requested.is_set():
                overrun = threading.Timer(self._seconds + OVERRUN_SECONDS, end_process)
                overrun.daemon = True
                overrun.start()
            self.request()

        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, begin)

    def request(self) -> None:
        """Request shutdown. Only the first request counts."""
        if not self.requested.is_set():
            self._requested_at = asyncio.get_running_loop().time()
            self.requested.set()
            for callback in self._callbacks:
                callback()

    def on_request(self, callback: Callable[[], None]) -> None:
        """Call `callback` when shutdown is requested; at once if it was."""
        if self.requested.is_set():
            callback()
        else:
            self._callbacks.append(callback)

    def seconds_left(self, phase: Phase = Phase.CLOSE) -> float:
        """Return how many seconds are left for a phase: all of them until shutdown is requested."""
        kept = phase * min(LONGEST_SHARE, self._seconds / 8)
        elapsed = asyncio.get_running_loop().time() - self._requested_at if self.requested.is_set() else 0.0
        return max(0.0, self._seconds - kept - elapsed)


class ShutdownRequested(Exception):
    """Shutdown was requested before what was awaited was done."""


async def unless_shutdown(awaitable: Awaitable[T], shutdown: Shutdown) -> T:
    """Wait for an awaitable, or cancel it when shutdown is requested. Raises ShutdownRequested."""
    waiting, stopping = asyncio.ensure_future(awaitable), asyncio.create_task(shutdown.requested.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            raise ShutdownRequested
        return waiting.result()
    finally:
        stopping.cancel()
