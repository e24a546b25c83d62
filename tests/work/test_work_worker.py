"""Workers: so much at once and no more, and asleep when nothing is due."""

import asyncio

import pytest

from ledger.storage.transaction import Rows
from ledger.transitions import queue as work
from tests.ledger.patience import soon
from tests.outbound.loopback import until
from tests.submitter.bench import LONGEST, Bench, Counting, running, worker
from tests.submitter.harness import Harness
from work import worker as workers
from work.worker import LEASE_MS, LONGEST_WAIT_MS


async def test_no_more_than_its_share_is_under_way_and_all_gets_done(harness: Harness) -> None:
    jobs = [await harness.accept() for _ in range(10)]
    bench = Bench(harness)
    async with running(worker(harness, bench, concurrency=3)):
        for number, _ in enumerate(jobs, start=1):
            await until(lambda: bench.now == min(3, len(jobs) - len(bench.done)))
            bench.let_go(next(job for job in bench.claimed if not bench.gates[job].is_set()))
            await until(lambda number=number: len(bench.done) == number)
    assert bench.most == 3
    assert sorted(bench.done) == sorted(jobs)
    assert len(bench.claimed) == 10


async def test_one_slow_task_does_not_hold_up_the_others(harness: Harness) -> None:
    slow, *others = [await harness.accept() for _ in range(6)]
    bench = Bench(harness)
    bench.gates |= {job: asyncio.Event() for job in others}
    bench.let_go(*others)
    async with running(worker(harness, bench, concurrency=2)):
        await until(lambda: len(bench.done) == 5)
        assert slow not in bench.done
        bench.let_go(slow)
        await until(lambda: len(bench.done) == 6)


async def test_just_as_many_as_fit_are_fetched_and_the_next_when_one_is_done(
    harness: Harness, counting: Counting
) -> None:
    jobs = [await harness.accept() for _ in range(3)]
    bench = Bench(harness)
    at_work = worker(harness, bench, concurrency=2)
    assert await at_work.run_once() == 0  # there may be more
    assert await at_work.run_once() == LONGEST_WAIT_MS  # but no room for it
    assert counting.fetches == 1
    await until(lambda: bench.now == 2)
    harness.store.due("submit").clear()
    bench.let_go(*bench.claimed)
    await until(harness.store.due("submit").is_set)
    await until(lambda: bench.now == 0)
    assert await at_work.run_once() == LEASE_MS  # the end of the lease just fetched
    await until(lambda: len(bench.claimed) == 3)
    assert set(bench.claimed) == set(jobs)
    await at_work.drain(0)


async def test_it_sleeps_until_something_is_due(harness: Harness) -> None:
    at_work = worker(harness, Bench(harness))
    assert await at_work.run_once() == LONGEST_WAIT_MS
    await harness.accept()
    [task] = await harness.due("submit")
    for due_in, nap in ((7_000, 7_000), (10 * LONGEST_WAIT_MS, LONGEST_WAIT_MS)):
        await harness.store.write(work.reschedule(task, due_at=harness.clock() + due_in, failed=False))
        assert await at_work.run_once() == nap
        harness.clock.pass_seconds(due_in / 1000)
        [task] = await harness.due("submit")


async def test_idle_it_asks_the_ledger_once_and_wakes_for_what_is_accepted(
    harness: Harness, counting: Counting
) -> None:
    bench = Bench(harness)
    reads = 0
    read = harness.store.read

    async def counted(statement: str, values: dict[str, object]) -> Rows:
        nonlocal reads
        reads += 1
        return await read(statement, values)

    harness.store.read = counted  # type: ignore[assignment,method-assign]
    async with running(worker(harness, bench)):
        await until(lambda: reads == 1)
        for _ in range(200):
            await asyncio.sleep(0)
        assert (counting.fetches, reads) == (1, 1)
        job_id = await harness.accept()
        await until(lambda: bench.claimed == [job_id])
        await until(lambda: reads == 2)
        for _ in range(200):
            await asyncio.sleep(0)
        assert counting.fetches == 2


async def test_a_lease_is_renewed_while_its_handler_runs_until_the_longest_time(harness: Harness) -> None:
    job_id = await harness.accept()
    bench = Bench(harness)
    at_work = worker(harness, bench)
    await at_work.run_once()
    for _ in range(LONGEST // 10_000):
        harness.clock.pass_seconds(10)
        await at_work.renew_once()
        assert await harness.due("submit") == []
    harness.clock.pass_seconds(10)
    await at_work.renew_once()
    assert [task.subject for task in await harness.due("submit")] == [job_id]
    await at_work.drain(0)


async def test_a_running_worker_renews_leases(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RENEW_SECONDS", 0.001)
    await harness.accept()
    bench = Bench(harness)
    async with running(worker(harness, bench)):
        await until(lambda: bench.now == 1)
        harness.clock.pass_seconds(10)
        ends = LEASE_MS / 1000

        async def renewed() -> bool:
            return await harness.seconds_until_due("submit") == ends

        await soon("the lease is renewed", renewed)


async def test_it_wakes_by_itself_when_something_comes_due(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LONGEST_WAIT_MS", 20)
    await harness.accept()
    [task] = await harness.due("submit")
    bench = Bench(harness)
    async with running(worker(harness, bench)):
        await harness.store.write(work.reschedule(task, due_at=harness.clock() + 5_000, failed=False))
        assert bench.claimed == []
        harness.clock.pass_seconds(5)
        await until(lambda: len(bench.claimed) == 1)
