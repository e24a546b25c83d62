"""Word of what is due crosses from one process to the other, and who gets none looks by himself."""

import asyncio

import pytest

from ledger.postgres import wakeups as news
from ledger.postgres.store import PostgresStore
from ledger.requests import NewJob
from ledger.transitions import jobs
from tests.conftest import NOON
from tests.ledger.conftest import Opening
from tests.postgres.pgbouncer import needs_pgbouncer, pooling
from tests.postgres.servers import PostgresServer

NEW = NewJob(provider="fal", model="a/b", input="{}")
LISTENER = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'"


async def woken(event: asyncio.Event, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()
    event.clear()


@pytest.fixture
async def pair(opening: Opening) -> tuple[PostgresStore, asyncio.Event]:
    """One that writes, and the event of another one, who listens."""
    one, other = await opening(), await opening()
    event = other.due("submit")
    await woken(event)  # he has claimed to listen
    return one, event


async def test_who_listens_hears_of_what_another_process_wrote(pair: tuple[PostgresStore, asyncio.Event]) -> None:
    one, event = pair
    await one.write(jobs.accept(NEW, now=NOON))
    await woken(event)


async def test_what_is_none_of_his_kinds_is_not_told_him(opening: Opening) -> None:
    one, other = await opening(), await opening()
    checks, submits = other.due("poll"), other.due("submit")
    await asyncio.gather(woken(checks), woken(submits))
    await one.write(jobs.accept(NEW, now=NOON))
    await woken(submits)
    assert not checks.is_set()


async def test_more_names_than_fit_are_told_as_everybody(pair: tuple[PostgresStore, asyncio.Event]) -> None:
    one, event = pair
    one.wakeups.publish([f"ep_{number}" for number in range(news.MOST_NAMES + 1)])
    await woken(event)


async def test_as_many_names_as_are_told_fit(pair: tuple[PostgresStore, asyncio.Event]) -> None:
    """The longest that there are: Postgres takes 7,999 bytes."""
    one, event = pair
    longest = "ep_" + "x" * 40
    one.wakeups.publish(["submit", *(f"{longest}{number:03}" for number in range(news.MOST_NAMES - 1))])
    await woken(event)


async def test_who_was_cut_off_listens_again_and_looks_at_everything(
    pair: tuple[PostgresStore, asyncio.Event], server: PostgresServer, url: str
) -> None:
    one, event = pair
    assert server.query(LISTENER, url.rpartition("/")[2])
    await woken(event)  # for what he may have missed
    await one.write(jobs.accept(NEW, now=NOON))
    await woken(event)


@needs_pgbouncer
async def test_nothing_crosses_a_bouncer(opening: Opening, server: PostgresServer, url: str) -> None:
    """It would be heard by whoever has the session next. A process still hears of what it wrote itself."""
    with pooling(server) as bouncer:
        behind = bouncer.url(url.rpartition("/")[2])
        one, other, direct = await opening(behind), await opening(behind), await opening(url)
        deaf, hearing, own = other.due("submit"), direct.due("submit"), one.due("submit")
        await woken(hearing)
        await one.write(jobs.accept(NEW, now=NOON))
        assert own.is_set()
        await woken(hearing)  # NOTIFY passes: only listening does not
        assert not deaf.is_set()
        for store in (one, other, direct):
            await store.close()
