"""The input of a job reaches the provider's socket byte for byte as the user sent it."""

import asyncio

import pytest

from outbound.client import Client, open_transport
from providers.registry import open_accounts
from submitter.submit import Submitter
from tests.outbound.loopback import Connection, serve
from tests.receiver.conftest import MakeReceiver

INPUT = (
    b'{ "a": 0.10000000000000000555, "a":1e-400,\r\n\t"b": "\\u0041\\/\\u00e9 \xc3\xa9 \\ud83c\\udfac",'
    b'"c":[ 1.0, -0, 1E+2 ], "d": 123456789012345678901234567890 }'
)


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_the_provider_receives_the_input_as_it_was_posted(make_receiver: MakeReceiver, provider: str) -> None:
    received: list[bytes] = []

    async def behave(connection: Connection) -> None:
        received.append(await connection.read_request())
        await connection.respond(b'{"request_id": "req-1"}')

    async with serve(behave) as server:
        receiver = make_receiver(FAL_QUEUE_URL=server.url, HEYGEN_API_URL=server.url)
        body = b'{"provider":"%s","model":"%s","input":%s}' % (
            provider.encode(),
            {"fal": b"a/b", "heygen": b"Another"}[provider],
            INPUT,
        )
        created = await receiver.http.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
        assert created.status_code == 202, created.text
        assert b'"input":' + INPUT in created.content
        accounts = open_accounts(receiver.settings.providers, public_url=None, tokens=receiver.tokens)
        transport = open_transport(connections=1)
        submitter = Submitter(
            receiver.ledger,
            accounts,
            Client(transport, seconds=5, max_bytes=10_000),
            clock=receiver.clock,
            emit=receiver.emit,
            resubmit="never",
            lease_ms=60_000,
            give_up_after=3_600_000,
        )
        for task in await receiver.ledger.queue.fetch("submit", lease_ms=60_000, limit=1):
            await asyncio.wait_for(submitter.handle(task), 10)
        await transport.aclose()
    assert len(received) == 1
    assert INPUT in received[0]
    if provider == "fal":
        assert received[0].partition(b"\r\n\r\n")[2] == INPUT
