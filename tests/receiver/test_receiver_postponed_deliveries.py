"""An endpoint that was not reached for a reason on our side: nothing counts against it, and it is tried again soon."""

import asyncio
import json

import pytest

from ledger.storage.store import Store
from outbound.client import NotReached
from outbound.targets import Targets
from providers.http import Request, Response
from receiver.notifier.notifier import POSTPONE_MS
from tests.conftest import Clock, EmittedEvents
from tests.database import ON_BOTH_DATABASES
from tests.receiver.endpoints import Endpoint, Outbox, guarded_client
from tests.receiver.test_receiver_large_notifications import ended

LOOPBACK = Targets(["127.0.0.1"])
SMALL, LARGE = "{}", json.dumps({"prompt": "a" * 100_000})


@ON_BOTH_DATABASES
@pytest.mark.parametrize("text", [SMALL, LARGE], ids=["small", "large"])
async def test_an_attempt_that_we_could_not_make_is_not_counted(
    store: Store, clock: Clock, emitted: EmittedEvents, text: str
) -> None:
    sent = []

    async def send(request: Request) -> Response:
        sent.append(request)
        if len(sent) == 1:
            raise NotReached("no connection was free")
        return Response(status=200)

    outbox = Outbox(store, clock, emitted, send, Targets(()))
    job_id = await ended(outbox, "https://u.example/", text=text)
    await outbox.deliver()
    delivery = await outbox.delivery(job_id)
    assert (delivery.state, delivery.attempts, await outbox.attempts(job_id)) == ("pending", 0, [])
    assert await outbox.next_due() == clock() + POSTPONE_MS
    assert emitted.named("delivery.postponed") == [{"reason": "no connection was free"}]
    clock.pass_seconds(POSTPONE_MS / 1000)
    await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "delivered"
    assert len(await outbox.attempts(job_id)) == 1


async def test_an_endpoint_whose_name_is_still_looked_up_gives_its_place_to_others(
    store: Store, clock: Clock, emitted: EmittedEvents, endpoint: Endpoint
) -> None:
    ready, asked = asyncio.Event(), []

    async def name_ready(host: str, seconds: float) -> bool:
        asked.append((host, seconds))
        return ready.is_set()

    async with guarded_client(LOOPBACK) as send:
        outbox = Outbox(store, clock, emitted, send, LOOPBACK, name_ready=name_ready)
        job_id = await outbox.ended(endpoint.url)
        await outbox.deliver()
        assert (await outbox.delivery(job_id)).attempts == 0
        assert await outbox.next_due() == clock() + POSTPONE_MS
        assert asked == [("127.0.0.1", 0.5)]  # the place is needed: this notifier has one
        ready.set()
        clock.pass_seconds(POSTPONE_MS / 1000)
        await outbox.deliver()
    assert (await outbox.delivery(job_id)).state == "delivered"
