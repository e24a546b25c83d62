"""The queue on SQLite: what is fetched is nobody else's until its lease ends, by time or because a process begins."""

import pytest

from ledger.requests import Task
from ledger.sqlite.store import SQLiteStore
from ledger.transitions import deliveries, endpoints
from ledger.transitions import queue as work
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.ledger.conftest import Story, ms


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    """Postgres has no leases: there a worker keeps its task for as long as it lives."""
    return sqlite_store


async def test_what_is_fetched_is_fetched_again_when_the_lease_ends(story: Story) -> None:
    job_id = await story.accept()
    [first] = await story.fetch("submit", at=1, until=31)
    assert await story.fetch("submit", at=30) == []
    [second] = await story.fetch("submit", at=31)
    assert (first.subject, second.subject) == (job_id, job_id)
    assert first.lease != second.lease


async def test_a_worker_whose_lease_is_over_can_neither_finish_nor_postpone(story: Story) -> None:
    await story.accept()
    [stale] = await story.fetch("submit", at=1, until=31)
    [current] = await story.fetch("submit", at=31, until=61)
    woken = story.store.due("submit")
    woken.clear()
    await story.store.write(work.finish(stale))
    await story.store.write(work.reschedule(stale, due_at=ms(9_999), failed=True))
    assert not woken.is_set()
    [again] = await story.fetch("submit", at=61)
    assert again.tries == current.tries == 0


async def test_a_worker_that_lost_its_endpoint_cannot_release_it(story: Story) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    await story.submit()

    async def held(at: float) -> Task:
        [task] = await story.fetch("deliver", at=at)
        assert task.subject == SETTINGS_ENDPOINT
        return task

    stale = await held(31)
    current = await held(31 + 60)
    await story.store.write(deliveries.release(stale, now=ms(33)))
    assert await story.fetch("deliver", at=100) == []
    await story.store.write(deliveries.release(current, now=ms(33)))
    await held(100)


async def test_the_oldest_due_comes_first(story: Story) -> None:
    ids = [await story.accept(at=n) for n in (3, 1, 2)]
    fetched = await story.fetch("submit", at=10, limit=2)
    assert {task.subject for task in fetched} == {ids[1], ids[2]}


async def test_at_start_every_lease_and_claim_ends(story: Story) -> None:
    job_id = await story.accept()
    [_] = await story.fetch("submit", at=1, until=1_000)
    await story.begin(job_id, at=1, until=1_000)
    await story.store.write(work.end_leases(now=ms(5)))
    assert [task.subject for task in await story.fetch("submit", at=5)] == [job_id]
    assert (await story.job(job_id)).claimed_until == ms(5)


async def test_ending_leases_at_the_start_wakes_everybody_if_there_were_any(story: Story) -> None:
    events = {kind: story.store.due(kind) for kind in ("submit", "poll", "deliver")}
    await story.accept()
    events["submit"].clear()
    await story.store.write(work.end_leases(now=ms(1)))
    assert not any(event.is_set() for event in events.values())
    await story.fetch("submit", at=1, until=1_000)
    await story.store.write(work.end_leases(now=ms(5)))
    assert all(event.is_set() for event in events.values())
