"""NOTIFY_URL and NOTIFY_SECRET at start: while one is absent, deliveries wait, with one warning."""

import pytest

from receiver.notifier.notify_settings import put_notify_settings
from receiver.settings import read_settings
from tests.receiver.endpoints import Endpoint, Outbox

SECRET = "whsec_" + "bmV3" * 8


async def start(outbox: Outbox, **environment: str) -> list[tuple[str, dict[str, object]]]:
    """Start with these settings, and return the emitted events."""
    outbox.emitted.clear()
    await put_notify_settings(read_settings(environment), outbox.ledger, emit=outbox.emitted)
    return list(outbox.emitted)


async def test_a_start_without_notify_url_warns_once_with_the_number_of_waiting_deliveries(
    outbox: Outbox, endpoint: Endpoint
) -> None:
    assert await start(outbox) == []
    assert await start(outbox, NOTIFY_URL=endpoint.url, NOTIFY_SECRET=SECRET) == []
    for number in range(3):
        await outbox.ended(request_id=f"req-{number}")
    waiting = [("endpoint.paused", {"reason": "NOTIFY_URL is not set", "pending": 3})]
    assert await start(outbox, NOTIFY_SECRET=SECRET) == waiting
    await outbox.deliver()
    assert endpoint.received == []
    assert (await outbox.ledger.count_needing_attention())["paused"] == 3
    assert await start(outbox, NOTIFY_URL=endpoint.url, NOTIFY_SECRET=SECRET) == []
    await outbox.deliver()
    assert len(endpoint.received) == 3


@pytest.mark.usefixtures("endpoint")
async def test_notify_url_none_discards_pending_deliveries_with_one_warning(outbox: Outbox, endpoint: Endpoint) -> None:
    await start(outbox, NOTIFY_URL=endpoint.url, NOTIFY_SECRET=SECRET)
    job_id = await outbox.ended()
    assert await start(outbox, NOTIFY_URL="none") == [("endpoint.removed", {"discarded": 1})]
    assert await start(outbox, NOTIFY_URL="none") == []
    assert (await outbox.delivery(job_id)).state == "discarded"


async def test_a_start_without_notify_secret_pauses_the_endpoints_of_jobs(outbox: Outbox, endpoint: Endpoint) -> None:
    job_id = await outbox.ended(endpoint.url)
    assert await start(outbox) == [("endpoint.paused", {"reason": "NOTIFY_SECRET is not set", "pending": 1})]
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "pending"
    assert await start(outbox, NOTIFY_SECRET=SECRET) == []
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "delivered"
