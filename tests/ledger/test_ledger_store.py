"""Every store: commits what waits together, isolates what fails, and forgets nothing when a caller goes away."""

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
LIE = Transaction(
    steps=(Call("insert_job"),),
    values=dict.fromkeys(("job_id", "provider", "model", "transition", "now", "request_digest"), "?")
    | {"idempotency_key": None},
    read=lambda _: None,
)


Opening = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["sqlite", "postgres"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Open one ledger, as often as wanted; whoever does closes it too."""
    if request.param == "sqlite":
        return functools.partial(open_sqlite, tmp_path / "ledger.db", now=NOON, providers=PROVIDERS)
    url: str = request.getfixturevalue("ledger_url")
    return functools.partial(open_postgres, url, now=NOON, connections=5, seconds=5)


async def test_one_failing_verb_does_not_fail_those_committed_with_it(store: Store) -> None:
    good, bad, also_good = await asyncio.gather(
        store.write(jobs.accept(NEW, now=NOON)),
        store.write(LIE),
        store.write(jobs.accept(NEW, now=NOON)),
        return_exceptions=True,
    )
    assert isinstance(bad, Contradiction)
    for accepted in (good, also_good):
        assert isinstance(accepted, Accepted)
        assert await jobs.read_job(store, accepted.job_id) is not None


async def test_a_verb_that_fails_half_way_leaves_nothing(store: Store) -> None:
    transaction = jobs.accept(NEW, now=NOON)
    broken = Transaction(steps=(*transaction.steps, LIE.steps[0]), values=transaction.values, read=transaction.read)
    with pytest.raises(Contradiction):
        await store.write(broken)
    assert await jobs.list_jobs(store, limit=10) == []


async def test_cancelling_the_caller_does_not_cancel_the_transaction(store: Store) -> None:
    transaction = jobs.accept(NEW, now=NOON)
    caller = asyncio.create_task(store.write(transaction))
    await asyncio.sleep(0)  # it has handed the transaction over and waits
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.write(jobs.accept(NEW, now=NOON + 1))  # committed after it
    assert await jobs.read_job(store, str(transaction.values["job_id"])) is not None


async def test_more_than_may_wait_is_turned_away_at_once(opening: Opening) -> None:
    store = await opening(waiting_limit=3)
    results = await asyncio.gather(*(store.write(jobs.accept(NEW, now=NOON)) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [Accepted] * 3 + [Overloaded] * 2
    await store.close()


async def test_closing_commits_what_waits_and_then_says_so(opening: Opening) -> None:
    store = await opening()
    waiting = asyncio.create_task(store.write(jobs.accept(NEW, now=NOON)))
    await asyncio.sleep(0)
    await store.close()
    accepted = await waiting
    with pytest.raises(Unavailable):
        await store.write(jobs.accept(NEW, now=NOON))
    with pytest.raises(Unavailable):
        await jobs.read_job(store, accepted.job_id)
    await store.close()  # again does nothing
    again = await opening()
    assert await jobs.read_job(again, accepted.job_id) is not None
    await again.close()


@pytest.mark.parametrize("poison", [2**70, "\ud800", object()])
async def test_a_value_that_cannot_be_stored_fails_its_verb_alone_and_the_writer_goes_on(
    store: Store, poison: object
) -> None:
    transaction = jobs.accept(NEW, now=NOON)
    bad = Transaction(
        steps=transaction.steps, values=dict(transaction.values) | {"metadata": poison}, read=transaction.read
    )
    good, failed = await asyncio.gather(
        store.write(jobs.accept(NEW, now=NOON)), store.write(bad), return_exceptions=True
    )
    assert isinstance(failed, Contradiction)
    assert isinstance(good, Accepted)
    assert (await store.write(jobs.accept(NEW, now=NOON))).new


async def test_many_that_fail_among_many_that_do_not_fail_alone(store: Store) -> None:
    transactions = [LIE if number % 7 == 3 else jobs.accept(NEW, now=NOON + number) for number in range(300)]
    results = await asyncio.gather(*map(store.write, transactions), return_exceptions=True)
    expected = [Contradiction if transaction is LIE else Accepted for transaction in transactions]
    assert [type(result) for result in results] == expected
    found = {job.id for job in await jobs.list_jobs(store, limit=1_000)}
    assert found == {result.job_id for result in results if isinstance(result, Accepted)}


async def test_what_was_written_is_read_by_who_was_told_so(store: Store) -> None:
    """Also when it is read over another connection than the one that wrote."""

    async def accept_and_read(number: int) -> bool:
        accepted = await store.write(jobs.accept(NEW, now=NOON + number))
        return await jobs.read_job(store, accepted.job_id) is not None

    assert all(await asyncio.gather(*map(accept_and_read, range(200))))
