"""What is noted once it is known: to its end, whoever goes away, and without a word when nobody is left to hear."""

import asyncio
import gc
from typing import Any

import pytest

from telemetry.shielding import run_shielded


async def test_what_is_begun_ends_although_its_caller_is_cancelled() -> None:
    go_on, noted = asyncio.Event(), asyncio.Event()

    async def note() -> None:
        await go_on.wait()
        noted.set()

    calling = asyncio.create_task(run_shielded(note()))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    go_on.set()
    await asyncio.wait_for(noted.wait(), 1)


async def test_a_fault_is_the_callers_while_there_is_one_and_nobodys_afterwards() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    go_on = asyncio.Event()

    async def fail() -> None:
        await go_on.wait()
        raise ValueError("no room")

    left, staying = (asyncio.create_task(run_shielded(fail())) for _ in range(2))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    del left
    go_on.set()
    with pytest.raises(ValueError, match="no room"):
        await staying
    gc.collect()
    assert complaints == []
