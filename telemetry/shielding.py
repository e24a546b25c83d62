"""What must be noted once it is known, whoever goes away meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_shielded(noting: Coroutine[Any, Any, T]) -> T:
    """Run `noting` to its end even if the caller is cancelled, whose fault it is then nobody's to hear."""
    running = asyncio.ensure_future(noting)
    running.add_done_callback(retrieve_exception)
    return await asyncio.shield(running)


def retrieve_exception(done: "asyncio.Future[Any]") -> None:
    """Take note of a fault, or asyncio would complain that nobody did."""
    if not done.cancelled():
        done.exception()
