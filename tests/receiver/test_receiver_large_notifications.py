"""Large notifications: rendered once for all endpoints, within a limit of bytes, and counted before they are sent."""

import asyncio
import contextlib
import json

import msgspec
import pytest

from ledger.ledger import Ledger
from ledger.rows import DueDelivery
from ledger.storage.store import Store
from outbound.targets import Targets
from receiver.notifier.bodies import Bodies
from receiver.notifier.retry_schedule import SCHEDULE
from tests.conftest import Clock, EmittedEvents
from tests.database import ON_BOTH_DATABASES
from tests.ledger.conftest import DONE
from tests.loop_monitor import loop_never_held
from tests.receiver.endpoints import Endpoint, Outbox, answer, guarded_client
from tests.receiver.harness import until

LOOPBACK = Targets(["127.0.0.1"])
MEGABYTE = json.dumps({"prompt": "a" * 1_000_000})
STOPPED = "the process stopped during this attempt"


async def ended(outbox: Outbox, *urls: str, text: str = MEGABYTE, request_id: str = "req-1") -> str:
    """Make a job with a long input and one due delivery for each URL."""
    job_id = await outbox.scenario.accept(at=0, notify=urls, input=text)
    await outbox.scenario.begin(job_id, at=0)
    await outbox.scenario.report(job_id, at=0, request_id=request_id)
    return job_id


async def due(outbox: Outbox) -> list[DueDelivery]:
    found = [await outbox.ledger.due_deliveries(task.subject, limit=10) for task in await outbox.due()]
    return [delivery for some in found for delivery in some]


@ON_BOTH_DATABASES
@pytest.mark.parametrize("status", [200, 500, 410])
async def test_a_large_notification_is_delivered_and_recorded_as_a_small_one(
    outbox: Outbox, endpoint: Endpoint, status: int
) -> None:
    endpoint.responses = lambda _: answer(status)
    job_id = await ended(outbox, endpoint.url)
    await outbox.deliver()
    assert json.loads(endpoint.received[0].body)["data"]["job"]["input"] == json.loads(MEGABYTE)
    delivery = await outbox.delivery(job_id)
    assert delivery.state == {200: "delivered", 500: "pending", 410: "dead"}[status]
    assert [(each.number, each.status, each.error) for each in await outbox.attempts(job_id)] == [(1, status, None)]
    outbox.clock.pass_seconds(10)
    again = await due(outbox)
    assert [(each.failures, each.attempts, each.large) for each in again] == ([(1, 1, True)] if status == 500 else [])


@ON_BOTH_DATABASES
async def test_an_attempt_that_ends_the_process_counts(
    store: Store, clock: Clock, emitted: EmittedEvents, endpoint: Endpoint
) -> None:
    """What a killed process leaves: an attempt that was begun, and nothing after it."""
    endpoint.responses = lambda _: None
    async with guarded_client(LOOPBACK) as send:
        outbox = Outbox(store, clock, emitted, send, LOOPBACK)
        job_id = await ended(outbox, endpoint.url)
        running = asyncio.create_task(outbox.deliver())
        await until(lambda: bool(endpoint.received))
        [attempt] = await outbox.attempts(job_id)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (attempt.number, attempt.status, attempt.error) == (1, None, STOPPED)
    clock.pass_seconds(61)
    [again] = await due(outbox)
    assert (again.failures, again.attempts) == (1, 1)


async def test_a_delivery_whose_every_attempt_ended_the_process_is_dead(outbox: Outbox, endpoint: Endpoint) -> None:
    job_id = await ended(outbox, endpoint.url)
    [delivery] = await outbox.deliveries(job_id)
    for _ in SCHEDULE:
        await outbox.ledger.begin_attempt(delivery.id, due_at=outbox.clock())
    await outbox.deliver()
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.attempts, delivery.reason) == ("dead", 10, "10 attempts failed")
    assert endpoint.received == []


async def test_a_large_notification_does_not_hold_the_event_loop(outbox: Outbox, endpoint: Endpoint) -> None:
    await ended(outbox, endpoint.url, text=json.dumps({"prompt": "a" * 3_900_000}))
    async with loop_never_held():
        await outbox.deliver()
    assert len(endpoint.received[0].body) > 3_900_000


async def test_jobs_with_many_outputs_are_large_too(outbox: Outbox, endpoint: Endpoint) -> None:
    many = msgspec.structs.replace(DONE, outputs=DONE.outputs * 20)
    job_id = await outbox.scenario.accept(at=0, notify=[endpoint.url])
    await outbox.scenario.begin(job_id, at=0)
    await outbox.scenario.report(job_id, many, at=0)
    await outbox.deliver()
    assert len(json.loads(endpoint.received[0].body)["data"]["job"]["outputs"]) == 20


async def test_a_body_is_one_object_for_all_endpoints(outbox: Outbox, endpoint: Endpoint) -> None:
    await ended(outbox, *(f"{endpoint.url}&n={number}" for number in range(5)))
    bodies = Bodies(outbox.ledger, most_bytes=1)
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(bodies.body_of(each)) for each in await due(outbox)]
        assert len(held) == 5
        assert len({id(body) for body in held}) == 1
        assert bodies._in_flight == len(held[0])
    assert (bodies._in_flight, bodies._shared) == (0, {})


async def test_bytes_of_large_bodies_are_bounded_and_small_ones_do_not_wait(outbox: Outbox, endpoint: Endpoint) -> None:
    for number in range(4):
        await ended(outbox, f"{endpoint.url}&n={number}", request_id=f"req-{number}")
    await ended(outbox, f"{endpoint.url}&small", text='{"a": 1}', request_id="req-small")
    *large, small = sorted(await due(outbox), key=lambda each: not each.large)
    bodies = Bodies(outbox.ledger, most_bytes=2_500_000)
    release, held = asyncio.Event(), []

    async def hold(delivery: DueDelivery) -> None:
        async with bodies.body_of(delivery) as body:
            held.append(len(body))
            await release.wait()

    tasks = [asyncio.create_task(hold(each)) for each in large]
    await until(lambda: len(held) == 2)
    async with asyncio.timeout(5), bodies.body_of(small) as body:
        assert len(body) < 10_000
    assert len(held) == 2
    assert bodies._in_flight <= 2_500_000
    tasks[3].cancel()  # one that waits
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (len(held), bodies._in_flight, bodies._shared) == (3, 0, {})


async def test_a_body_longer_than_the_limit_is_sent_alone(outbox: Outbox, endpoint: Endpoint) -> None:
    await ended(outbox, endpoint.url)
    bodies = Bodies(outbox.ledger, most_bytes=10)
    [delivery] = await due(outbox)
    async with asyncio.timeout(5), bodies.body_of(delivery) as body:
        assert len(body) > 1_000_000


async def test_a_body_that_cannot_be_read_fails_every_attempt_that_waits_for_it(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    await ended(outbox, f"{endpoint.url}&a", f"{endpoint.url}&b")
    deliveries = await due(outbox)

    class Broken(Ledger):
        async def job(self, job_id: str) -> None:
            raise OSError("the disk is gone")

    bodies = Bodies(Broken(outbox.store, outbox.clock), most_bytes=10_000_000)
    held = [bodies.body_of(each) for each in deliveries]
    results = await asyncio.gather(*(each.__aenter__() for each in held), return_exceptions=True)
    assert [str(each) for each in results] == ["the disk is gone"] * 2
    assert (bodies._in_flight, bodies._shared) == (0, {})
