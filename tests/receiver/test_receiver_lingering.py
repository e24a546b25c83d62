"""How long a worker holds an endpoint: while deliveries come and no other endpoint needs its place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from ledger.errors import DiskFull, Unavailable
from ledger.storage.store import Store
from ledger.storage.transaction import Transaction
from outbound.targets import Targets
from receiver.notifier import hold, notifier
from tests.conftest import Clock, EmittedEvents
from tests.database import ON_BOTH_DATABASES
from tests.receiver.endpoints import Endpoint, Outbox, answer, guarded_client
from tests.receiver.harness import until

pytestmark = ON_BOTH_DATABASES


@pytest.fixture
async def lingering(store: Store, clock: Clock, emitted: EmittedEvents) -> AsyncIterator[Outbox]:
    """An outbox with several places, so that an idle endpoint is held."""
    targets = Targets(["127.0.0.1"])
    async with guarded_client(targets) as send:
        yield Outbox(store, clock, emitted, send, targets, lingering=True)


@pytest.fixture(autouse=True)
def _endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limits of time so long that they decide nothing in these tests."""
    monkeypatch.setattr(hold, "LINGER_SECONDS", 60.0)
    monkeypatch.setattr(hold, "READ_SECONDS", 60.0)
    monkeypatch.setattr(notifier, "RELEASE_SECONDS", 60.0)


@contextlib.asynccontextmanager
async def holding(outbox: Outbox) -> AsyncIterator[asyncio.Task[None]]:
    """Run a worker on the one endpoint that is due."""
    [task] = await outbox.due()
    holder = asyncio.create_task(outbox.notifier.handle(task))
    try:
        yield holder
    except TimeoutError as error:
        if not holder.done():
            raise
        raise AssertionError("the worker has released the endpoint") from holder.exception() or error
    finally:
        outbox.stop.set()
        async with asyncio.timeout(30):
            await asyncio.gather(holder, return_exceptions=True)


async def delivered(outbox: Outbox, job_id: str) -> bool:
    return (await outbox.delivery(job_id)).state == "delivered"


async def test_deliveries_that_come_while_an_endpoint_is_held_are_sent_under_the_same_lease(
    lingering: Outbox, endpoint: Endpoint
) -> None:
    await lingering.ended(endpoint.url)
    async with holding(lingering):
        for number in range(1, 4):
            job_id = await lingering.ended(endpoint.url, request_id=f"more-{number}")
            await until(lambda job_id=job_id: delivered(lingering, job_id))  # type: ignore[misc]  # bound now, not later
            assert await lingering.due() == []
    assert len(endpoint.received) == 4


async def test_a_new_delivery_does_not_wait_for_one_without_response(lingering: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda _: None if len(endpoint.received) == 1 else answer(200)
    stuck = await lingering.ended(endpoint.url)
    async with holding(lingering) as holder:
        await until(lambda: len(endpoint.received) == 1)
        job_id = await lingering.ended(endpoint.url, request_id="more")
        await until(lambda: delivered(lingering, job_id))
        assert not await delivered(lingering, stuck)
        holder.cancel()


async def test_a_new_delivery_is_sent_while_more_than_half_of_a_wide_window_is_used(
    lingering: Outbox, endpoint: Endpoint
) -> None:
    endpoint.responses = lambda number: None if 8 < number <= 28 else answer(200)
    for number in range(8):
        await lingering.ended(endpoint.url, request_id=f"well-{number}")
    async with holding(lingering) as holder:
        await until(lambda: len(endpoint.received) == 8)  # each response has widened the window
        for number in range(20):
            await lingering.ended(endpoint.url, request_id=f"stuck-{number}")
        await until(lambda: len(endpoint.received) == 28)
        job_id = await lingering.ended(endpoint.url, request_id="more")
        await until(lambda: delivered(lingering, job_id))
        holder.cancel()


async def test_an_endpoint_without_new_deliveries_is_released(
    lingering: Outbox, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "LINGER_SECONDS", 0.05)
    await lingering.ended(endpoint.url)
    async with holding(lingering) as holder:
        await holder
        assert await lingering.next_due() is None


async def test_shutdown_releases_the_endpoint_at_once(lingering: Outbox, endpoint: Endpoint) -> None:
    job_id = await lingering.ended(endpoint.url)
    async with holding(lingering) as holder:
        await until(lambda: delivered(lingering, job_id))
        lingering.stop.set()
        await holder
        assert await lingering.next_due() is None


async def test_at_the_end_of_its_time_an_endpoint_is_released_with_its_new_deliveries(
    lingering: Outbox, endpoint: Endpoint
) -> None:
    job_id = await lingering.ended(endpoint.url)
    async with holding(lingering) as holder:
        await until(lambda: delivered(lingering, job_id))
        lingering.clock.pass_seconds(20)
        await lingering.ended(endpoint.url, request_id="more")
        await holder
    assert len(endpoint.received) == 1
    assert len(await lingering.due()) == 1


async def test_an_idle_endpoint_is_not_held_when_more_than_half_of_the_places_are_taken(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    await outbox.ended(endpoint.url)
    async with holding(outbox) as holder:  # its only place is taken
        await holder
        assert await outbox.next_due() is None


def failing(store: Store, monkeypatch: pytest.MonkeyPatch, fails: Callable[[], bool]) -> list[str]:
    """Make releases fail while `fails` returns True. Returns the list of all releases."""
    write, releases = store.write, []

    async def refusing(transaction: Transaction[object]) -> object:
        if transaction.steps[0].statement == "release_contended_endpoint":
            releases.append("release")
            if fails():
                raise DiskFull("no room for the ledger")
        return await write(transaction)

    monkeypatch.setattr(store, "write", refusing)
    return releases


async def test_a_failed_release_is_repeated(
    outbox: Outbox, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a short fault of the database would keep the endpoint leased."""
    monkeypatch.setattr(notifier, "RELEASE_SECONDS", 0.01)
    releases = failing(outbox.store, monkeypatch, lambda: len(releases) < 3)
    await outbox.ended(endpoint.url)
    async with holding(outbox) as holder:
        await holder
    assert releases == ["release"] * 3
    assert await outbox.next_due() is None


@pytest.mark.parametrize("over", ["shutdown", "hold"])
async def test_a_release_is_not_repeated_after_shutdown_or_the_end_of_the_hold(
    outbox: Outbox, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    monkeypatch.setattr(notifier, "RELEASE_SECONDS", 0.01 if over == "hold" else 60.0)
    releases = failing(outbox.store, monkeypatch, lambda: True)
    await outbox.ended(endpoint.url)
    async with holding(outbox) as holder:
        await until(lambda: bool(releases))
        if over == "hold":
            outbox.clock.pass_seconds(20)
        else:
            outbox.stop.set()
        with pytest.raises(Unavailable):
            await holder
