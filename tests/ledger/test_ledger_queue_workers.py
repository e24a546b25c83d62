"""Procrastinate's workers on the ledger: whatever becomes of handler, worker or database, no task stays claimed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from ledger.postgres.queue import WorkQueue
from ledger.postgres.store import PostgresStore
from ledger.requests import Kind, Task
from ledger.transitions import queue as work
from tests.conftest import Clock, Heard
from tests.ledger import queues
from tests.ledger.conftest import Opening, Story
from tests.ledger.patience import soon
from tests.postgres.servers import PostgresServer
from work.queue_workers import Promoter, queue_workers

Handler = Callable[[Task], Awaitable[None]]


@pytest.fixture
async def store(opening: Opening) -> PostgresStore:
    return await opening(seconds=1.5)


@contextlib.asynccontextmanager
async def working(
    store: PostgresStore, perform: Handler, heard: Heard, stop_seconds: float = 2
) -> AsyncIterator[asyncio.Task[None]]:
    queue = WorkQueue(store, "poll", perform, emit=heard, concurrency=4)
    running = asyncio.create_task(queue.run(stop_seconds=stop_seconds))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=10)
        assert running.done()


async def due_check(store: PostgresStore, request_id: str = "req-1") -> str:
    """A job to be looked at now."""
    story = Story(store)
    job_id = await story.submit(request_id)
    assert await story.report(job_id, None, request_id=request_id) == "pending"
    return job_id


async def checks(store: PostgresStore) -> list[str]:
    return [status for lock, status in await queues.queued(store) if lock.startswith("poll:")]


async def test_a_task_is_done_at_once_and_gone(store: PostgresStore, heard: Heard) -> None:
    done: list[Task] = []

    async def perform(task: Task) -> None:
        done.append(task)

    async with working(store, perform, heard):
        job_id = await due_check(store)
        await soon("it is done", lambda: is_so(lambda: [task.subject for task in done] == [job_id]))
        await soon("it is gone", lambda: nothing_left(store))
    assert heard == []


async def is_so(condition: Callable[[], bool]) -> bool:
    return condition()


async def nothing_left(store: PostgresStore) -> bool:
    try:
        return await checks(store) == []
    except psycopg.OperationalError:  # it was restarted a moment ago
        return False


async def test_a_handler_that_raises_has_its_task_put_back_and_others_go_on(store: PostgresStore, heard: Heard) -> None:
    done: list[str] = []
    fails = {"first": True}

    async def perform(task: Task) -> None:
        if fails.pop("first", None):
            raise RuntimeError("a bug")
        done.append(task.subject)

    async with working(store, perform, heard):
        ids = {await due_check(store, f"req-{number}") for number in range(3)}
        await soon("all is done", lambda: is_so(lambda: set(done) == ids))
        await soon("all is gone", lambda: nothing_left(store))


async def test_what_is_not_done_when_the_time_to_stop_is_over_is_put_back_at_once(
    store: PostgresStore, heard: Heard
) -> None:
    claimed = asyncio.Event()

    async def perform(task: Task) -> None:
        claimed.set()
        await asyncio.Event().wait()

    async with working(store, perform, heard, stop_seconds=0.1):
        await due_check(store)
        await asyncio.wait_for(claimed.wait(), 5)
        assert await checks(store) == ["doing"]
    assert await checks(store) == ["todo"]


async def test_a_database_that_restarts_is_waited_for_and_nothing_stays_begun(
    store: PostgresStore, server: PostgresServer, heard: Heard
) -> None:
    done: list[str] = []
    claimed, go = asyncio.Event(), asyncio.Event()

    async def perform(task: Task) -> None:
        claimed.set()
        await go.wait()
        done.append(task.subject)

    async with working(store, perform, heard) as running:
        first = await due_check(store)
        await asyncio.wait_for(claimed.wait(), 5)
        await asyncio.to_thread(server.stop)
        go.set()
        await soon("it is done", lambda: is_so(lambda: done == [first]))
        await soon("the worker says that it waits", lambda: is_so(lambda: bool(heard.named("worker.fetch_failed"))))
        await asyncio.to_thread(server.start)
        await soon("it is gone", lambda: nothing_left(store))
        second = await due_check(store, "req-2")
        await soon("the next is done too", lambda: is_so(lambda: done == [first, second]))
        await soon("it is gone too", lambda: nothing_left(store))
        assert not running.done()


async def test_a_task_that_puts_itself_off_comes_again_when_its_time_has_come(
    store: PostgresStore, clock: Clock, heard: Heard
) -> None:
    done: list[int] = []

    async def look(task: Task) -> None:
        done.append(task.tries)
        if len(done) < 3:
            raise RuntimeError("not yet")  # put off, longer each time
        await store.write(work.finish(task))

    kinds: list[tuple[Kind, Handler, int, int]] = [("poll", look, 2, 60_000)]
    at_work, *_ = queue_workers(store, kinds, clock=clock, emit=heard, stop_seconds=2)
    promoter, stop = Promoter(store, clock=clock, emit=heard), asyncio.Event()
    running = asyncio.create_task(at_work.run(stop))
    await due_check(store)
    for number, pause in enumerate((1, 2, 0), start=1):
        await soon("it was tried", lambda number=number: is_so(lambda: len(done) == number))
        await soon("it is off the queue", lambda: nothing_left(store))
        clock.pass_seconds(pause - 0.1)
        await promoter.run_once()
        assert await checks(store) == []
        clock.pass_seconds(0.1)
        await promoter.run_once()
    assert done == [0, 1, 2]
    stop.set()
    await asyncio.wait_for(running, 5)
    await at_work.drain(5)
    assert len(heard.named("worker.task_failed")) == 2
