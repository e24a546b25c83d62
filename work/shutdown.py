"""Stopping: asked for once, by SIGTERM or SIGINT, with so many seconds for everything that must end."""

import asyncio
import signal
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Shutdown:
    """The wish to stop, and how much of the time for it is left. Some PaaS send either signal, or several."""

    def __init__(self, seconds: float) -> None:
        self.asked = asyncio.Event()
        self._seconds = seconds
        self._asked_at = 0.0

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now to the end of the process: a second one must not cut the ending short."""
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, self.ask)

    def ask(self) -> None:
        """Ask to stop. Only the first asking counts."""
        if not self.asked.is_set():
            self._asked_at = asyncio.get_running_loop().time()
            self.asked.set()

    def seconds_left(self) -> float:
        """Return what is left of the seconds since it was asked."""
        return max(0.0, self._asked_at + self._seconds - asyncio.get_running_loop().time())


class ShutdownRequested(Exception):
    """It was asked to stop before what was waited for had come."""


async def unless_shutdown(waited_for: Awaitable[T], stop: Shutdown) -> T:
    """Wait for an awaitable, or cancel it when shutdown is requested. Raises ShutdownRequested."""
    waiting, stopping = asyncio.ensure_future(waited_for), asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            raise ShutdownRequested
        return waiting.result()
    finally:
        stopping.cancel()
