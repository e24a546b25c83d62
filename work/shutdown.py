"""Shutdown: requested once, by SIGTERM or SIGINT, with one budget of seconds for everything that has to end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Shutdown:
    """Whether shutdown was requested, and how much of its time is left. Some PaaS send either signal, or several."""

    def __init__(self, seconds: float) -> None:
        self.requested = asyncio.Event()
        self._seconds = seconds
        self._requested_at = 0.0
        self._callbacks: list[Callable[[], None]] = []

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT until the process ends: a second one must not cut the shutdown short."""
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, self.request)

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

    def seconds_left(self) -> float:
        """Return how many seconds are left since shutdown was requested."""
        return max(0.0, self._requested_at + self._seconds - asyncio.get_running_loop().time())


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
