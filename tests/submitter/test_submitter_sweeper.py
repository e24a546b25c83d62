"""The sweeper: work that was lost comes back, and what it could not do is said."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.storage.transaction import Transaction
from submitter import sweeper
from submitter.sweeper import Sweeper
from tests.submitter.desk import Desk
from tests.submitter.lines import until


@pytest.fixture
def sweeping(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", 0.001)
    return Sweeper(desk.store, clock=desk.clock, emit=desk.heard)


async def test_an_open_job_without_work_gets_some_until_the_process_stops(desk: Desk, sweeping: Sweeper) -> None:
    job_id = await desk.accept()
    await desk.store._writer.execute("DELETE FROM work")
    stop = asyncio.Event()
    running = asyncio.ensure_future(sweeping.run(stop))
    await until(lambda: bool(desk.heard.named("work.missing_enqueued")))
    stop.set()
    async with asyncio.timeout(2):
        await running
        await sweeping.drain(0)
    assert [task.subject for task in await desk.due("submit")] == [job_id]
    assert desk.heard == [("work.missing_enqueued", {"number": 1})]


async def test_a_sweep_that_fails_is_announced(desk: Desk, sweeping: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: Transaction[object]) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(desk.store, "write", full)
    await sweeping.run_once()
    assert desk.heard == [("work.sweep_failed", {"error": "the disk is full"})]
