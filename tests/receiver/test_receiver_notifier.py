"""Deliveries to real endpoints: signed, retried as scheduled, and dead or discarded only visibly."""

import base64
from datetime import datetime, tzinfo
from typing import Any, Self

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from ledger.requests import DeliveryFilter
from ledger.transitions import deliveries, endpoints
from ledger.transitions.delivery_lists import list_deliveries
from receiver.notifier.requests import FIRST_WINDOW
from receiver.notifier.retry_schedule import SCHEDULE
from settings.redaction import without_query
from tests.conftest import NOON
from tests.database import ON_BOTH_DATABASES
from tests.ledger.queues import ask
from tests.receiver.endpoints import SECRETS, Endpoint, Outbox, answer
from work.jitter import JITTER

pytestmark = ON_BOTH_DATABASES


def verified(secret: bytes, endpoint: Endpoint) -> Any:
    post = endpoint.received[-1]
    return Webhook(base64.b64encode(secret).decode()).verify(post.body, post.headers)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock of the standardwebhooks package to `NOON`."""

    class Noon(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(NOON / 1000, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Noon)


async def test_a_notification_has_the_job_and_is_delivered(outbox: Outbox, endpoint: Endpoint) -> None:
    job_id = await outbox.ended(endpoint.url)
    await outbox.deliver()
    [post] = endpoint.received
    assert post.head == "POST /hooks?token=in-the-query HTTP/1.1"
    assert post.headers["content-type"] == "application/json"
    body = msgspec.json.decode(post.body)
    assert (body["type"], body["timestamp"]) == ("job.completed", "2026-01-01T00:00:00.000Z")
    assert body["data"]["sequence"] == 2
    job = body["data"]["job"]
    assert (job["id"], job["state"], len(job["outputs"])) == (job_id, "completed", 1)
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.attempts, post.headers["webhook-id"]) == ("delivered", 1, delivery.id)
    assert await outbox.next_due() is None
    [attempt] = await outbox.attempts(job_id)
    assert (attempt.number, attempt.at, attempt.status, attempt.error, attempt.response) == (1, NOON, 200, None, b"ok")
    for event in ("delivery.attempted", "delivery.finished"):
        [line] = outbox.emitted.named(event)
        assert (line["subject"], line["host"]) == (job_id, "127.0.0.1")


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize("secret", SECRETS, ids=["the new secret", "the old secret"])
async def test_the_standardwebhooks_package_verifies_a_notification_with_either_secret(
    outbox: Outbox, endpoint: Endpoint, secret: bytes
) -> None:
    job_id = await outbox.ended(endpoint.url)
    await outbox.deliver()
    body = verified(secret, endpoint)
    assert body["data"]["job"]["id"] == job_id
    with pytest.raises(WebhookVerificationError):
        verified(b"x" * 32, endpoint)
    endpoint.received[-1].body += b" "
    with pytest.raises(WebhookVerificationError):
        verified(secret, endpoint)


async def test_a_delivery_is_dead_after_ten_attempts_at_the_times_of_the_schedule(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    endpoint.responses = lambda number: answer(500, body=f"no {number}".encode())
    job_id = await outbox.ended(endpoint.url)
    times = []
    while (due := await outbox.next_due()) is not None:
        outbox.clock.now = due
        times.append(due)
        await outbox.deliver()
    waits = [later - earlier for earlier, later in zip([NOON, *times], times, strict=False)]
    assert len(waits) == len(SCHEDULE) == 10
    for wait, planned in zip(waits, SCHEDULE, strict=True):
        assert planned * 1000 * (1 - JITTER) <= wait <= planned * 1000 * (1 + JITTER)
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.attempts) == ("dead", 10)
    assert delivery.reason == "10 attempts failed; the last: HTTP 500"
    assert len({(post.body, post.headers["webhook-id"]) for post in endpoint.received}) == 1
    stamps = [int(post.headers["webhook-timestamp"]) for post in endpoint.received]
    assert stamps == [time // 1000 for time in times]
    assert [attempt.response for attempt in await outbox.attempts(job_id)] == [b"no %d" % n for n in range(1, 11)]
    found = await list_deliveries(outbox.store, DeliveryFilter(state="dead"), limit=9)
    assert [dead.id for dead in found.deliveries] == [delivery.id]


async def test_a_replayed_delivery_keeps_its_id_and_gets_a_fresh_schedule(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda number: answer(500 if number <= 10 else 200)
    job_id = await outbox.ended(endpoint.url)
    while (due := await outbox.next_due()) is not None:
        outbox.clock.now = due
        await outbox.deliver()
    dead = await outbox.delivery(job_id)
    assert await outbox.store.write(deliveries.replay([dead], now=outbox.clock())) == 1
    await outbox.deliver()
    again = await outbox.delivery(job_id)
    assert (again.state, again.attempts, endpoint.received[-1].headers["webhook-id"]) == ("delivered", 11, dead.id)


async def test_a_delivery_is_retried_until_the_endpoint_accepts_it(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda number: answer(503 if number < 3 else 204, body=b"")
    job_id = await outbox.ended(endpoint.url)
    for _ in range(3):
        due = await outbox.next_due()
        assert due is not None
        outbox.clock.now = due
        await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "delivered"
    assert [attempt.status for attempt in await outbox.attempts(job_id)] == [503, 503, 204]


@pytest.mark.parametrize(
    ("value", "waited"),
    [
        ("120", 120),
        ("7200", 7200),
        ("86400", 86_400),
        ("999999", 86_400),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("1", None),
        ("Wed, 21 Oct 2020 07:28:00 GMT", None),
        ("soon", None),
    ],
)
async def test_retry_after_is_honoured_up_to_a_day_and_never_shortens_the_delay(
    outbox: Outbox, endpoint: Endpoint, value: str, waited: int | None
) -> None:
    endpoint.responses = lambda _: answer(429, f"Retry-After: {value}")
    await outbox.ended(endpoint.url)
    await outbox.deliver()
    due = await outbox.next_due()
    assert due is not None
    if waited is None:  # as scheduled
        assert 5000 * (1 - JITTER) <= due - NOON <= 5000 * (1 + JITTER)
    else:
        assert due == NOON + waited * 1000


async def test_status_410_makes_deliveries_dead_and_disables_the_endpoint(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda _: answer(410)
    job_ids = [await outbox.ended(endpoint.url, request_id=f"req-{number}") for number in range(FIRST_WINDOW + 3)]
    await outbox.deliver()
    assert len(endpoint.received) == FIRST_WINDOW  # those in flight at the first 410
    found = [await outbox.delivery(job_id) for job_id in job_ids]
    assert {(delivery.state, delivery.reason) for delivery in found} == {("dead", "the endpoint answered 410 Gone")}
    assert await outbox.due() == []


async def test_a_disabled_endpoint_gets_no_requests_and_its_new_deliveries_are_dead(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    await outbox.store.write(endpoints.put_settings_endpoint(endpoint.url, now=NOON))
    endpoint.responses = lambda _: answer(410)
    await outbox.ended()
    await outbox.deliver()
    later = await outbox.ended(request_id="req-2")
    await outbox.deliver()
    assert (await outbox.delivery(later)).state == "dead"
    assert len(endpoint.received) == 1


async def test_the_deliveries_of_a_removed_endpoint_are_discarded(outbox: Outbox, endpoint: Endpoint) -> None:
    await outbox.store.write(endpoints.put_settings_endpoint(endpoint.url, now=NOON))
    job_id = await outbox.ended()
    await outbox.store.write(endpoints.remove_settings_endpoint(now=NOON))
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "discarded"
    assert endpoint.received == []
    assert await outbox.due() == []


async def test_a_delivery_created_while_its_endpoint_was_removed_is_discarded(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    job_id = await outbox.ended(endpoint.url)
    await ask(outbox.store, "UPDATE endpoints SET removed_at = 1")
    await outbox.deliver()
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.reason) == ("discarded", "its endpoint was removed")
    assert endpoint.received == []


async def test_deliveries_that_wait_for_notify_url_are_sent_when_it_is_set_again(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    await outbox.ledger.put_settings_endpoint("https://old.example/")
    job_id = await outbox.ended()
    await outbox.ledger.put_settings_endpoint(None)
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).attempts == 0
    await outbox.ledger.put_settings_endpoint(endpoint.url)
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "delivered"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_never_followed(outbox: Outbox, endpoint: Endpoint, status: int) -> None:
    async with Endpoint().listening() as elsewhere:
        endpoint.responses = lambda _: answer(status, f"Location: {elsewhere.url}")
        job_id = await outbox.ended(endpoint.url)
        await outbox.deliver()
        assert elsewhere.received == []
    assert (await outbox.delivery(job_id)).state == "pending"
    assert [attempt.status for attempt in await outbox.attempts(job_id)] == [status]


async def test_only_the_first_2048_bytes_of_a_response_are_kept(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda _: answer(200, body=b"a" * 2048 + b"b" * 100_000)
    job_id = await outbox.ended(endpoint.url)
    await outbox.deliver()
    [attempt] = await outbox.attempts(job_id)
    assert attempt.response == b"a" * 2048
    assert (await outbox.delivery(job_id)).state == "delivered"


async def test_a_late_job_submitted_shows_the_job_as_it_was_then(outbox: Outbox, endpoint: Endpoint) -> None:
    job_id = await outbox.scenario.submit(at=0, notify=(endpoint.url,))
    await outbox.scenario.report(job_id, at=0)
    await outbox.deliver()
    bodies = [msgspec.json.decode(post.body) for post in endpoint.received]
    data = {body["type"]: body["data"] for body in bodies}
    submitted, completed = data["job.submitted"], data["job.completed"]
    assert (submitted["sequence"], completed["sequence"]) == (2, 3)
    assert (submitted["job"]["state"], submitted["job"]["outputs"], submitted["job"]["finalized_at"]) == (
        "submitted",
        [],
        None,
    )
    assert completed["job"]["state"] == "completed"


async def test_without_a_secret_deliveries_wait_until_there_is_one(outbox: Outbox, endpoint: Endpoint) -> None:
    outbox.sender._secrets = ()
    job_id = await outbox.ended(endpoint.url)
    await outbox.deliver()
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.attempts, endpoint.received) == ("pending", 0, [])
    [paused] = outbox.emitted.named("endpoint.paused")
    assert (paused["reason"], paused["endpoint"]) == ("NOTIFY_SECRET is not set", delivery.endpoint_id)
    assert await outbox.due() == []
    outbox.sender._secrets = SECRETS
    await outbox.ledger.put_signing(possible=True)
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "delivered"


async def test_disabling_an_endpoint_notifies_the_other_endpoints(outbox: Outbox, endpoint: Endpoint) -> None:
    async with Endpoint(lambda _: answer(410)).listening() as gone:
        await outbox.ended(gone.url)
        await ask(
            outbox.store,
            "INSERT INTO endpoints (id, url, source, created_at) VALUES ('ep_all', %s, 'api', 1)",
            endpoint.url,
        )
        await outbox.deliver()
    await outbox.deliver()
    [received] = endpoint.received
    notification = msgspec.json.decode(received.body)
    assert notification["type"] == "endpoint.disabled"
    assert notification["timestamp"] == "2026-01-01T00:00:00.000Z"
    data = notification["data"]
    assert (data["sequence"], data["endpoint"]["url"]) == (1, without_query(gone.url))
    assert data["endpoint"]["reason"] == "the endpoint answered 410 Gone"
    assert received.headers["webhook-id"] == f"msg_{data['endpoint']['id']}_1_all"


async def test_a_delivered_notification_is_not_sent_again(outbox: Outbox, endpoint: Endpoint) -> None:
    job_id = await outbox.ended(endpoint.url)
    [task] = await outbox.due()
    await outbox.notifier.handle(task)
    await outbox.notifier.handle(task)
    assert len(endpoint.received) == 1
    assert (await outbox.delivery(job_id)).attempts == 1
