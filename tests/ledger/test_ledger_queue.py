"""The queue on Postgres: what is due is Procrastinate's, what is due later our own table's, and nothing is lost."""

import asyncio
from typing import Any

import psycopg
import pytest

from ledger.postgres import upkeep
from ledger.postgres.store import PostgresStore, open_postgres
from ledger.postgres.upkeep import mend, next_due, promote, recover
from ledger.requests import NewJob, Report
from ledger.storage.transaction import Call, Transaction
from ledger.transitions import deliveries, endpoints, jobs, outcomes, submissions
from ledger.transitions import queue as work
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.conftest import NOON
from tests.ledger import queues
from tests.ledger.conftest import Story, ms
from tests.ledger.patience import soon

TELL = f"deliver:{SETTINGS_ENDPOINT}"
REFUSED = deliveries.Attempted(at=ms(3), latency_ms=1, status=500, error=None, response=b"")


@pytest.fixture
def store(postgres_store: PostgresStore) -> PostgresStore:
    return postgres_store


async def later(story: Story) -> list[tuple[str, str]]:
    rows = await queues.ask(story.store, "SELECT kind, subject FROM work ORDER BY due_at")
    return [(row["kind"], row["subject"]) for row in rows]


async def tell(story: Story) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))


async def test_one_task_about_a_subject_waits_and_one_is_done(story: Story) -> None:
    await tell(story)
    await story.submit("req-1")
    await story.submit("req-2")
    tasks = [each for each in await queues.queued(story.store) if each[0] == TELL]
    assert tasks == [(TELL, "todo")]
    [first] = await story.fetch("deliver", at=2)
    for number in range(3, 6):
        await story.submit(f"req-{number}")
    tasks = [each for each in await queues.queued(story.store) if each[0] == TELL]
    assert tasks == [(TELL, "doing"), (TELL, "todo")]
    assert await story.fetch("deliver", at=3) == []
    await story.end(first)
    assert len(await story.fetch("deliver", at=3)) == 1


async def test_a_task_that_waits_is_not_even_locked_by_another_callback(
    story: Story, store: PostgresStore, ledger_url: str
) -> None:
    await tell(story)
    await story.submit("req-1")
    with psycopg.connect(ledger_url) as other:
        other.execute("SELECT 1 FROM procrastinate_jobs WHERE lock = %s FOR UPDATE", (TELL,))
        await asyncio.wait_for(story.submit("req-2"), 1)


async def test_what_waits_for_a_later_time_is_brought_forward(story: Story) -> None:
    await tell(story)
    [delivery] = await deliveries.list_deliveries_of_subject(story.store, await story.submit())
    [task] = await story.fetch("deliver", at=2)
    await story.store.write(deliveries.retry(delivery.id, REFUSED, due_at=ms(1_000)))
    await story.store.write(deliveries.release(task, now=ms(3)))
    await story.end(task)
    assert ("deliver", SETTINGS_ENDPOINT) in await later(story)
    await story.submit("req-2", at=4)
    assert ("deliver", SETTINGS_ENDPOINT) not in await later(story)
    assert len(await story.fetch("deliver", at=4)) == 1


async def test_what_was_put_off_twice_comes_at_the_sooner_time_and_counts_its_tries(story: Story) -> None:
    await story.accept()
    [task] = await story.fetch("submit", at=1)
    for due_at in (50, 20, 90):
        await story.store.write(work.reschedule(task, due_at=ms(due_at), failed=True))
    await story.end(task)
    assert await next_due(story.store) == ms(20)
    [task] = await story.fetch("submit", at=20)
    assert task.tries == 1


async def test_what_is_not_being_done_can_neither_be_put_off_nor_released(story: Story) -> None:
    await tell(story)
    job_id = await story.submit()
    [task] = await story.fetch("deliver", at=2)
    [submit] = await story.fetch("submit", at=2)
    await story.end(task)
    await story.end(submit)
    await story.store.write(work.reschedule(submit, due_at=ms(9), failed=True))
    await story.store.write(deliveries.release(task, now=ms(9)))
    assert await later(story) == [("poll", job_id)]
    assert await queues.queued(story.store) == []


async def test_a_callback_that_ends_a_job_takes_what_was_due_later(story: Story) -> None:
    """What was due already is left to its worker, who sees that the job ended."""
    job_id = await story.submit()
    assert await later(story) == [("poll", job_id)]
    await story.report(job_id)
    assert await later(story) == []
    [left] = await story.fetch("submit", at=1_000)
    claimed = await story.store.write(submissions.claim(left.subject, now=ms(1_000), until=ms(1_060)))
    assert claimed.claim is None


async def test_what_has_come_due_is_promoted_once_by_whoever_looks(story: Story, ledger_url: str) -> None:
    ids = [await story.submit(f"req-{number}") for number in range(50)]
    assert await later(story) == [("poll", each) for each in ids]
    other = await open_postgres(ledger_url, now=NOON, connections=3, seconds=5)
    promoting = [store.write(promote(now=ms(61))) for store in (story.store, other) for _ in range(3)]
    await asyncio.gather(*promoting)
    await other.close()
    assert await later(story) == []
    tasks = await story.fetch("poll", at=61)
    assert sorted(task.subject for task in tasks) == sorted(ids)


async def test_what_a_dead_worker_had_is_put_back(story: Story, store: PostgresStore) -> None:
    job_id = await story.accept()
    [lost] = await story.fetch("submit", at=1)
    assert await store.write(recover(lease_seconds=60)) == 0  # he lives
    await queues.bury_workers(store)
    woken = store.due("submit")
    woken.clear()
    assert await store.write(recover(lease_seconds=60)) == 1
    assert woken.is_set()
    [again] = await story.fetch("submit", at=2)
    assert (again.subject, again.lease) == (job_id, lost.lease)


async def test_what_any_worker_has_had_for_too_long_is_put_back(story: Story, store: PostgresStore) -> None:
    """Nobody knows of it: the answer to its fetch was lost."""
    await story.accept()
    await story.fetch("submit", at=1)
    await queues.ask(store, "UPDATE procrastinate_events SET at = at - interval '61 seconds'")
    assert await store.write(recover(lease_seconds=70)) == 0
    assert await store.write(recover(lease_seconds=60)) == 1


async def test_what_a_dead_worker_had_is_dropped_when_the_next_is_in_its_place(
    story: Story, store: PostgresStore
) -> None:
    await tell(story)
    await story.submit("req-1")
    await story.fetch("deliver", at=1)
    await story.submit("req-2")
    await queues.bury_workers(store)
    await store.write(recover(lease_seconds=60))
    assert [each for each in await queues.queued(store) if each[0] == TELL] == [(TELL, "todo")]


async def test_mending_gives_a_task_to_what_has_none_and_to_nothing_else(story: Story, store: PostgresStore) -> None:
    await tell(story)
    accepted, submitted = await story.accept(), await story.submit("req-1")
    ended = await story.submit("req-2")
    await story.report(ended, request_id="req-2")
    assert await mend(store) == 0
    for table in ("procrastinate_jobs", "work"):
        await queues.ask(store, f"DELETE FROM {table}")
    assert await mend(store) == 3
    assert set(await queues.queued(store)) == {
        (f"submit:{accepted}", "todo"),
        (f"poll:{submitted}", "todo"),
        (TELL, "todo"),
    }
    for kind in ("submit", "poll", "deliver"):
        await story.fetch(kind, at=1)  # type: ignore[arg-type]  # the three kinds
    assert await mend(store) == 0


async def test_mending_goes_on_from_page_to_page(
    story: Story, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PAGE", 3)
    for number in range(8):
        await story.submit(f"req-{number}", notify=(f"https://user.example/{number}",))
    for table in ("procrastinate_jobs", "work"):
        await queues.ask(store, f"DELETE FROM {table}")
    assert await mend(store) == 16
    assert await mend(store) == 0


async def test_nul_is_kept_out_of_texts_and_in_the_bytes_of_a_receipt(story: Story) -> None:
    job_id = await story.submit(input='{"x": "a\0b"}', metadata='{"y": "\0"}')
    assert (await story.job(job_id)).input == '{"x": "a\ufffdb"}'
    report = Report(
        job_id=job_id,
        provider="fal",
        source="callback",
        request_id="req-1",
        outcome=None,
        headers='{"a": "\0"}',
        body=b"\0",
    )
    assert await story.store.write(outcomes.record(report, now=ms(5))) == "pending"
    [receipt] = await jobs.list_receipts(story.store, job_id)
    assert receipt.body == b"\0"


def locking(*endpoints: str) -> Transaction[Any]:
    """Lock endpoints one after the other, and accept a job."""
    put = endpoints.put_settings_endpoint("https://u.example/", now=NOON)
    steps = [Call("put_settings_endpoint", {**put.values, "endpoint_id": each}) for each in endpoints]
    accepted = jobs.accept(NewJob(provider="fal", model="a/b", input="{}"), now=NOON)
    return Transaction(steps=(*steps, *accepted.steps), values=accepted.values, read=list)


async def test_two_processes_that_lock_each_other_out_are_both_written_once(
    store: PostgresStore, ledger_url: str
) -> None:
    one, other = [await open_postgres(ledger_url, now=NOON, connections=3, seconds=10) for _ in range(2)]
    await store.write(locking("ep_a", "ep_b", "ep_gate_1", "ep_gate_2"))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(ledger_url) as gate:
        gate.execute("SELECT 1 FROM endpoints WHERE id LIKE 'ep_gate%' FOR UPDATE")
        writes = [
            asyncio.create_task(one.write(locking("ep_a", "ep_gate_1", "ep_b"))),
            asyncio.create_task(other.write(locking("ep_b", "ep_gate_2", "ep_a"))),
        ]

        async def both_wait() -> bool:
            return len(await queues.ask(store, waiting)) == 2

        await soon("each holds what the other wants", both_wait)
    await asyncio.gather(*writes)
    assert len(await jobs.list_jobs(store, limit=100)) == 3
    await asyncio.gather(one.close(), other.close())

    async def was_one() -> bool:
        [row] = await queues.ask(store, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return bool(row["deadlocks"])

    await soon("Postgres has counted a deadlock", was_one)


async def test_a_worker_puts_back_what_it_was_given_and_never_heard_of(story: Story, store: PostgresStore) -> None:
    for _ in range(3):
        await story.accept()
    heard, unheard = await queues.fetch(store, "submit", now=ms(1), until=ms(2), limit=2)
    [worker] = await queues.ask(store, "SELECT DISTINCT worker_id FROM procrastinate_jobs WHERE status = 'doing'")
    await store.write(upkeep.put_back_unheard(worker["worker_id"], {int(heard.lease)}))
    states = dict(await queues.queued(store))
    assert states[f"submit:{heard.subject}"] == "doing"
    assert states[f"submit:{unheard.subject}"] == "todo"
