"""What a client may make us hold before its request is looked at: a bounded head, for a bounded time."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from receiver import protocol
from receiver.protocol import BoundedProtocol


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server that says ok to everything, on a free port."""

    async def ok(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]

    config = uvicorn.Config(ok, http=BoundedProtocol, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # the tests keep their own
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def said(port: int, *parts: bytes) -> bytes:
    """Send the parts, then listen until the server hangs up, five seconds at most."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
    answer = b""
    try:
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(65_536):
                    answer += part
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answer


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def test_requests_are_answered_one_after_the_other_on_one_connection() -> None:
    async with serving() as port:
        answer = await said(port, HEAD + b"\r\n", HEAD + b"Connection: close\r\n\r\n")
    assert answer.count(b"200 OK") == 2


@pytest.mark.parametrize(
    "part", [b"X: " + b"y" * 70_000 + b"\r\n", b"X: y\r\n" * 20_000], ids=["one long header", "many headers"]
)
async def test_a_head_that_is_too_long_is_refused_and_the_connection_closed(part: bytes) -> None:
    async with serving() as port:
        answer = await said(port, HEAD, part, b"\r\n")
    assert b"200 OK" not in answer


async def test_a_head_of_the_usual_size_passes_again_and_again() -> None:
    head = HEAD + b"X: " + b"y" * 30_000 + b"\r\n"
    async with serving() as port:
        answer = await said(port, *[head + b"\r\n"] * 4, HEAD + b"Connection: close\r\n\r\n")
    assert answer.count(b"200 OK") == 5


@pytest.mark.parametrize("begun", [b"", HEAD], ids=["nothing sent", "half a head"])
async def test_a_connection_that_brings_no_request_is_closed(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with serving() as port:
        assert await said(port, begun) == b""


async def test_a_request_that_came_in_time_may_take_longer_than_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    async with serving() as port:
        answer = await said(port, HEAD + b"Content-Length: 1\r\nConnection: close\r\n\r\n", b"x")
    assert b"200 OK" in answer
