"""Faults of Postgres (lost connections, no response, locks): each caller gets an error in time, and work continues."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import psycopg
import pytest

from ledger.errors import LedgerError, Unavailable
from ledger.postgres.store import PostgresStore
from ledger.requests import Attempted, NewJob
from ledger.storage.transaction import Transaction
from ledger.transitions import deliveries, jobs, outcomes
from tests.conftest import NOON
from tests.ledger import queues
from tests.ledger.conftest import Opening
from tests.ledger.waiting import wait_until
from tests.postgres.servers import PostgresServer

NEW = NewJob(provider="fal", model="a/b", input="{}")
SECONDS = 1.0
LATE = 0.3
"""How much longer than `SECONDS` a call may take."""
OURS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TERMINATE = f"SELECT pg_terminate_backend(pid) FROM ({OURS}) AS ours"
LOCK_ATTEMPTS = "LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"
LOCKED = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"


@pytest.fixture
async def store(opening: Opening) -> PostgresStore:
    return await opening(seconds=SECONDS)


def good() -> Transaction[Any]:
    return jobs.accept(NEW, now=NOON)


def retrying() -> Transaction[Any]:
    """Return a transaction that writes to the table `attempts`."""
    attempted = Attempted(at=NOON, latency_ms=1, status=500, error=None, response=None)
    return deliveries.retry("msg_none", attempted, due_at=NOON)


async def result_of(call: Awaitable[Any]) -> Any:
    """Return the result of a call, or its LedgerError. Fails if it takes too long."""
    begun = time.monotonic()
    try:
        return await call
    except LedgerError as fault:
        return fault
    finally:
        assert time.monotonic() - begun < SECONDS + LATE


async def works(store: PostgresStore) -> bool:
    accepted = await result_of(store.write(good()))
    if isinstance(accepted, LedgerError):
        assert isinstance(accepted, Unavailable)
        return False
    return await jobs.read_job(store, accepted.job_id) is not None


@pytest.fixture
def other(url: str) -> Iterator[psycopg.Connection]:
    """Another session on the database."""
    with contextlib.closing(psycopg.connect(url)) as connection:
        yield connection


@pytest.fixture
async def attempts_locked(other: psycopg.Connection, store: PostgresStore) -> AsyncIterator[None]:
    other.execute(LOCK_ATTEMPTS)
    yield
    other.rollback()


async def test_a_connection_lost_in_a_transaction_is_an_error_and_the_next_write_works(
    store: PostgresStore, server: PostgresServer, url: str, attempts_locked: None, other: psycopg.Connection
) -> None:
    transaction = Transaction(
        steps=(*good().steps, *retrying().steps), values={**good().values, **retrying().values}, read=list
    )
    writing = asyncio.create_task(result_of(store.write(transaction)))
    await wait_until("it waits for the lock", lambda: waits(server, url))
    other.execute(TERMINATE)
    assert isinstance(await writing, Unavailable)
    other.rollback()
    assert await works(store)
    assert len(await jobs.list_jobs(store, limit=10)) == 1


async def test_connections_lost_while_idle_are_replaced(store: PostgresStore, other: psycopg.Connection) -> None:
    """A connection that was used within `FRESH_SECONDS` is not checked, so a call may fail at first."""
    assert await works(store)
    await asyncio.gather(*(store.read("read_job", {"job_id": "job_x"}) for _ in range(20)))
    other.execute(TERMINATE)
    other.rollback()
    await wait_until("it works again", lambda: works(store), 3)
    assert all(await asyncio.gather(*(works(store) for _ in range(20))))


async def test_calls_to_a_suspended_server_fail_in_time_and_work_when_it_resumes(
    store: PostgresStore, server: PostgresServer
) -> None:
    assert await works(store)
    server.suspend()
    try:
        writes = [result_of(store.write(good())) for _ in range(30)]
        reads = [result_of(store.read("read_job", {"job_id": "job_x"})) for _ in range(30)]
        found = await asyncio.gather(*writes, *reads)
        assert {isinstance(each, Unavailable) for each in found} == {True}
        found = [await result_of(store.write(good())), await result_of(store.read("read_job", {"job_id": "job_x"}))]
        assert {isinstance(each, Unavailable) for each in found} == {True}
    finally:
        server.resume()
    await wait_until("it works again", lambda: works(store))
    assert all(await asyncio.gather(*(works(store) for _ in range(20))))


async def test_closing_while_the_server_is_suspended_ends(opening: Opening, server: PostgresServer) -> None:
    store = await opening(seconds=SECONDS)
    store.due("submit")  # so that it listens
    assert await works(store)
    server.suspend()
    try:
        waiting = [asyncio.create_task(result_of(store.write(good()))) for _ in range(5)]
        await asyncio.sleep(0)  # they are queued
        async with asyncio.timeout(6 * SECONDS):
            await store.close()
        assert {isinstance(each, Unavailable) for each in await asyncio.gather(*waiting)} == {True}
    finally:
        server.resume()


async def test_a_restarted_server_is_used_again(store: PostgresStore, server: PostgresServer) -> None:
    assert await works(store)
    server.stop()
    assert isinstance(await result_of(store.write(good())), Unavailable)
    assert isinstance(await result_of(store.read("read_job", {"job_id": "job_x"})), Unavailable)
    server.start()
    await wait_until("it works again", lambda: works(store))


async def test_calls_fail_in_time_when_no_connection_is_free(store: PostgresStore) -> None:
    async with contextlib.AsyncExitStack() as taken:
        for _ in range(store.pool.max_size):
            await taken.enter_async_context(store.pool.connection())
        asked = [store.write(good()), store.write(good()), store.read("read_job", {"job_id": "job_x"})]
        found = await asyncio.gather(*map(result_of, asked))
        assert {isinstance(each, Unavailable) for each in found} == {True}
    assert await works(store)


async def test_a_locked_transaction_fails_alone_in_its_batch(store: PostgresStore, attempts_locked: None) -> None:
    good_one, locked, good_two = await asyncio.gather(
        result_of(store.write(good())), result_of(store.write(retrying())), result_of(store.write(good()))
    )
    assert isinstance(locked, Unavailable)
    assert {job.id for job in await jobs.list_jobs(store, limit=10)} == {good_one.job_id, good_two.job_id}


async def test_a_locked_row_delays_no_other_transaction(
    store: PostgresStore, server: PostgresServer, url: str, other: psycopg.Connection
) -> None:
    job_id = (await store.write(good())).job_id
    other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
    locked = asyncio.create_task(result_of(store.write(outcomes.cancel(job_id, now=NOON))))
    await wait_until("it waits for the lock", lambda: waits(server, url))
    assert await works(store)
    assert isinstance(await locked, Unavailable)
    other.rollback()
    assert await store.write(outcomes.cancel(job_id, now=NOON)) is True


async def test_a_read_only_server_is_unavailable(store: PostgresStore, server: PostgresServer, url: str) -> None:
    name = name_of(url)
    server.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await queues.ask(store, "SET default_transaction_read_only = on")
    server.query(TERMINATE, database=name)
    await wait_until("it reads again", lambda: reads(store))
    assert isinstance(await result_of(store.write(good())), Unavailable)
    assert await jobs.list_jobs(store, limit=10) == []
    server.query(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    server.query(TERMINATE, database=name)
    await wait_until("it writes again", lambda: works(store))


async def reads(store: PostgresStore) -> bool:
    return not isinstance(await result_of(store.read("read_job", {"job_id": "job_x"})), LedgerError)


async def test_cancelling_callers_does_not_cancel_their_transactions(
    store: PostgresStore, server: PostgresServer, url: str, attempts_locked: None, other: psycopg.Connection
) -> None:
    transactions = [good() for _ in range(3)]
    last = Transaction(
        steps=(*transactions[2].steps, *retrying().steps),
        values={**transactions[2].values, **retrying().values},
        read=list,
    )
    callers = [asyncio.create_task(store.write(transaction)) for transaction in (*transactions[:2], last)]
    await wait_until("they wait for the lock", lambda: waits(server, url))
    for caller in callers:
        caller.cancel()
    other.rollback()
    assert await asyncio.gather(*callers, return_exceptions=True)
    wanted = {transaction.values["job_id"] for transaction in transactions}

    async def written() -> bool:
        return {job.id for job in await jobs.list_jobs(store, limit=10)} == wanted

    await wait_until("all of it is written", written)


async def waits(server: PostgresServer, url: str) -> bool:
    return bool(await asyncio.to_thread(server.query, LOCKED, name_of(url)))


def name_of(url: str) -> str:
    return url.rpartition("/")[2]
