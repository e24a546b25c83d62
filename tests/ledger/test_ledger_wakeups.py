"""Wake-ups: a commit that makes work due, or due sooner, sets the events of its kind or endpoint, and no others."""

import asyncio
import gc

import pytest

from ledger.postgres.store import PostgresStore
from ledger.requests import Attempted, Task
from ledger.storage.store import Store
from ledger.transitions import deliveries, endpoints, submissions
from ledger.transitions import queue as work
from tests.ledger import queues
from tests.ledger.conftest import UNREAD, Scenario, ms


class Woken:
    """The events of each kind of work. `collect` returns the kinds whose events were set, and clears them."""

    def __init__(self, store: Store) -> None:
        self._events = {kind: store.due(kind) for kind in ("submit", "poll", "deliver")}

    def collect(self) -> set[str]:
        kinds = {kind for kind, event in self._events.items() if event.is_set()}
        for event in self._events.values():
            event.clear()
        return kinds


@pytest.fixture
async def woken(store: Store) -> Woken:
    """The events, after the first ones: on Postgres all are set when a process begins to listen."""
    woken = Woken(store)
    if isinstance(store, PostgresStore):
        async with asyncio.timeout(5):
            for kind in ("submit", "poll", "deliver"):
                await store.due(kind).wait()
    woken.collect()
    return woken


async def test_a_transaction_wakes_the_workers_of_the_work_that_it_makes(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    assert woken.collect() == set()
    job_id = await scenario.accept()
    assert woken.collect() == {"submit"}
    await scenario.begin(job_id)
    assert woken.collect() == set()
    await scenario.confirm(job_id)
    assert woken.collect() == {"deliver", "poll"}


async def held_endpoint(scenario: Scenario) -> Task:
    """Return the leased task of an endpoint whose only delivery was delivered."""
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.submit()
    [task] = await scenario.fetch("deliver", at=2)
    [delivery] = await deliveries.list_deliveries_of_subject(scenario.store, job_id)
    attempted = Attempted(at=ms(3), latency_ms=1, status=204, error=None, response=b"")
    await scenario.store.write(deliveries.finish(delivery.id, attempted, "delivered", now=ms(3)))
    return task


async def test_a_callback_for_a_leased_endpoint_wakes_its_worker_only(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    task = await held_endpoint(scenario)
    event, event_of_another = store.due(task.subject), store.due("ep_another")
    [job] = await scenario.fetch("poll", at=1000)
    woken.collect()
    await scenario.report(job.subject)
    assert woken.collect() == set()
    assert (event.is_set(), event_of_another.is_set()) == (True, False)
    assert len(await deliveries.read_due(store, task.subject, now=ms(31), limit=10)) == 1


async def test_a_callback_for_an_endpoint_without_a_lease_wakes_a_deliver_worker(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    task = await held_endpoint(scenario)
    woken.collect()
    await store.write(deliveries.release(task, now=ms(4)))
    assert woken.collect() == set()  # nothing is pending
    [job] = await scenario.fetch("poll", at=1000)
    woken.collect()
    await scenario.report(job.subject)
    assert woken.collect() == {"deliver"}


async def test_a_duplicate_callback_wakes_no_worker(scenario: Scenario, store: Store, woken: Woken) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.submit()
    await scenario.report(job_id)
    woken.collect()
    assert await scenario.report(job_id) == "duplicate"
    assert woken.collect() == set()


async def test_a_delivery_sets_the_event_of_its_endpoint(scenario: Scenario, store: Store, woken: Woken) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    one, other = "https://job.example/a", "https://job.example/b"
    first = await scenario.submit("req-1", notify=(one,))
    await scenario.submit("req-2", notify=(other,))
    ids = {row["url"]: row["id"] for row in await queues.ask(store, "SELECT url, id FROM endpoints")}
    named = [store.due(each) for each in (endpoints.SETTINGS_ENDPOINT, ids[one], ids[other])]
    await scenario.report(first)
    assert [event.is_set() for event in named] == [True, True, False]
    for event in named:
        event.clear()
    assert await scenario.report(first) == "duplicate"
    assert [event.is_set() for event in named] == [False] * 3


async def test_an_event_is_kept_only_while_a_caller_holds_it(store: Store) -> None:
    """Or those of all endpoints would be kept until the process ends."""
    event = store.due("ep_1")
    assert store.due("ep_1") is event
    del event
    gc.collect()
    events = store.wakeups._events if isinstance(store, PostgresStore) else store._due  # type: ignore[attr-defined]  # the attribute of SQLiteStore
    assert len(events._events) == 0


async def test_a_report_without_a_result_wakes_a_poll_worker(scenario: Scenario, store: Store, woken: Woken) -> None:
    job_id = await scenario.submit()
    woken.collect()
    assert await scenario.report(job_id, None) == "pending"
    assert woken.collect() == {"poll"}


async def test_releasing_an_endpoint_with_pending_deliveries_wakes_a_deliver_worker(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    [delivery] = await deliveries.list_deliveries_of_subject(store, await scenario.submit())
    [task] = await scenario.fetch("deliver", at=2)
    attempted = Attempted(at=ms(3), latency_ms=1, status=500, error=None, response=b"")
    await store.write(deliveries.retry(delivery.id, attempted, due_at=ms(40)))
    woken.collect()
    await store.write(deliveries.release(task, now=ms(4)))
    assert woken.collect() == {"deliver"}
    [task] = await scenario.fetch("deliver", at=40)
    woken.collect()
    await store.write(deliveries.release(task, now=ms(41)))  # it is overdue
    assert woken.collect() == {"deliver"}


async def test_a_replay_wakes_a_deliver_worker_if_it_changes_the_delivery(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    task = await held_endpoint(scenario)
    await store.write(deliveries.release(task, now=ms(4)))
    job_id = await scenario.submit("req-2", at=5)
    [delivery] = await deliveries.list_deliveries_of_subject(store, job_id)
    refused = Attempted(at=ms(6), latency_ms=1, status=500, error=None, response=b"")
    [task] = await scenario.fetch("deliver", at=6)
    await store.write(deliveries.finish(delivery.id, refused, "dead", now=ms(6), reason="ten attempts failed"))
    await store.write(deliveries.release(task, now=ms(7)))
    [dead] = await deliveries.list_deliveries_of_subject(store, job_id)
    woken.collect()
    assert await store.write(deliveries.replay([dead], now=ms(8)))
    assert woken.collect() == {"deliver"}
    assert not await store.write(deliveries.replay([dead], now=ms(9)))
    assert woken.collect() == set()


async def test_rescheduling_a_leased_task_wakes_a_worker_of_its_kind(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    """Idle workers sleep until the lease ends, and the task is due sooner now."""
    await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    claim = await scenario.begin(task.subject, at=2)
    woken.collect()
    await store.write(submissions.return_to_accepted(task, claim=claim, error=UNREAD, now=ms(3), due_at=ms(4)))
    assert woken.collect() == {"submit"}


async def test_rescheduling_after_the_end_of_the_lease_wakes_no_worker(
    scenario: Scenario, store: Store, woken: Woken
) -> None:
    await scenario.accept()
    [stale] = await scenario.fetch("submit", at=1, until=31)
    await scenario.fetch("submit", at=31)
    woken.collect()
    await store.write(work.reschedule(stale, due_at=ms(32), failed=True))
    assert woken.collect() == set()
