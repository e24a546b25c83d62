"""What Postgres can do to a ledger: hang up, fall silent, lock, refuse. Every caller hears in time, and all goes on."""

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
from tests.ledger.patience import soon
from tests.postgres.servers import PostgresServer

NEW = NewJob(provider="fal", model="a/b", input="{}")
SECONDS = 1.0
LATE = 0.3
"""What an answer may take beyond the seconds that were promised."""
OURS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
PUT_OUT = f"SELECT pg_terminate_backend(pid) FROM ({OURS}) AS ours"
LOCK_ATTEMPTS = "LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"
LOCKED = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"


@pytest.fixture
async def store(opening: Opening) -> PostgresStore:
    return await opening(seconds=SECONDS)


def good() -> Transaction[Any]:
    return jobs.accept(NEW, now=NOON)


def retrying() -> Transaction[Any]:
    """A transaction that needs the table of attempts."""
    attempted = Attempted(at=NOON, latency_ms=1, status=500, error=None, response=None)
    return deliveries.retry("msg_none", attempted, due_at=NOON)


async def answer(asked: Awaitable[Any]) -> Any:
    """Wait for an answer, or for the ledger's fault, no longer than is promised."""
    claimed = time.monotonic()
    try:
        return await asked
    except LedgerError as fault:
        return fault
    finally:
        assert time.monotonic() - claimed < SECONDS + LATE


async def works(store: PostgresStore) -> bool:
    accepted = await answer(store.write(good()))
    if isinstance(accepted, LedgerError):
        assert isinstance(accepted, Unavailable)
        return False
    return await jobs.read_job(store, accepted.job_id) is not None


@pytest.fixture
def other(url: str) -> Iterator[psycopg.Connection]:
    """Somebody else's session in the same database."""
    with contextlib.closing(psycopg.connect(url)) as connection:
        yield connection


@pytest.fixture
async def attempts_locked(other: psycopg.Connection, store: PostgresStore) -> AsyncIterator[None]:
    other.execute(LOCK_ATTEMPTS)
    yield
    other.rollback()


async def test_a_connection_that_is_cut_in_a_transaction_is_told_and_the_next_write_works(
    store: PostgresStore, server: PostgresServer, url: str, attempts_locked: None, other: psycopg.Connection
) -> None:
    transaction = Transaction(
        steps=(*good().steps, *retrying().steps), values={**good().values, **retrying().values}, read=list
    )
    writing = asyncio.create_task(answer(store.write(transaction)))
    await soon("it waits for the lock", lambda: waits(server, url))
    other.execute(PUT_OUT)
    assert isinstance(await writing, Unavailable)
    other.rollback()
    assert await works(store)
    assert len(await jobs.list_jobs(store, limit=10)) == 1


async def test_connections_that_are_cut_while_idle_are_not_noticed_by_callers(
    store: PostgresStore, other: psycopg.Connection
) -> None:
    """Most of the time: one that was used a moment ago is not asked whether it lives."""
    assert await works(store)
    await asyncio.gather(*(store.read("read_job", {"job_id": "job_x"}) for _ in range(20)))
    other.execute(PUT_OUT)
    other.rollback()
    await soon("it works again", lambda: works(store), 3)
    assert all(await asyncio.gather(*(works(store) for _ in range(20))))


async def test_a_frozen_server_keeps_nobody_waiting_and_all_works_when_it_thaws(
    store: PostgresStore, server: PostgresServer
) -> None:
    assert await works(store)
    server.suspend()
    try:
        writes = [answer(store.write(good())) for _ in range(30)]
        reads = [answer(store.read("read_job", {"job_id": "job_x"})) for _ in range(30)]
        found = await asyncio.gather(*writes, *reads)
        assert {isinstance(each, Unavailable) for each in found} == {True}
        found = [await answer(store.write(good())), await answer(store.read("read_job", {"job_id": "job_x"}))]
        assert {isinstance(each, Unavailable) for each in found} == {True}
    finally:
        server.resume()
    await soon("it works again", lambda: works(store))
    assert all(await asyncio.gather(*(works(store) for _ in range(20))))


async def test_closing_while_the_server_is_frozen_ends(opening: Opening, server: PostgresServer) -> None:
    store = await opening(seconds=SECONDS)
    store.due("submit")  # and so it listens
    assert await works(store)
    server.suspend()
    try:
        waiting = [asyncio.create_task(answer(store.write(good()))) for _ in range(5)]
        await asyncio.sleep(0)  # they have been handed over
        async with asyncio.timeout(6 * SECONDS):
            await store.close()
        assert {isinstance(each, Unavailable) for each in await asyncio.gather(*waiting)} == {True}
    finally:
        server.resume()


async def test_a_restarted_server_is_found_again(store: PostgresStore, server: PostgresServer) -> None:
    assert await works(store)
    server.stop()
    assert isinstance(await answer(store.write(good())), Unavailable)
    assert isinstance(await answer(store.read("read_job", {"job_id": "job_x"})), Unavailable)
    server.start()
    await soon("it works again", lambda: works(store))


async def test_a_pool_without_a_free_connection_is_told_in_time(store: PostgresStore) -> None:
    async with contextlib.AsyncExitStack() as taken:
        for _ in range(store.pool.max_size):
            await taken.enter_async_context(store.pool.connection())
        asked = [store.write(good()), store.write(good()), store.read("read_job", {"job_id": "job_x"})]
        found = await asyncio.gather(*map(answer, asked))
        assert {isinstance(each, Unavailable) for each in found} == {True}
    assert await works(store)


async def test_what_is_locked_fails_alone_and_what_came_with_it_stands(
    store: PostgresStore, attempts_locked: None
) -> None:
    good_one, locked, good_two = await asyncio.gather(
        answer(store.write(good())), answer(store.write(retrying())), answer(store.write(good()))
    )
    assert isinstance(locked, Unavailable)
    assert {job.id for job in await jobs.list_jobs(store, limit=10)} == {good_one.job_id, good_two.job_id}


async def test_a_locked_row_keeps_nobody_else_waiting(
    store: PostgresStore, server: PostgresServer, url: str, other: psycopg.Connection
) -> None:
    job_id = (await store.write(good())).job_id
    other.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
    locked = asyncio.create_task(answer(store.write(outcomes.cancel(job_id, now=NOON))))
    await soon("it waits for the lock", lambda: waits(server, url))
    assert await works(store)
    assert isinstance(await locked, Unavailable)
    other.rollback()
    assert await store.write(outcomes.cancel(job_id, now=NOON)) is True


async def test_a_server_that_only_reads_is_unavailable_and_no_contradiction(
    store: PostgresStore, server: PostgresServer, url: str
) -> None:
    name = name_of(url)
    server.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await queues.ask(store, "SET default_transaction_read_only = on")
    server.query(PUT_OUT, database=name)
    await soon("it was put out", lambda: reads(store))
    assert isinstance(await answer(store.write(good())), Unavailable)
    assert await jobs.list_jobs(store, limit=10) == []
    server.query(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    server.query(PUT_OUT, database=name)
    await soon("it writes again", lambda: works(store))


async def reads(store: PostgresStore) -> bool:
    return not isinstance(await answer(store.read("read_job", {"job_id": "job_x"})), LedgerError)


async def test_callers_that_are_cancelled_cancel_no_transaction(
    store: PostgresStore, server: PostgresServer, url: str, attempts_locked: None, other: psycopg.Connection
) -> None:
    transactions = [good() for _ in range(3)]
    last = Transaction(
        steps=(*transactions[2].steps, *retrying().steps),
        values={**transactions[2].values, **retrying().values},
        read=list,
    )
    callers = [asyncio.create_task(store.write(transaction)) for transaction in (*transactions[:2], last)]
    await soon("they wait for the lock", lambda: waits(server, url))
    for caller in callers:
        caller.cancel()
    other.rollback()
    assert await asyncio.gather(*callers, return_exceptions=True)
    wanted = {transaction.values["job_id"] for transaction in transactions}

    async def written() -> bool:
        return {job.id for job in await jobs.list_jobs(store, limit=10)} == wanted

    await soon("all of it is written", written)


async def waits(server: PostgresServer, url: str) -> bool:
    return bool(await asyncio.to_thread(server.query, LOCKED, name_of(url)))


def name_of(url: str) -> str:
    return url.rpartition("/")[2]
