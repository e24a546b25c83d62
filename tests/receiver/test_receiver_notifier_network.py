"""Faults of the network and of endpoints: the attempt fails with its reason, and no other endpoint is delayed."""

import asyncio
import socket

import pytest

from ledger.ledger import Ledger
from ledger.rows import DueDelivery
from ledger.storage.store import Store
from outbound.targets import Targets
from receiver.notifier.requests import FIRST_WINDOW, WIDEST_WINDOW
from tests.conftest import Clock, EmittedEvents
from tests.outbound.test_outbound_targets import Names
from tests.receiver.endpoints import Endpoint, Outbox, answer, guarded_client
from tests.receiver.harness import until
from work.worker import Worker

LOOPBACK = Targets(["127.0.0.1"])


async def failed_once(outbox: Outbox, url: str) -> str:
    """Check that one attempt fails without a response and will be repeated. Returns the recorded error."""
    job_id = await outbox.ended(url)
    await outbox.deliver()
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert await outbox.next_due() is not None
    [attempt] = await outbox.attempts(job_id)
    assert (attempt.status, attempt.response) == (None, None)
    assert attempt.error
    [event] = outbox.emitted.named("delivery.attempted")
    assert event["outcome"] == "unanswered"
    return attempt.error


async def test_a_refused_connection_is_a_failed_attempt(outbox: Outbox) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, so that no other process gets the port, and not listening
        await failed_once(outbox, f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_an_attempt_without_a_response_fails_in_time(
    store: Store, clock: Clock, emitted: EmittedEvents, endpoint: Endpoint
) -> None:
    endpoint.responses = lambda _: None
    async with guarded_client(LOOPBACK, seconds=0.1) as send:
        outbox = Outbox(store, clock, emitted, send, LOOPBACK)
        assert await failed_once(outbox, endpoint.url) == "no complete response within 0.1 s"


@pytest.mark.parametrize(
    "response",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"],
    ids=["nothing", "another protocol", "half a response"],
)
async def test_a_response_that_cannot_be_read_is_a_failed_attempt(
    outbox: Outbox, endpoint: Endpoint, response: bytes
) -> None:
    endpoint.responses = lambda _: response
    await failed_once(outbox, endpoint.url)


class NeverEnding(Endpoint):
    """Begins a response and never ends it."""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
        await reader.read()
        await reader.read()


async def test_a_response_that_never_ends_fails_in_time(store: Store, clock: Clock, emitted: EmittedEvents) -> None:
    async with NeverEnding().listening() as slow, guarded_client(LOOPBACK, seconds=0.1) as send:
        outbox = Outbox(store, clock, emitted, send, LOOPBACK)
        assert await failed_once(outbox, slow.url) == "no complete response within 0.1 s"


@pytest.mark.parametrize(
    "url",
    ["http://10.1.2.3/", "http://169.254.169.254/latest", "http://[::1]:{port}/", "http://127.0.0.2:{port}/"],
)
async def test_a_private_target_is_not_connected_to(outbox: Outbox, endpoint: Endpoint, url: str) -> None:
    assert "not a public address" in await failed_once(outbox, url.format(port=endpoint.port))
    assert endpoint.received == []


async def test_an_endpoint_that_does_not_respond_delays_no_other(
    store: Store, clock: Clock, emitted: EmittedEvents, endpoint: Endpoint
) -> None:
    """The slow one is due first, and still has no response when all others have been delivered."""
    async with Endpoint(lambda _: None).listening() as slow, guarded_client(LOOPBACK, seconds=60) as send:
        outbox = Outbox(store, clock, emitted, send, LOOPBACK)
        stuck = await outbox.ended(slow.url, request_id="req-0")
        worker = Worker(
            Ledger(store, clock).queue,
            "deliver",
            outbox.notifier.handle,
            clock=clock,
            emit=emitted,
            concurrency=4,
            longest_ms=60_000,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        await until(lambda: len(slow.received) == 1)
        quick = [await outbox.ended(endpoint.url, request_id=f"req-{number}") for number in range(1, 11)]

        async def all_delivered() -> bool:
            return all([(await outbox.delivery(job_id)).state == "delivered" for job_id in quick])

        await until(all_delivered)
        assert (await outbox.delivery(stuck)).state == "pending"
        stop.set()
        await running
        await worker.drain(0)
    assert len(endpoint.received) == 10


async def test_a_backlog_for_an_endpoint_that_does_not_respond_delays_no_other(
    store: Store, clock: Clock, emitted: EmittedEvents, endpoint: Endpoint
) -> None:
    async with Endpoint(lambda _: None).listening() as dead, guarded_client(LOOPBACK, seconds=60) as send:
        outbox = Outbox(store, clock, emitted, send, LOOPBACK)
        for number in range(50):
            await outbox.ended(dead.url, request_id=f"dead-{number}")
        quick = await outbox.ended(endpoint.url, request_id="quick")
        worker = Worker(
            Ledger(store, clock).queue,
            "deliver",
            outbox.notifier.handle,
            clock=clock,
            emit=emitted,
            concurrency=2,
            longest_ms=60_000,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))

        async def delivered() -> bool:
            return (await outbox.delivery(quick)).state == "delivered"

        await until(delivered)
        assert len(dead.received) == FIRST_WINDOW
        stop.set()
        await running
        await worker.drain(0)


async def test_an_overloaded_endpoint_gets_one_request_at_a_time_until_it_accepts_one(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    endpoint.responses = lambda _: answer(503)
    for number in range(10):
        await outbox.ended(endpoint.url, request_id=f"req-{number}")
    await outbox.deliver()
    at_once = count_at_once(outbox)
    outbox.clock.pass_seconds(10)
    await outbox.deliver()
    assert (len(endpoint.received), max(at_once)) == (20, 1)
    endpoint.responses = lambda _: answer(200)
    outbox.clock.pass_seconds(600)
    await outbox.deliver()
    assert max(at_once) > 1


def count_at_once(outbox: Outbox) -> list[int]:
    """Return a list to which each attempt adds the number of attempts in flight."""
    at_once: list[int] = []
    deliver = outbox.sender.deliver
    in_flight = 0

    async def counted(delivery: DueDelivery, *, start_by: int) -> bool:
        nonlocal in_flight
        in_flight += 1
        at_once.append(in_flight)
        try:
            return await deliver(delivery, start_by=start_by)
        finally:
            in_flight -= 1

    outbox.sender.deliver = counted  # type: ignore[method-assign]  # the test counts the calls and passes them on
    return at_once


async def test_an_endpoint_that_responds_gets_more_requests_at_once(outbox: Outbox, endpoint: Endpoint) -> None:
    at_once = count_at_once(outbox)
    for number in range(100):
        await outbox.ended(endpoint.url, request_id=f"req-{number}")
    await outbox.deliver()
    assert len(endpoint.received) == 100
    assert FIRST_WINDOW < max(at_once) <= WIDEST_WINDOW


async def test_each_endpoint_of_a_job_has_a_delivery_of_its_own(outbox: Outbox, endpoint: Endpoint) -> None:
    async with Endpoint(lambda _: answer(500)).listening() as broken:
        job_id = await outbox.ended(endpoint.url, broken.url)
        await outbox.deliver()
    assert {delivery.state for delivery in await outbox.deliveries(job_id)} == {"delivered", "pending"}
    assert len(endpoint.received) == 1


async def test_an_allowed_name_does_not_allow_its_address_in_a_url(
    store: Store, clock: Clock, emitted: EmittedEvents, endpoint: Endpoint
) -> None:
    targets = Targets(["inside.example"])
    async with guarded_client(targets, Names(["127.0.0.1"])) as send:
        outbox = Outbox(store, clock, emitted, send, targets)
        by_name = await outbox.ended(f"http://inside.example:{endpoint.port}/")
        await outbox.deliver()  # the name is resolved, and its address granted
        by_address = await outbox.ended(f"http://127.0.0.1:{endpoint.port}/", request_id="req-2")
        await outbox.deliver()
    assert (await outbox.delivery(by_name)).state == "delivered"
    assert (await outbox.delivery(by_address)).state == "pending"
    assert "127.0.0.1 is not a public address" in str((await outbox.attempts(by_address))[0].error)
    assert len(endpoint.received) == 1


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="a bad header"),
    ],
)
async def test_the_path_and_query_of_an_endpoint_are_neither_logged_nor_recorded(
    outbox: Outbox, endpoint: Endpoint, response: bytes
) -> None:
    """They may contain a token."""
    assert "token=" in endpoint.url
    endpoint.responses = lambda _: response
    assert "token=" not in await failed_once(outbox, endpoint.url)
    assert "token=" not in repr(outbox.emitted)
