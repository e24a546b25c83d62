"""The queue on Postgres with several processes: no task runs twice, and no delivery is without a task."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.requests import Attempted, NewJob, Report, Task
from ledger.storage.statements import statements
from ledger.storage.transaction import Call, Transaction
from ledger.transitions import deliveries, endpoints, jobs, outcomes
from ledger.transitions import queue as work
from tests.conftest import NOON, PROVIDERS
from tests.ledger import queues
from tests.ledger.conftest import DONE, Scenario, ms
from tests.ledger.waiting import wait_until

REFUSED = Attempted(at=ms(3), latency_ms=1, status=500, error=None, response=b"")
ACCEPTED = Attempted(at=ms(3), latency_ms=1, status=204, error=None, response=b"")
ROUNDS = 300


@pytest.fixture
def store(postgres_store: PostgresStore) -> PostgresStore:
    return postgres_store


@pytest.fixture
async def other(ledger_url: str) -> AsyncIterator[PostgresStore]:
    """Another process on the same database."""
    opened = await open_postgres(ledger_url, now=NOON, connections=3, seconds=5, providers=PROVIDERS)
    yield opened
    await opened.close()


async def held_endpoint(scenario: Scenario) -> Task:
    """Return the leased task of an endpoint without pending deliveries."""
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.submit("req-0")
    [task] = await scenario.fetch("deliver", at=2)
    [delivery] = await deliveries.list_deliveries_of_subject(scenario.store, job_id)
    await scenario.store.write(deliveries.finish(delivery.id, ACCEPTED, "delivered", now=ms(3)))
    return task


def run(connection: psycopg.Connection[Any], transaction: Transaction[Any]) -> None:
    """Run the statements of a transaction on `connection`, without a commit."""
    for step in transaction.steps:
        statement = statements("postgres")[step.statement]
        if statement.text:
            values = statement.pick(step.values or transaction.values)
            psycopg.RawCursor(connection).execute(statement.text.encode(), values)


def reported(job_id: str, request_id: str, at: float) -> Transaction[Any]:
    report = Report(
        job_id=job_id,
        provider="fal",
        source="callback",
        request_id=request_id,
        outcome=DONE,
        headers="{}",
        body=b"{}",
    )
    return outcomes.record(report, now=ms(at))


async def work_of_endpoint(store: PostgresStore) -> list[tuple[int, str | None]]:
    rows = await queues.ask(store, "SELECT due_at, lease FROM work WHERE kind = 'deliver'")
    return [(row["due_at"], row["lease"]) for row in rows]


# --- an endpoint is released while a callback creates a delivery for it ----------------------------------------------


async def test_an_endpoint_released_before_a_callback_commits_is_due_at_once(
    scenario: Scenario, store: PostgresStore, ledger_url: str
) -> None:
    task = await held_endpoint(scenario)
    job_id = await scenario.submit("req-1", at=3)
    [delivery] = await deliveries.list_deliveries_of_subject(store, job_id)
    await store.write(deliveries.finish(delivery.id, ACCEPTED, "delivered", now=ms(4)))
    with psycopg.connect(ledger_url) as callback:
        run(callback, reported(job_id, "req-1", at=5))
        await asyncio.wait_for(store.write(deliveries.release(task, now=ms(5))), 1)
    assert await work_of_endpoint(store) == [(ms(5), None)]
    [again] = await scenario.fetch("deliver", at=6)
    assert len(await deliveries.read_due(store, again.subject, now=ms(6), limit=10)) == 1


async def test_an_endpoint_released_before_a_replay_commits_is_due_at_once(
    scenario: Scenario, store: PostgresStore, ledger_url: str
) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    [delivery] = await deliveries.list_deliveries_of_subject(store, await scenario.submit())
    [task] = await scenario.fetch("deliver", at=2)
    await store.write(deliveries.finish(delivery.id, REFUSED, "dead", now=ms(3), reason="ten attempts failed"))
    with psycopg.connect(ledger_url) as replay:
        run(replay, deliveries.replay(delivery.id, now=ms(5)))
        await asyncio.wait_for(store.write(deliveries.release(task, now=ms(5))), 1)
    assert await work_of_endpoint(store) == [(ms(5), None)]


async def test_a_callback_during_the_release_of_an_endpoint_enqueues_it_again(
    scenario: Scenario, store: PostgresStore, ledger_url: str
) -> None:
    task = await held_endpoint(scenario)
    job_id = await scenario.submit("req-1", at=3)
    [delivery] = await deliveries.list_deliveries_of_subject(store, job_id)
    await store.write(deliveries.finish(delivery.id, ACCEPTED, "delivered", now=ms(4)))
    with psycopg.connect(ledger_url) as releasing:
        run(releasing, deliveries.release(task, now=ms(5)))
        callback = asyncio.create_task(store.write(reported(job_id, "req-1", at=6)))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

        async def waits() -> bool:
            return bool(await queues.ask(store, waiting))

        await wait_until("the callback waits for the release", waits)
    assert await callback == "recorded"
    assert await work_of_endpoint(store) == [(ms(6), None)]


async def test_no_order_of_callback_and_release_leaves_a_delivery_without_work(
    scenario: Scenario, store: PostgresStore, other: PostgresStore
) -> None:
    task = await held_endpoint(scenario)
    found = set[bool]()
    for number in range(1, ROUNDS + 1):
        job_id = await scenario.submit(f"req-{number}", at=number)
        for delivery in await deliveries.list_deliveries_of_subject(store, job_id):
            await store.write(deliveries.finish(delivery.id, ACCEPTED, "delivered", now=ms(number)))
        barrier = asyncio.Barrier(2)

        async def report(job_id: str = job_id, number: int = number, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            for _ in range(number % 7):  # each round begins a little later than the one before
                await asyncio.sleep(0)
            await other.write(reported(job_id, f"req-{number}", at=number))

        async def release(task: Task = task, number: int = number, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            await store.write(deliveries.release(task, now=ms(number)))

        await asyncio.gather(report(), release())
        assert await work_of_endpoint(store) == [(ms(number), None)], number
        [task] = await scenario.fetch("deliver", at=number)
        due = await deliveries.read_due(store, task.subject, now=ms(number), limit=10)
        found.add(len(due) == 1)
        for each in due:
            await store.write(deliveries.finish(each.delivery_id, ACCEPTED, "delivered", now=ms(number)))
    assert found == {True}


# --- enqueuing -------------------------------------------------------------------------------------------------------


async def test_one_task_for_a_subject_is_due_at_the_earlier_time(scenario: Scenario, store: PostgresStore) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    [delivery] = await deliveries.list_deliveries_of_subject(store, await scenario.submit())
    [task] = await scenario.fetch("deliver", at=2)
    await store.write(deliveries.retry(delivery.id, REFUSED, due_at=ms(1_000)))
    await store.write(deliveries.release(task, now=ms(3)))
    assert await work_of_endpoint(store) == [(ms(1_000), None)]
    await scenario.submit("req-2", at=4)
    await scenario.submit("req-3", at=5)
    assert [due_at for due_at, _ in await work_of_endpoint(store)] == [ms(4)]


@pytest.mark.parametrize("leased", [False, True])
async def test_callbacks_for_one_endpoint_do_not_wait_for_each_other(
    scenario: Scenario, store: PostgresStore, ledger_url: str, leased: bool
) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    ids = [await scenario.submit(f"req-{number}") for number in range(2)]
    if leased:
        await scenario.fetch("deliver", at=2)
    with psycopg.connect(ledger_url) as uncommitted:
        run(uncommitted, reported(ids[0], "req-0", at=5))
        assert await asyncio.wait_for(scenario.report(ids[1], request_id="req-1"), 1) == "recorded"


async def test_processes_that_fetch_at_the_same_time_take_different_tasks(
    scenario: Scenario, store: PostgresStore, other: PostgresStore
) -> None:
    ids = [await scenario.accept() for _ in range(100)]
    fetching = [each.write(work.fetch("submit", now=ms(1), until=ms(61), limit=7)) for each in [store, other] * 10]
    tasks = [task for tasks in await asyncio.gather(*fetching) for task in tasks]
    assert len(tasks) == len({task.subject for task in tasks})
    tasks += await scenario.fetch("submit", at=1)
    assert sorted(task.subject for task in tasks) == sorted(ids)


async def test_a_fetch_skips_tasks_that_another_transaction_has_locked(
    scenario: Scenario, store: PostgresStore, ledger_url: str
) -> None:
    ids = [await scenario.accept() for _ in range(3)]
    with psycopg.connect(ledger_url) as locking:
        locking.execute("SELECT 1 FROM work WHERE subject = %s FOR UPDATE", (ids[0],))
        tasks = await asyncio.wait_for(scenario.fetch("submit", at=1), 1)
        await asyncio.wait_for(store.write(work.renew(tasks, until=ms(90))), 1)
    assert sorted(task.subject for task in tasks) == sorted(ids[1:])


# --- values and deadlocks --------------------------------------------------------------------------------------------


async def test_nul_is_replaced_in_texts_and_kept_in_the_bytes_of_a_receipt(scenario: Scenario) -> None:
    job_id = await scenario.submit(input='{"x": "a\0b"}', metadata='{"y": "\0"}')
    assert (await scenario.job(job_id)).input == '{"x": "a\ufffdb"}'
    report = Report(
        job_id=job_id,
        provider="fal",
        source="callback",
        request_id="req-1",
        outcome=None,
        headers='{"a": "\0"}',
        body=b"\0",
    )
    assert await scenario.store.write(outcomes.record(report, now=ms(5))) == "pending"
    [receipt] = await jobs.list_receipts(scenario.store, job_id)
    assert receipt.body == b"\0"


def locking(*endpoint_ids: str) -> Transaction[Any]:
    """Return a transaction that locks endpoints one after the other and accepts a job."""
    put = endpoints.put_settings_endpoint("https://u.example/", now=NOON)
    steps = [Call("put_settings_endpoint", {**put.values, "endpoint_id": each}) for each in endpoint_ids]
    accepted = jobs.accept(NewJob(provider="fal", model="a/b", input="{}"), now=NOON)
    return Transaction(steps=(*steps, *accepted.steps), values=accepted.values, read=list)


async def test_transactions_in_a_deadlock_are_both_written_once(store: PostgresStore, ledger_url: str) -> None:
    one, other = [
        await open_postgres(ledger_url, now=NOON, connections=3, seconds=10, providers=PROVIDERS) for _ in range(2)
    ]
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

        await wait_until("both wait for a lock", both_wait)
    await asyncio.gather(*writes)
    assert len(await jobs.list_jobs(store, limit=100)) == 3
    await asyncio.gather(one.close(), other.close())

    async def deadlock_counted() -> bool:
        [row] = await queues.ask(store, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return bool(row["deadlocks"])

    await wait_until("Postgres has counted a deadlock", deadlock_counted)
