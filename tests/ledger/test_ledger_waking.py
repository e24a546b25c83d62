"""Who is woken: those whose work a transaction made due or due sooner, once it is committed, and nobody for nothing."""

import asyncio
import gc

import pytest

from ledger.postgres.store import PostgresStore
from ledger.requests import Attempted, Task
from ledger.storage.store import Store
from ledger.transitions import deliveries, endpoints, submissions
from ledger.transitions import queue as work
from tests.ledger import queues
from tests.ledger.conftest import Story, ms


class Ears:
    """Somebody who waits for each kind of work. `heard` tells of which there was word since the last time."""

    def __init__(self, store: Store) -> None:
        self._events = {kind: store.due(kind) for kind in ("submit", "poll", "deliver")}

    def heard(self) -> set[str]:
        kinds = {kind for kind, event in self._events.items() if event.is_set()}
        for event in self._events.values():
            event.clear()
        return kinds


@pytest.fixture
async def ears(store: Store) -> Ears:
    """On Postgres, whoever begins to listen is told of everything, because of what he may have missed: here no more."""
    ears = Ears(store)
    if isinstance(store, PostgresStore):
        async with asyncio.timeout(5):
            for kind in ("submit", "poll", "deliver"):
                await store.due(kind).wait()
    ears.heard()
    return ears


async def test_a_verb_that_makes_work_wakes_those_who_wait_for_it_and_nobody_else(
    story: Story, store: Store, ears: Ears
) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    assert ears.heard() == set()
    job_id = await story.accept()
    assert ears.heard() == {"submit"}
    await story.begin(job_id)
    assert ears.heard() == set()
    await story.confirm(job_id)
    assert ears.heard() == {"deliver", "poll"}


async def told(story: Story) -> Task:
    """An endpoint that was told of a job's submission: nothing is pending for it, and somebody still holds it."""
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await story.submit()
    [task] = await story.fetch("deliver", at=2)
    [delivery] = await deliveries.list_deliveries_of_subject(story.store, job_id)
    attempted = Attempted(at=ms(3), latency_ms=1, status=204, error=None, response=b"")
    await story.store.write(deliveries.finish(delivery.id, attempted, "delivered", now=ms(3)))
    return task


async def test_a_callback_for_an_endpoint_that_is_held_wakes_who_holds_it(
    story: Story, store: Store, ears: Ears
) -> None:
    task = await told(story)
    news, news_of_another = store.due(task.subject), store.due("ep_another")
    [job] = await story.fetch("poll", at=1000)
    ears.heard()
    await story.report(job.subject)
    assert ears.heard() == set()
    assert (news.is_set(), news_of_another.is_set()) == (True, False)
    assert len(await deliveries.read_due(store, task.subject, now=ms(31), limit=10)) == 1


async def test_a_callback_for_an_endpoint_that_nobody_holds_wakes_who_tells(
    story: Story, store: Store, ears: Ears
) -> None:
    task = await told(story)
    ears.heard()
    await store.write(deliveries.release(task, now=ms(4)))
    assert ears.heard() == set()  # nothing is pending
    [job] = await story.fetch("poll", at=1000)
    ears.heard()
    await story.report(job.subject)
    assert ears.heard() == {"deliver"}


async def test_a_callback_that_changes_nothing_wakes_nobody(story: Story, store: Store, ears: Ears) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await story.submit()
    await story.report(job_id)
    ears.heard()
    assert await story.report(job_id) == "duplicate"
    assert ears.heard() == set()


async def test_each_endpoint_that_a_delivery_was_made_for_hears_of_it(story: Story, store: Store, ears: Ears) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    one, other = "https://job.example/a", "https://job.example/b"
    first = await story.submit("req-1", notify=(one,))
    await story.submit("req-2", notify=(other,))
    ids = {row["url"]: row["id"] for row in await queues.ask(store, "SELECT url, id FROM endpoints")}
    named = [store.due(each) for each in (endpoints.SETTINGS_ENDPOINT, ids[one], ids[other])]
    await story.report(first)
    assert [event.is_set() for event in named] == [True, True, False]
    for event in named:
        event.clear()
    assert await story.report(first) == "duplicate"
    assert [event.is_set() for event in named] == [False] * 3


async def test_an_event_is_known_as_long_as_somebody_holds_it(store: Store) -> None:
    """An endpoint's would otherwise stay for as long as the process does."""
    event = store.due("ep_1")
    assert store.due("ep_1") is event
    del event
    gc.collect()
    events = store.wakeups._events if isinstance(store, PostgresStore) else store._due  # type: ignore[attr-defined]  # SQLite's is the other one
    assert len(events._events) == 0


async def test_a_report_without_the_result_wakes_who_looks(story: Story, store: Store, ears: Ears) -> None:
    job_id = await story.submit()
    ears.heard()
    assert await story.report(job_id, None) == "pending"
    assert ears.heard() == {"poll"}


async def test_an_endpoint_let_go_with_something_pending_wakes_who_tells(
    story: Story, store: Store, ears: Ears
) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    [delivery] = await deliveries.list_deliveries_of_subject(store, await story.submit())
    [task] = await story.fetch("deliver", at=2)
    attempted = Attempted(at=ms(3), latency_ms=1, status=500, error=None, response=b"")
    await store.write(deliveries.retry(delivery.id, attempted, due_at=ms(40)))
    ears.heard()
    await store.write(deliveries.release(task, now=ms(4)))
    assert ears.heard() == {"deliver"}
    [task] = await story.fetch("deliver", at=40)
    ears.heard()
    await store.write(deliveries.release(task, now=ms(41)))  # it is overdue
    assert ears.heard() == {"deliver"}


async def test_a_replay_wakes_who_tells_unless_it_was_none(story: Story, store: Store, ears: Ears) -> None:
    task = await told(story)
    await store.write(deliveries.release(task, now=ms(4)))
    job_id = await story.submit("req-2", at=5)
    [delivery] = await deliveries.list_deliveries_of_subject(store, job_id)
    refused = Attempted(at=ms(6), latency_ms=1, status=500, error=None, response=b"")
    [task] = await story.fetch("deliver", at=6)
    await store.write(deliveries.finish(delivery.id, refused, "dead", now=ms(6), reason="ten attempts failed"))
    await store.write(deliveries.release(task, now=ms(7)))
    [dead] = await deliveries.list_deliveries_of_subject(store, job_id)
    ears.heard()
    assert await store.write(deliveries.replay([dead], now=ms(8)))
    assert ears.heard() == {"deliver"}
    assert not await store.write(deliveries.replay([dead], now=ms(9)))
    assert ears.heard() == set()


async def test_who_puts_off_what_he_holds_wakes_his_kind(story: Story, store: Store, ears: Ears) -> None:
    """A worker sleeps towards the lease's end, and this comes sooner."""
    await story.accept()
    [task] = await story.fetch("submit", at=1)
    claim = await story.begin(task.subject, at=2)
    ears.heard()
    await store.write(submissions.return_to_accepted(task, claim=claim, now=ms(3), due_at=ms(4)))
    assert ears.heard() == {"submit"}


async def test_a_worker_whose_lease_has_ended_wakes_no_other(story: Story, store: Store, ears: Ears) -> None:
    await story.accept()
    [stale] = await story.fetch("submit", at=1, until=31)
    await story.fetch("submit", at=31)
    ears.heard()
    await store.write(work.reschedule(stale, due_at=ms(32), failed=True))
    assert ears.heard() == set()
