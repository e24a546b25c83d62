"""The sweeper: missing work is enqueued, and a failed sweep is emitted."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.storage.transaction import Transaction
from tests.outbound.loopback import until
from tests.submitter.harness import Harness
from work import sweeper
from work.sweeper import Sweeper


@pytest.fixture
def sweeping(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", 0.001)
    return Sweeper(Ledger(harness.store, harness.clock).queue, emit=harness.events_emitted)


async def test_missing_work_is_enqueued_until_the_process_stops(harness: Harness, sweeping: Sweeper) -> None:
    job_id = await harness.accept()
    await harness.store._writer.execute("DELETE FROM work")
    stop = asyncio.Event()
    running = asyncio.ensure_future(sweeping.run(stop))
    await until(lambda: bool(harness.events_emitted.named("work.missing_enqueued")))
    stop.set()
    async with asyncio.timeout(2):
        await running
        await sweeping.drain(0)
    assert [task.subject for task in await harness.due("submit")] == [job_id]
    assert harness.events_emitted == [("work.missing_enqueued", {"number": 1})]


async def test_a_failed_sweep_is_emitted(harness: Harness, sweeping: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: Transaction[object]) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(harness.store, "write", full)
    await sweeping.run_once()
    assert harness.events_emitted == [("work.sweep_failed", {"error": "the disk is full"})]
