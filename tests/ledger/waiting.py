"""Waiting for another process or task: bounded, by polling."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def wait_until(what: str, condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Poll until `condition` is true. Fails after `seconds` with `what`, a sentence about what was expected."""
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)
