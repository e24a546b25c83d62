"""The queue on Postgres under a backlog: whoever looks for work finds it at once, and upkeep waits for nobody."""

import asyncio
import time

import pytest

from ledger.postgres.queue import UpkeepQueue, WorkQueue
from ledger.postgres.store import PostgresStore
from ledger.postgres.upkeep import MOST_WAITING, mend, promote
from ledger.requests import Task
from ledger.transitions import endpoints
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.conftest import Heard
from tests.ledger import queues
from tests.ledger.conftest import Story, ms
from tests.ledger.patience import soon

MANY = 5_000
WAITING = """
INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
SELECT '{kind}', '{kind}', '{kind}:' || n, '{kind}:' || n, jsonb_build_object('subject', n::text, 'tries', 0)
FROM generate_series(1, {many}) AS n
"""


@pytest.fixture
def store(postgres_store: PostgresStore) -> PostgresStore:
    return postgres_store


async def test_a_task_is_found_at_once_among_many_that_wait(store: PostgresStore) -> None:
    """Nobody has counted the table yet: Postgres thinks that it is nearly empty, and would join all of it."""
    await queues.ask(store, WAITING.format(kind="submit", many=MANY))
    await queues.fetch(store, "submit", now=0, until=1, limit=1)  # what is read for the first time takes longer
    began = time.perf_counter()
    assert len(await queues.fetch(store, "submit", now=0, until=1, limit=10)) == 10
    assert (time.perf_counter() - began) / 10 < 0.05


async def test_no_more_is_promoted_than_there_is_room_for(store: PostgresStore) -> None:
    await queues.ask(
        store,
        f"INSERT INTO work (kind, subject, due_at) SELECT 'poll', n::text, n FROM generate_series(1, {MANY}) AS n",
    )
    assert await store.write(promote(now=ms(0))) == MOST_WAITING
    assert await store.write(promote(now=ms(0))) == 0
    [task] = await queues.fetch(store, "poll", now=0, until=1, limit=1)
    assert task.subject == "1"  # the longest due
    assert await store.write(promote(now=ms(0))) == 1


async def test_upkeep_does_not_wait_behind_the_work(store: PostgresStore, heard: Heard) -> None:
    await queues.ask(store, WAITING.format(kind="submit", many=50))
    held = asyncio.Event()

    async def perform(_: Task) -> None:
        await held.wait()

    work = WorkQueue(store, "submit", perform, emit=heard, concurrency=2)
    upkeep = UpkeepQueue(store, emit=heard, lease_seconds=60)
    running = [asyncio.create_task(queue.run(stop_seconds=1)) for queue in (work, upkeep)]

    async def nobody_waits_for_upkeep() -> bool:
        ticks = "SELECT 1 FROM procrastinate_periodic_defers"
        left = "SELECT 1 FROM procrastinate_jobs WHERE queue_name = 'upkeep' AND status = 'todo'"
        return bool(await queues.ask(store, ticks)) and not await queues.ask(store, left)

    await soon("the first ticks were dealt with", nobody_waits_for_upkeep)
    held.set()
    for each in running:
        each.cancel()
    await asyncio.wait(running, timeout=10)


async def test_an_endpoint_whose_turn_comes_later_than_what_is_due_to_it_is_mended(
    story: Story, store: PostgresStore
) -> None:
    """Its holder may have let go while the callback that brought the new one was not committed yet."""
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    await story.submit("req-1")
    [task] = await story.fetch("deliver", at=2)
    await story.end(task)
    await queues.ask(
        store, f"INSERT INTO work (kind, subject, due_at) VALUES ('deliver', '{SETTINGS_ENDPOINT}', {ms(18_000)})"
    )
    assert await mend(store) == 1
    assert [each.subject for each in await story.fetch("deliver", at=3)] == [SETTINGS_ENDPOINT]
    assert await mend(store) == 0
