"""A worker outlives every fault, of a task and of the ledger, and stops when it is told."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.storage.transaction import Transaction
from ledger.transitions import queue as work
from ledger.transitions.queue import Task
from tests.submitter.bench import Bench, Counting, running, worker
from tests.submitter.desk import Desk
from tests.submitter.lines import until
from work import worker as workers
from work.worker import BACKOFF_MS, LEASE_MS, LONGEST_BACKOFF_MS


async def test_a_task_that_fails_is_put_off_longer_each_time_and_announced(desk: Desk) -> None:
    job_id = await desk.accept()

    async def fails(_: Task) -> None:
        raise RuntimeError("a bug")

    waits = []
    for number in range(1, 13):
        await worker(desk, fails).run_once()
        await until(lambda number=number: len(desk.heard.named("worker.task_failed")) == number)
        await desk.store.write(work.fetch("poll", now=0, until=0, limit=1))  # behind what the worker wrote
        waits.append(await desk.seconds_until_due("submit") or 0)
        desk.clock.pass_seconds(waits[-1])
    assert waits[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[9:]) == {LONGEST_BACKOFF_MS / 1000}
    [fact, *_] = desk.heard.named("worker.task_failed")
    assert fact == {"kind": "submit", "subject": job_id, "error": "RuntimeError('a bug')"}


async def test_a_ledger_that_does_not_answer_is_waited_out(
    desk: Desk, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "BACKOFF_MS", 5)
    counting.faults = 3
    job_id = await desk.accept()
    bench = Bench(desk)
    async with running(worker(desk, bench)):
        await until(lambda: bench.claimed == [job_id])
    assert len(desk.heard.named("worker.fetch_failed")) == 3
    assert "disk is full" in str(desk.heard[0][1]["error"])


async def test_a_task_that_cannot_even_be_put_off_comes_due_when_its_lease_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.accept()

    async def full(_: Transaction[object]) -> None:
        raise Unavailable("the disk is full")

    async def fails(_: Task) -> None:
        monkeypatch.setattr(desk.store, "write", full)
        raise RuntimeError("a bug")

    await worker(desk, fails).run_once()
    await until(lambda: desk.heard.named("worker.reschedule_failed"))
    assert await desk.seconds_until_due("submit") == LEASE_MS / 1000


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_stop_is_heard_at_once_even_when_every_hand_is_full(concurrency: int, desk: Desk) -> None:
    await desk.accept()
    bench = Bench(desk)
    at_work = worker(desk, bench, concurrency=concurrency)
    stop = asyncio.Event()
    run = asyncio.ensure_future(at_work.run(stop))
    await until(lambda: bench.now == 1)
    stop.set()
    async with asyncio.timeout(2):
        await run
    bench.let_go(*bench.claimed)
    await at_work.drain(5)
    assert len(bench.done) == 1
    assert desk.heard == []


async def test_what_does_not_finish_in_time_is_cancelled_and_due_at_once(desk: Desk) -> None:
    job_id = await desk.accept()
    bench = Bench(desk)
    at_work = worker(desk, bench)
    await at_work.run_once()
    await until(lambda: bench.now == 1)
    await at_work.drain(0.01)
    assert (bench.now, bench.done) == (0, [])
    assert desk.heard.named("worker.abandoned") == [{"kind": "submit", "number": 1}]
    assert [task.subject for task in await desk.due("submit")] == [job_id]


async def test_a_task_whose_lease_ran_out_under_us_is_begun_again_only_when_it_has_ended(desk: Desk) -> None:
    """A laptop that slept, a clock that jumped."""
    job_id = await desk.accept()
    bench = Bench(desk)
    busy = worker(desk, bench)
    await busy.run_once()
    await until(lambda: bench.claimed == [job_id])
    desk.clock.pass_seconds(LEASE_MS / 1000 + 1)
    await busy.run_once()
    assert await desk.seconds_until_due("submit") == BACKOFF_MS / 1000
    assert bench.claimed == [job_id]
    assert [fact["subject"] for fact in desk.heard.named("worker.lease_expired")] == [job_id]
    bench.let_go(job_id)
    await busy.drain(5)
    assert bench.done == [job_id]
