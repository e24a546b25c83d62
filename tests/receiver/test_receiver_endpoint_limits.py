"""An endpoint with its own secrets, schedule, timeout and limits."""

import asyncio
import base64
import hmac

from ledger.rows import DueDelivery
from receiver.notifier.attempts import Result
from tests.conftest import NOON
from tests.ledger.queues import ask
from tests.receiver.endpoints import Endpoint, Outbox, answer
from work.jitter import JITTER


async def test_an_endpoint_with_its_own_secrets_is_signed_with_them_alone(outbox: Outbox, endpoint: Endpoint) -> None:
    outbox.sender._secrets = ()
    job_id = await outbox.ended(endpoint.url)
    own = base64.b64encode(b"p" * 32).decode()
    await ask(outbox.store, "UPDATE endpoints SET secrets = %s", f'["{own}"]')
    await outbox.deliver()
    [received] = endpoint.received
    message = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.digest(b"p" * 32, message, "sha256")).decode()
    assert received.headers["webhook-signature"] == f"v1,{expected}"
    assert (await outbox.delivery(job_id)).state == "delivered"


async def test_an_endpoint_with_its_own_schedule_is_attempted_by_it(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda _: answer(500)
    job_id = await outbox.ended(endpoint.url)
    await ask(outbox.store, "UPDATE endpoints SET schedule = '[0, 1000]'")
    await outbox.deliver()
    due = await outbox.next_due()
    assert due is not None
    assert 1_000_000 * (1 - JITTER) <= due - NOON <= 1_000_000 * (1 + JITTER)
    outbox.clock.now = due
    await outbox.deliver()
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.reason) == ("dead", "2 attempts failed; the last: HTTP 500")


async def test_an_endpoint_with_its_own_timeout_fails_by_it(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda _: None
    job_id = await outbox.ended(endpoint.url)
    await ask(outbox.store, "UPDATE endpoints SET timeout_ms = 50")
    await outbox.deliver()
    [attempt] = await outbox.attempts(job_id)
    assert (attempt.status, attempt.error) == (None, "no response within 0.05 s")


def count_in_flight(outbox: Outbox) -> list[int]:
    """Record how many attempts are in flight whenever one begins."""
    counts: list[int] = []
    deliver = outbox.sender.deliver
    in_flight = 0

    async def counted(delivery: DueDelivery, *, start_by: int, name_seconds: float) -> Result:
        nonlocal in_flight
        in_flight += 1
        counts.append(in_flight)
        try:
            return await deliver(delivery, start_by=start_by, name_seconds=name_seconds)
        finally:
            in_flight -= 1

    outbox.sender.deliver = counted  # type: ignore[method-assign]  # the test counts the calls and passes them on
    return counts


async def test_an_endpoint_gets_no_more_requests_at_once_than_its_own_limit(outbox: Outbox, endpoint: Endpoint) -> None:
    counts = count_in_flight(outbox)
    for number in range(40):
        await outbox.ended(endpoint.url, request_id=f"req-{number}")
    await ask(outbox.store, "UPDATE endpoints SET max_concurrency = 3")
    await outbox.deliver()
    assert (len(endpoint.received), max(counts)) == (40, 3)


async def test_an_endpoint_gets_no_more_requests_a_second_than_its_own_limit(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    counts = count_in_flight(outbox)
    for number in range(6):
        await outbox.ended(endpoint.url, request_id=f"req-{number}")
    await ask(outbox.store, "UPDATE endpoints SET rate_per_second = 50")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await outbox.deliver()
    assert len(endpoint.received) == len(counts) == 6
    assert loop.time() - began >= 5 / 50
