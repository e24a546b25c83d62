"""Workers: their concurrency, their leases, and what wakes them."""

import asyncio

import pytest

from ledger.transitions import queue as work
from tests.database import ON_BOTH_DATABASES
from tests.ledger.waiting import wait_until
from tests.outbound.loopback import until
from tests.submitter.gated_handler import LONGEST, FetchCounter, GatedHandler, make_worker, running
from tests.submitter.harness import Harness
from work import worker as workers
from work.worker import LEASE_MS, LONGEST_WAIT_MS

pytestmark = ON_BOTH_DATABASES


def longest_wait(harness: Harness) -> int:
    """Return how long an idle worker waits, in ms: other processes may enqueue work on Postgres."""
    return min(LONGEST_WAIT_MS, harness.store.poll_ms)


async def test_at_most_the_concurrency_is_handled_at_once(harness: Harness) -> None:
    jobs = [await harness.accept() for _ in range(10)]
    handler = GatedHandler(harness)
    async with running(make_worker(harness, handler, concurrency=3)):
        for number, _ in enumerate(jobs, start=1):
            await until(lambda: handler.now == min(3, len(jobs) - len(handler.done)))
            handler.release(next(job for job in handler.claimed if not handler.gates[job].is_set()))
            await until(lambda: len(handler.done) == number)  # noqa: B023 - awaited in the same iteration
    assert handler.most == 3
    assert sorted(handler.done) == sorted(jobs)
    assert len(handler.claimed) == 10


async def test_one_slow_task_does_not_delay_the_others(harness: Harness) -> None:
    slow, *others = [await harness.accept() for _ in range(6)]
    handler = GatedHandler(harness)
    handler.gates |= {job: asyncio.Event() for job in others}
    handler.release(*others)
    async with running(make_worker(harness, handler, concurrency=2)):
        await until(lambda: len(handler.done) == 5)
        assert slow not in handler.done
        handler.release(slow)
        await until(lambda: len(handler.done) == 6)


async def test_only_as_many_tasks_are_fetched_as_there_are_free_places(
    harness: Harness, fetch_counter: FetchCounter
) -> None:
    jobs = [await harness.accept() for _ in range(3)]
    handler = GatedHandler(harness)
    worker = make_worker(harness, handler, concurrency=2)
    assert await worker.run_once() == 0  # there may be more
    assert await worker.run_once() == longest_wait(harness)  # but no free place for it
    assert fetch_counter.fetches == 1
    await until(lambda: handler.now == 2)
    harness.store.due("submit").clear()
    handler.release(*handler.claimed)
    await until(harness.store.due("submit").is_set)
    await until(lambda: len(handler.done) == 2 and not worker._running)
    assert await worker.run_once() == min(LEASE_MS, longest_wait(harness))  # the end of the lease just fetched
    await until(lambda: len(handler.claimed) == 3)
    assert set(handler.claimed) == set(jobs)
    await worker.drain(0)


async def test_it_sleeps_until_a_task_is_due(harness: Harness) -> None:
    worker = make_worker(harness, GatedHandler(harness))
    assert await worker.run_once() == longest_wait(harness)
    await harness.accept()
    [task] = await harness.due("submit")
    for due_in, wait in ((2_000, 2_000), (10 * LONGEST_WAIT_MS, longest_wait(harness))):
        await harness.store.write(work.reschedule(task, due_at=harness.clock() + due_in, failed=False))
        assert await worker.run_once() == wait
        harness.clock.pass_seconds(due_in / 1000)
        [task] = await harness.due("submit")


async def test_a_lease_is_renewed_while_its_handler_runs_until_the_longest_time(harness: Harness) -> None:
    job_id = await harness.accept()
    handler = GatedHandler(harness)
    worker = make_worker(harness, handler)
    await worker.run_once()
    for _ in range(LONGEST // 10_000):
        harness.clock.pass_seconds(10)
        await worker.renew_once()
        assert await harness.due("submit") == []
    harness.clock.pass_seconds(10)
    await worker.renew_once()
    assert [task.subject for task in await harness.due("submit")] == [job_id]
    await worker.drain(0)


async def test_a_running_worker_renews_leases(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RENEW_SECONDS", 0.001)
    await harness.accept()
    handler = GatedHandler(harness)
    async with running(make_worker(harness, handler)):
        await until(lambda: handler.now == 1)
        harness.clock.pass_seconds(10)
        ends = LEASE_MS / 1000

        async def renewed() -> bool:
            return await harness.seconds_until_due("submit") == ends

        await wait_until("the lease is renewed", renewed)


async def test_it_wakes_by_itself_when_a_task_becomes_due(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LONGEST_WAIT_MS", 20)
    await harness.accept()
    [task] = await harness.due("submit")
    handler = GatedHandler(harness)
    async with running(make_worker(harness, handler)):
        await harness.store.write(work.reschedule(task, due_at=harness.clock() + 5_000, failed=False))
        assert handler.claimed == []
        harness.clock.pass_seconds(5)
        await until(lambda: len(handler.claimed) == 1)
