"""Reads what is large outside of the event loop, so that everything else goes on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from providers.reading import AT_ONCE

P = ParamSpec("P")
T = TypeVar("T")

# One thread: two would take as long, and twice the memory.
_READER = ThreadPoolExecutor(1, thread_name_prefix="reader")


async def run_off_loop(size: int, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what reads `size` bytes: here if they are few, else in a thread. Raises what the call raises.

    If the caller is cancelled meanwhile, the call is awaited all the same, its result is returned, and the caller is
    cancelled where it awaits next: what was read from a provider can still be recorded.
    """
    if size <= AT_ONCE:
        return call(*args, **kwargs)
    running = asyncio.get_running_loop().run_in_executor(_READER, partial(call, *args, **kwargs))
    cancelled = False
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            cancelled = True
    task = asyncio.current_task()
    if cancelled and task is not None:
        task.cancel()
    return running.result()
