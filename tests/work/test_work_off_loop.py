"""Large readings leave the event loop free, and a cancelled caller still gets what was read."""

import asyncio
import threading

import pytest

from providers.reading import AT_ONCE
from work.off_loop import run_off_loop


async def test_little_is_read_here_and_much_in_another_thread() -> None:
    here = threading.get_ident()
    assert await run_off_loop(AT_ONCE, threading.get_ident) == here
    assert await run_off_loop(AT_ONCE + 1, threading.get_ident) != here


async def test_an_exception_is_raised_to_the_caller() -> None:
    for size in (0, AT_ONCE + 1):
        with pytest.raises(ValueError, match="invalid literal"):
            await run_off_loop(size, int, "x")


async def test_a_cancelled_caller_gets_the_result_and_is_cancelled_where_it_waits_next() -> None:
    begun, may_end = threading.Event(), threading.Event()
    found: list[str] = []

    def read() -> str:
        begun.set()
        may_end.wait(10)
        return "read"

    async def call() -> None:
        found.append(await run_off_loop(AT_ONCE + 1, read))
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(call())
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found == ["read"]
