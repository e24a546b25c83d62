"""Clients that read their responses slowly, or not at all."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tests.receiver.callers import Reader, passed, serving
from tests.receiver.harness import until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def silent() -> AsyncIterator[Any]:
    """Connect clients with small buffers that do not read."""
    opened: list[socket.socket] = []

    def connect(port: int) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.close()


LARGE = 2_000_000


class Large:
    """An application whose responses are large. `responses` counts those that it has written."""

    def __init__(self) -> None:
        self.responses = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.responses += 1


async def test_a_client_that_does_not_read_its_response_is_cut_off(silent: Any) -> None:
    app = Large()
    async with serving(app, stalled_seconds=0.1) as port:
        client = silent(port)
        await asyncio.get_running_loop().sock_sendall(client, GET * 3)
        await until(lambda: app.responses == 1)  # the rest of it was dropped when the connection was lost
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := await asyncio.get_running_loop().sock_recv(client, 65_536):
                received += len(part)
    assert received < LARGE
    assert app.responses == 1


async def test_a_client_that_reads_slowly_is_served(silent: Any) -> None:
    app, loop = Large(), asyncio.get_running_loop()
    async with serving(app, stalled_seconds=0.5, stalled_bytes=1) as port:
        client = silent(port)
        await loop.sock_sendall(client, GET)
        received = 0
        while received < LARGE:
            received += len(await loop.sock_recv(client, 400_000))
            await passed(0.0)
    assert app.responses == 1


async def test_a_last_response_arrives_whole_at_a_client_that_reads_slowly(silent: Any) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * LARGE})

    loop = asyncio.get_running_loop()
    async with serving(answer, linger_idle_seconds=0.01, stalled_seconds=0.5, stalled_bytes=1) as port:
        client = silent(port)
        await loop.sock_sendall(client, b"GET / HTTP/1.0\r\n\r\n")
        received = b""
        while part := await loop.sock_recv(client, 200_000):
            received += part
            await passed(0.0)
    assert received.count(b"x") == LARGE


async def test_requests_behind_responses_that_are_not_read_are_not_received(silent: Any) -> None:
    app, loop = Reader(), asyncio.get_running_loop()
    async with serving(app) as port:
        client = silent(port)
        sent, flood = 0, GET * 10_000
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                async with asyncio.timeout(0.5):
                    await loop.sock_sendall(client, flood)
                sent += len(flood)
        client.close()
    # What the kernel's buffers hold in both directions, and not what the client would like to send.
    assert sent < 50_000_000
