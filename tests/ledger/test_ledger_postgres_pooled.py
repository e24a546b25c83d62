"""PgBouncer in transaction mode: it is detected, and nothing depends on the state of a session."""

import asyncio
from collections.abc import Iterator

import pytest

from ledger.errors import Contradiction, Unavailable
from ledger.postgres.store import PostgresStore
from ledger.requests import Accepted, NewJob
from ledger.storage.transaction import Call, Transaction
from ledger.transitions import deliveries, endpoints, jobs
from ledger.transitions import queue as work
from tests.conftest import NOON
from tests.ledger import queues
from tests.ledger.conftest import Opening, Scenario, ms
from tests.ledger.waiting import wait_until
from tests.postgres.pgbouncer import PgBouncer, needs_pgbouncer, pooling
from tests.postgres.servers import PostgresServer

pytestmark = needs_pgbouncer

NEW = NewJob(provider="fal", model="a/b", input="{}")


@pytest.fixture(scope="module")
def bouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    """PgBouncer with two sessions, which all transactions share."""
    with pooling(server, default_pool_size=2) as started:
        yield started


@pytest.fixture
async def store(bouncer: PgBouncer, url: str, opening: Opening) -> PostgresStore:
    """An empty database, migrated and opened through PgBouncer."""
    return await opening(bouncer.url(url.rpartition("/")[2]), seconds=3)


async def test_a_pooler_is_detected(store: PostgresStore, url: str, opening: Opening) -> None:
    assert store.session.pooled
    assert not (await opening(url)).session.pooled


async def test_every_transition_of_a_job_works_through_a_pooler(store: PostgresStore) -> None:
    scenario = Scenario(store)
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    await scenario.begin(job_id)
    assert await scenario.confirm(job_id)
    [task] = await scenario.fetch("poll", at=100)
    await store.write(work.reschedule(task, due_at=ms(200), failed=True))
    assert [task.tries for task in await scenario.fetch("poll", at=200)] == [1]
    assert await scenario.report(job_id) == "recorded"
    assert len(await deliveries.list_deliveries_of_subject(store, job_id)) == 2


async def test_concurrent_transactions_share_sessions_and_each_fails_alone(
    store: PostgresStore, bouncer: PgBouncer, url: str, opening: Opening
) -> None:
    other = await opening(bouncer.url(url.rpartition("/")[2]), seconds=3)
    invalid = Transaction(
        steps=(Call("insert_job"),), values={**jobs.accept(NEW, now=NOON).values, "model": ""}, read=list
    )
    transactions = [invalid if number % 10 == 3 else jobs.accept(NEW, now=NOON) for number in range(100)]
    asked = [(store, other)[number % 2].write(transaction) for number, transaction in enumerate(transactions)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in results] == [
        Contradiction if transaction is invalid else Accepted for transaction in transactions
    ]
    assert len(await jobs.list_jobs(other, limit=200)) == 90


async def test_no_statement_is_prepared_and_no_session_listens(
    store: PostgresStore, server: PostgresServer, url: str
) -> None:
    store.due("submit")
    for number in range(20):
        accepted = await store.write(jobs.accept(NEW, now=NOON + number))
        await jobs.read_job(store, accepted.job_id)
    for _ in range(4):  # so that both sessions respond
        assert await queues.ask(store, "SELECT name FROM pg_prepared_statements") == []
        assert await queues.ask(store, "SELECT pg_listening_channels()") == []
    asked = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND query ILIKE 'listen%%'"
    assert server.query(asked, url.rpartition("/")[2]) == []


async def test_each_transaction_applies_the_settings_to_itself_only(
    store: PostgresStore, server: PostgresServer
) -> None:
    """Another program may share the sessions."""
    seen = "SELECT current_setting('statement_timeout') AS timeout, current_setting('synchronous_commit') AS durable"
    async with store.pool.connection() as connection, connection.transaction():
        await connection.execute(store.session.settings(local=True))
        row = await (await connection.execute(seen)).fetchone()
    assert row == ("3s", "on")
    await store.write(jobs.accept(NEW, now=NOON))
    assert await queues.ask(store, seen) == [{"timeout": "0", "durable": "on"}]


async def test_a_restarted_pooler_is_used_again(store: PostgresStore, bouncer: PgBouncer) -> None:
    await store.write(jobs.accept(NEW, now=NOON))
    bouncer.kill()
    bouncer.start()

    async def works() -> bool:
        try:
            return (await store.write(jobs.accept(NEW, now=NOON))).new
        except Unavailable:
            return False

    await wait_until("it works again", works)
