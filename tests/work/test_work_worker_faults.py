"""Workers after faults of a task and of the database, and at shutdown."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.requests import Task
from ledger.storage.transaction import Transaction
from ledger.transitions import queue as work
from tests.database import ON_BOTH_DATABASES
from tests.ledger import queues
from tests.ledger.waiting import wait_until
from tests.outbound.loopback import until
from tests.submitter.gated_handler import FetchCounter, GatedHandler, make_worker, running
from tests.submitter.harness import Harness
from work import worker as workers
from work.worker import BACKOFF_MS, LEASE_MS, LONGEST_BACKOFF_MS

pytestmark = ON_BOTH_DATABASES


async def test_a_failed_task_is_rescheduled_with_backoff_and_emitted(harness: Harness) -> None:
    job_id = await harness.accept()

    async def fails(_: Task) -> None:
        raise RuntimeError("a bug")

    waits = []
    for _ in range(12):
        worker = make_worker(harness, fails)
        await worker.run_once()
        await worker.drain(5)
        waits.append(await harness.seconds_until_due("submit") or 0)
        harness.clock.pass_seconds(waits[-1])
    assert waits[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[9:]) == {LONGEST_BACKOFF_MS / 1000}
    [event, *_] = harness.emitted.named("worker.task_failed")
    assert event == {"kind": "submit", "subject": job_id, "error": "RuntimeError('a bug')"}


async def test_fetching_is_repeated_until_the_database_answers(
    harness: Harness, fetch_counter: FetchCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "BACKOFF_MS", 5)
    fetch_counter.faults = 3
    job_id = await harness.accept()
    handler = GatedHandler(harness)
    async with running(make_worker(harness, handler)):
        await until(lambda: handler.claimed == [job_id])
    assert len(harness.emitted.named("worker.fetch_failed")) == 3
    assert "disk is full" in str(harness.emitted[0][1]["error"])


async def test_a_task_that_cannot_be_rescheduled_is_due_when_its_lease_ends(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.accept()

    async def full(_: Transaction[object]) -> None:
        raise Unavailable("the disk is full")

    async def fails(_: Task) -> None:
        monkeypatch.setattr(harness.store, "write", full)
        raise RuntimeError("a bug")

    await make_worker(harness, fails).run_once()
    await until(lambda: harness.emitted.named("worker.reschedule_failed"))
    assert await harness.seconds_until_due("submit") == LEASE_MS / 1000


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_worker_without_free_places_stops_at_once(concurrency: int, harness: Harness) -> None:
    await harness.accept()
    handler = GatedHandler(harness)
    worker = make_worker(harness, handler, concurrency=concurrency)
    stop = asyncio.Event()
    run = asyncio.ensure_future(worker.run(stop))
    await until(lambda: handler.now == 1)
    stop.set()
    async with asyncio.timeout(2):
        await run
    handler.release(*handler.claimed)
    await worker.drain(5)
    assert len(handler.done) == 1
    assert harness.emitted == []


async def test_a_task_not_finished_in_time_is_left_to_the_end_of_its_lease(harness: Harness) -> None:
    job_id = await harness.accept()
    handler = GatedHandler(harness)
    worker = make_worker(harness, handler)
    await worker.run_once()
    await until(lambda: handler.now == 1)
    await worker.drain(0.01)
    assert (handler.now, handler.done) == (0, [])
    assert harness.emitted.named("worker.tasks_abandoned") == [{"kind": "submit", "number": 1}]
    assert [task.subject for task in await harness.due("submit")] == [job_id]


async def test_a_task_whose_lease_expired_is_not_started_twice_in_one_worker(harness: Harness) -> None:
    """After a suspended machine or a clock that jumped, the first run goes on alone."""
    job_id = await harness.accept()
    handler = GatedHandler(harness)
    busy = make_worker(harness, handler)
    await busy.run_once()
    await until(lambda: handler.claimed == [job_id])
    harness.clock.pass_seconds(LEASE_MS / 1000 + 1)
    await busy.run_once()
    assert await harness.seconds_until_due("submit") == BACKOFF_MS / 1000
    assert handler.claimed == [job_id]
    assert [event["subject"] for event in harness.emitted.named("worker.lease_expired")] == [job_id]
    handler.release(job_id)
    await busy.drain(5)
    assert handler.done == [job_id]


async def test_an_unforeseen_exception_ends_neither_fetching_nor_renewing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "BACKOFF_MS", 5)
    monkeypatch.setattr(workers, "RENEW_SECONDS", 0.005)
    write, bugs = harness.store.write, {"fetch_work": 2, "renew_lease": 2}

    async def buggy(transaction: Transaction[object]) -> object:
        statement = transaction.steps[0].statement
        if bugs.get(statement):
            bugs[statement] -= 1
            raise KeyError("a bug")
        return await write(transaction)

    monkeypatch.setattr(harness.store, "write", buggy)
    await harness.accept()
    handler = GatedHandler(harness)
    async with running(make_worker(harness, handler)):
        await until(lambda: handler.now == 1)
        await until(lambda: bugs["renew_lease"] == 0)
        harness.clock.pass_seconds(10)

        async def renewed() -> bool:
            return await harness.seconds_until_due("submit") == LEASE_MS / 1000

        await wait_until("the lease is renewed", renewed)
    for event in ("worker.fetch_failed", "worker.renew_failed"):
        assert [each["error"] for each in harness.emitted.named(event)] == ["KeyError('a bug')"] * 2


async def test_a_task_that_is_given_back_at_shutdown_keeps_its_tries(harness: Harness) -> None:
    await harness.accept()
    [task] = await harness.due("submit")
    for _ in range(3):
        await harness.store.write(work.reschedule(task, due_at=harness.clock(), failed=True))
        [task] = await harness.due("submit")
    await harness.store.write(work.give_back([task], due_at=harness.clock()))
    worker = make_worker(harness, GatedHandler(harness))
    await worker.run_once()
    await worker.drain(0)
    [task] = await harness.due("submit")
    assert task.tries == 3


async def test_a_task_that_is_recalled_while_it_runs_is_no_expired_lease(harness: Harness) -> None:
    job_id = await harness.accept()
    handler = GatedHandler(harness)
    worker = make_worker(harness, handler)
    await worker.run_once()
    await queues.ask(harness.store, f"UPDATE work SET lease = NULL, due_at = {harness.clock()}")  # as a callback does
    await worker.run_once()
    assert harness.emitted.named("worker.lease_expired") == []
    harness.clock.pass_seconds(LEASE_MS / 1000)
    await worker.run_once()
    assert [event["subject"] for event in harness.emitted.named("worker.lease_expired")] == [job_id]
    assert handler.claimed == [job_id]
    await worker.drain(0)
