"""A worker outlives every fault, of a task and of the ledger, and stops when it is told."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.requests import Task
from ledger.storage.transaction import Transaction
from ledger.transitions import queue as work
from tests.outbound.loopback import until
from tests.submitter.bench import Bench, Counting, running, worker
from tests.submitter.harness import Harness
from work import worker as workers
from work.worker import BACKOFF_MS, LEASE_MS, LONGEST_BACKOFF_MS


async def test_a_task_that_fails_is_put_off_longer_each_time_and_announced(harness: Harness) -> None:
    job_id = await harness.accept()

    async def fails(_: Task) -> None:
        raise RuntimeError("a bug")

    waits = []
    for number in range(1, 13):
        await worker(harness, fails).run_once()
        await until(lambda number=number: len(harness.emitted("worker.task_failed")) == number)
        await harness.store.write(work.fetch("poll", now=0, until=0, limit=1))  # behind what the worker wrote
        waits.append(await harness.seconds_until_due("submit") or 0)
        harness.clock.pass_seconds(waits[-1])
    assert waits[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[9:]) == {LONGEST_BACKOFF_MS / 1000}
    [fact, *_] = harness.emitted("worker.task_failed")
    assert fact == {"kind": "submit", "subject": job_id, "error": "RuntimeError('a bug')"}


async def test_a_ledger_that_does_not_answer_is_waited_out(
    harness: Harness, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "BACKOFF_MS", 5)
    counting.faults = 3
    job_id = await harness.accept()
    bench = Bench(harness)
    async with running(worker(harness, bench)):
        await until(lambda: bench.claimed == [job_id])
    assert len(harness.emitted("worker.fetch_failed")) == 3
    assert "disk is full" in str(harness.events_emitted[0][1]["error"])


async def test_a_task_that_cannot_even_be_put_off_comes_due_when_its_lease_ends(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.accept()

    async def full(_: Transaction[object]) -> None:
        raise Unavailable("the disk is full")

    async def fails(_: Task) -> None:
        monkeypatch.setattr(harness.store, "write", full)
        raise RuntimeError("a bug")

    await worker(harness, fails).run_once()
    await until(lambda: harness.emitted("worker.reschedule_failed"))
    assert await harness.seconds_until_due("submit") == LEASE_MS / 1000


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_stop_is_heard_at_once_even_when_every_hand_is_full(concurrency: int, harness: Harness) -> None:
    await harness.accept()
    bench = Bench(harness)
    at_work = worker(harness, bench, concurrency=concurrency)
    stop = asyncio.Event()
    run = asyncio.ensure_future(at_work.run(stop))
    await until(lambda: bench.now == 1)
    stop.set()
    async with asyncio.timeout(2):
        await run
    bench.let_go(*bench.claimed)
    await at_work.drain(5)
    assert len(bench.done) == 1
    assert harness.events_emitted == []


async def test_what_does_not_finish_in_time_is_abandoned_to_the_end_of_its_lease(harness: Harness) -> None:
    job_id = await harness.accept()
    bench = Bench(harness)
    at_work = worker(harness, bench)
    await at_work.run_once()
    await until(lambda: bench.now == 1)
    await at_work.drain(0.01)
    assert (bench.now, bench.done) == (0, [])
    assert harness.emitted("worker.tasks_abandoned") == [{"kind": "submit", "number": 1}]
    assert [task.subject for task in await harness.due("submit")] == [job_id]


async def test_a_task_whose_lease_ran_out_under_us_is_not_begun_a_second_time(harness: Harness) -> None:
    """A laptop that slept, a clock that jumped: whoever is at it goes on alone."""
    job_id = await harness.accept()
    bench = Bench(harness)
    busy = worker(harness, bench)
    await busy.run_once()
    await until(lambda: bench.claimed == [job_id])
    harness.clock.pass_seconds(LEASE_MS / 1000 + 1)
    await busy.run_once()
    assert await harness.seconds_until_due("submit") == BACKOFF_MS / 1000
    assert bench.claimed == [job_id]
    assert [event["subject"] for event in harness.emitted("worker.lease_expired")] == [job_id]
    bench.let_go(job_id)
    await busy.drain(5)
    assert bench.done == [job_id]
