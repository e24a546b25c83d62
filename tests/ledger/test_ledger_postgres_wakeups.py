"""Wake-ups between processes: a commit in one sets the events of the others, unless there is a pooler."""

import asyncio

import pytest

from ledger.postgres import wakeups
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
    """A store that writes, and an event of another store, which listens."""
    one, other = await opening(), await opening()
    event = other.due("submit")
    await woken(event)  # it listens now
    return one, event


async def test_a_listening_process_is_woken_by_a_commit_of_another(pair: tuple[PostgresStore, asyncio.Event]) -> None:
    one, event = pair
    await one.write(jobs.accept(NEW, now=NOON))
    await woken(event)


async def test_a_commit_wakes_only_workers_of_its_kind(opening: Opening) -> None:
    one, other = await opening(), await opening()
    polls, submits = other.due("poll"), other.due("submit")
    await asyncio.gather(woken(polls), woken(submits))
    await one.write(jobs.accept(NEW, now=NOON))
    await woken(submits)
    assert not polls.is_set()


async def test_too_many_names_for_one_notification_wake_every_worker(pair: tuple[PostgresStore, asyncio.Event]) -> None:
    one, event = pair
    one.wakeups.publish([f"ep_{number}" for number in range(wakeups.MOST_NAMES + 1)])
    await woken(event)


async def test_the_most_names_fit_into_one_notification(pair: tuple[PostgresStore, asyncio.Event]) -> None:
    """Postgres accepts 7,999 bytes."""
    one, event = pair
    longest = "ep_" + "x" * 40
    one.wakeups.publish(["submit", *(f"{longest}{number:03}" for number in range(wakeups.MOST_NAMES - 1))])
    await woken(event)


async def test_after_a_lost_connection_a_process_listens_again_and_wakes_every_worker(
    pair: tuple[PostgresStore, asyncio.Event], server: PostgresServer, url: str
) -> None:
    one, event = pair
    assert server.query(LISTENER, url.rpartition("/")[2])
    await woken(event)  # a notification may have been missed
    await one.write(jobs.accept(NEW, now=NOON))
    await woken(event)


@needs_pgbouncer
async def test_behind_a_pooler_a_process_is_woken_by_its_own_commits_only(
    opening: Opening, server: PostgresServer, url: str
) -> None:
    """LISTEN needs a session of its own."""
    with pooling(server) as bouncer:
        behind = bouncer.url(url.rpartition("/")[2])
        one, other, direct = await opening(behind), await opening(behind), await opening(url)
        pooled, listening, own = other.due("submit"), direct.due("submit"), one.due("submit")
        await woken(listening)
        await one.write(jobs.accept(NEW, now=NOON))
        assert own.is_set()
        await woken(listening)  # NOTIFY works through the pooler
        assert not pooled.is_set()
        for store in (one, other, direct):
            await store.close()
