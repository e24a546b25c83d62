"""Large bodies are read in a thread, so that others are served meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

LARGE = 4096
"""Bytes. Reading a body of this size takes 5 ms at most, whatever it holds."""


class LargeBodies:
    """Runs what reads a body: for a short one at once, for a large one in a thread, one at a time."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def run(self, body: bytes, read: Callable[..., T], *arguments: Any) -> T:
        """Return `read(*arguments)`, one of which is `body`."""
        if len(body) <= LARGE:
            return read(*arguments)
        async with self._one_at_a_time:
            return await asyncio.to_thread(read, *arguments)
