"""Both stores: group commit, isolation of failed transactions, cancelled callers, limits, and closing."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger.errors import Contradiction, Overloaded, Unavailable
from ledger.postgres.store import open_postgres
from ledger.requests import Accepted, NewJob
from ledger.sqlite.store import open_sqlite
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Transaction
from ledger.transitions import jobs
from tests.conftest import NOON, PROVIDERS

NEW = NewJob(provider="fal", model="a/b", input="{}")
INVALID = Transaction(
    steps=(Call("insert_job"),),
    values=dict.fromkeys(("job_id", "provider", "model", "transition", "now", "request_digest"), "?")
    | {"idempotency_key": None},
    read=lambda _: None,
)


Opening = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["sqlite", "postgres"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Return a function that opens the same database. The caller closes it."""
    if request.param == "sqlite":
        return functools.partial(open_sqlite, tmp_path / "ledger.db", now=NOON, providers=PROVIDERS)
    url: str = request.getfixturevalue("ledger_url")
    return functools.partial(open_postgres, url, now=NOON, connections=5, seconds=5)


async def test_a_failed_transaction_does_not_fail_others_of_its_batch(store: Store) -> None:
    good, bad, also_good = await asyncio.gather(
        store.write(jobs.accept(NEW, now=NOON)),
        store.write(INVALID),
        store.write(jobs.accept(NEW, now=NOON)),
        return_exceptions=True,
    )
    assert isinstance(bad, Contradiction)
    for accepted in (good, also_good):
        assert isinstance(accepted, Accepted)
        assert await jobs.read_job(store, accepted.job_id) is not None


async def test_a_transaction_that_fails_in_its_last_step_leaves_nothing(store: Store) -> None:
    transaction = jobs.accept(NEW, now=NOON)
    broken = Transaction(steps=(*transaction.steps, INVALID.steps[0]), values=transaction.values, read=transaction.read)
    with pytest.raises(Contradiction):
        await store.write(broken)
    assert await jobs.list_jobs(store, limit=10) == []


async def test_cancelling_the_caller_does_not_cancel_the_transaction(store: Store) -> None:
    transaction = jobs.accept(NEW, now=NOON)
    caller = asyncio.create_task(store.write(transaction))
    await asyncio.sleep(0)  # the transaction is queued
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.write(jobs.accept(NEW, now=NOON + 1))  # committed after it
    assert await jobs.read_job(store, str(transaction.values["job_id"])) is not None


async def test_writes_beyond_the_limit_are_refused_at_once(opening: Opening) -> None:
    store = await opening(waiting_limit=3)
    results = await asyncio.gather(*(store.write(jobs.accept(NEW, now=NOON)) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [Accepted] * 3 + [Overloaded] * 2
    await store.close()


async def test_closing_commits_what_waits_and_refuses_later_calls(opening: Opening) -> None:
    store = await opening()
    waiting = asyncio.create_task(store.write(jobs.accept(NEW, now=NOON)))
    await asyncio.sleep(0)
    await store.close()
    accepted = await waiting
    with pytest.raises(Unavailable):
        await store.write(jobs.accept(NEW, now=NOON))
    with pytest.raises(Unavailable):
        await jobs.read_job(store, accepted.job_id)
    await store.close()  # a second close does nothing
    again = await opening()
    assert await jobs.read_job(again, accepted.job_id) is not None
    await again.close()


@pytest.mark.parametrize("value", [2**70, "\ud800", object()])
async def test_a_value_that_cannot_be_stored_fails_only_its_transaction(store: Store, value: object) -> None:
    transaction = jobs.accept(NEW, now=NOON)
    bad = Transaction(
        steps=transaction.steps, values=dict(transaction.values) | {"metadata": value}, read=transaction.read
    )
    good, failed = await asyncio.gather(
        store.write(jobs.accept(NEW, now=NOON)), store.write(bad), return_exceptions=True
    )
    assert isinstance(failed, Contradiction)
    assert isinstance(good, Accepted)
    assert (await store.write(jobs.accept(NEW, now=NOON))).new


async def test_each_of_many_invalid_transactions_fails_alone(store: Store) -> None:
    transactions = [INVALID if number % 7 == 3 else jobs.accept(NEW, now=NOON + number) for number in range(300)]
    results = await asyncio.gather(*map(store.write, transactions), return_exceptions=True)
    expected = [Contradiction if transaction is INVALID else Accepted for transaction in transactions]
    assert [type(result) for result in results] == expected
    found = {job.id for job in await jobs.list_jobs(store, limit=1_000)}
    assert found == {result.job_id for result in results if isinstance(result, Accepted)}


async def test_a_caller_can_read_what_it_wrote(store: Store) -> None:
    """Reads use another connection than writes."""

    async def accept_and_read(number: int) -> bool:
        accepted = await store.write(jobs.accept(NEW, now=NOON + number))
        return await jobs.read_job(store, accepted.job_id) is not None

    assert all(await asyncio.gather(*map(accept_and_read, range(200))))
