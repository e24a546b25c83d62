"""`run_shielded`: completes although its caller is cancelled, and its exception is retrieved."""

import asyncio
import gc
from typing import Any

import pytest

from telemetry.shielding import run_shielded


async def test_the_coroutine_completes_although_its_caller_is_cancelled() -> None:
    go_on, recorded = asyncio.Event(), asyncio.Event()

    async def record() -> None:
        await go_on.wait()
        recorded.set()

    calling = asyncio.create_task(run_shielded(record()))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    go_on.set()
    await asyncio.wait_for(recorded.wait(), 1)


async def test_an_exception_reaches_the_caller_or_is_discarded_when_it_was_cancelled() -> None:
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, entry: logged.append(entry))
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
    assert logged == []
