"""After a statement that failed on a lock, the prepared statements of its connection still work."""

import asyncio
import random
from typing import Any

import psycopg
import pytest

from ledger.errors import LedgerError, Unavailable
from ledger.postgres.store import PostgresStore
from ledger.requests import Attempted, NewJob, ProviderRequest
from ledger.storage.store import Store
from ledger.storage.transaction import Transaction
from ledger.transitions import deliveries, jobs, outcomes, submissions
from ledger.transitions import queue as work
from tests.conftest import NOON
from tests.ledger.conftest import Opening

NEW = NewJob(provider="fal", model="a/b", input="{}")
TABLES = ("jobs", "attempts", "events", "work", "receipts", "endpoints")


async def outcome_of(store: Store, transaction: Transaction[Any]) -> Any:
    try:
        return await store.write(transaction)
    except LedgerError as error:
        return error


def attempt() -> Transaction[Any]:
    attempted = Attempted(at=NOON, latency_ms=1, status=500, error=None, response=None)
    return deliveries.retry("msg_none", attempted, due_at=NOON)


@pytest.fixture
async def store(opening: Opening) -> PostgresStore:
    """A store with one connection, so that each statement runs after the failed one on the same session."""
    return await opening(connections=1, seconds=0.4)


@pytest.mark.parametrize("succeeding", range(12))
async def test_a_connection_works_after_statements_that_failed_on_a_lock(
    store: PostgresStore, url: str, succeeding: int
) -> None:
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE")
        assert isinstance(await outcome_of(store, attempt()), Unavailable)
        for _ in range(succeeding):
            assert not isinstance(await outcome_of(store, jobs.accept(NEW, now=NOON)), LedgerError)
        assert isinstance(await outcome_of(store, attempt()), Unavailable)
        other.rollback()
    for _ in range(3):
        assert not isinstance(await outcome_of(store, attempt()), LedgerError)
        assert not isinstance(await outcome_of(store, jobs.accept(NEW, now=NOON)), LedgerError)


async def test_all_transactions_work_again_after_locks_under_load(store: PostgresStore, url: str) -> None:
    dice = random.Random(1)

    async def all_kinds() -> list[Any]:
        accepted = await outcome_of(store, jobs.accept(NEW, now=NOON))
        job_id = "job_none0" if isinstance(accepted, LedgerError) else accepted.job_id
        request = ProviderRequest(request_id=job_id)
        transactions: list[Transaction[Any]] = [
            submissions.claim(job_id, now=NOON, until=NOON + 1),
            submissions.confirm(job_id, "fal", request, now=NOON, poll_at=NOON),
            outcomes.cancel(job_id, now=NOON),
            work.fetch("submit", now=NOON, until=NOON + 1, limit=1),
            attempt(),
        ]
        return [accepted, *[await outcome_of(store, each) for each in transactions]]

    with psycopg.connect(url) as other:
        for _ in range(4):
            other.execute(f"LOCK TABLE {dice.choice(TABLES)} IN ACCESS EXCLUSIVE MODE")
            await asyncio.gather(*(all_kinds() for _ in range(3)))
            other.rollback()
            if dice.random() < 0.7:
                await all_kinds()
    for _ in range(3):
        assert [each for each in await all_kinds() if isinstance(each, LedgerError)] == []
