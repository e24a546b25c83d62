"""Runs to completion what must not be lost when its caller is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_shielded(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine to completion even if the caller is cancelled; its exception is then discarded."""
    running = asyncio.ensure_future(coroutine)
    running.add_done_callback(retrieve_exception)
    return await asyncio.shield(running)


def retrieve_exception(done: "asyncio.Future[Any]") -> None:
    """Retrieve the exception, so that asyncio does not log "exception was never retrieved"."""
    if not done.cancelled():
        done.exception()
