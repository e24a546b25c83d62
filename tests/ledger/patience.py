"""Waiting for what a database or a worker does in its own time: bounded, and by looking."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def soon(what: str, condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)
