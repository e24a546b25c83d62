"""A timer for limits that are set with each request and seldom reached."""

import asyncio
from collections.abc import Callable

_EARLY_SECONDS = 0.002
"""How much before its time an event loop may call: uvloop counts milliseconds."""


class Deadline:
    """Calls `expired` when the time that was set last has come. Moving it later costs no timer of the event loop."""

    __slots__ = ("_at", "_expired", "_handle", "_loop", "_wakes_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0

    def set(self, seconds: float) -> None:
        """Set the time to `seconds` from now."""
        self._at = at = self._loop.time() + seconds
        if self._handle is None or at < self._wakes_at:
            self._wake(at)

    def clear(self) -> None:
        """Wait for nothing."""
        self._at = None

    def close(self) -> None:
        """Stop the timer, and drop what it would call."""
        self._at = None
        self._expired = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(at, self._woken)
        self._wakes_at = at

    def _woken(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._loop.time() < self._at - _EARLY_SECONDS:
            self._wake(self._at)
            return
        self._at = None
        self._expired()


def _nothing() -> None:
    pass
