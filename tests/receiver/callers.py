"""A server with our protocol on a free port, and somebody who calls it byte by byte."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.web.protocol import BoundedProtocol


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    """Say ok to everything, without reading it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Reader:
    """An application that reads each request to its end, and says ok. `heard` is what came, in order."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called.set()
        while True:
            self.heard.append(await receive())
            if not self.heard[-1].get("more_body"):
                break
        await self.may_answer.wait()
        await ok(scope, receive, send)

    @property
    def bodies(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.heard)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp = ok, *, most: int | None = None) -> AsyncIterator[int]:
    """Serve `app` on a free port, to so many connections at once."""
    quiet: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False, "proxy_headers": False}
    config = uvicorn.Config(app, http=BoundedProtocol, limit_concurrency=most, **quiet)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # the tests keep their own
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running


class Caller:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def say(self, *parts: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()

    @property
    def closed(self) -> bool:
        """Whether the other side has hung up, as far as anybody can tell who goes on talking."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    async def ok(self) -> bytes:
        """Hear one answer to its end."""
        async with asyncio.timeout(5):
            return await self._reader.readuntil(b"\r\n\r\nok")

    async def rest(self, *, dribble: bytes = b"") -> bytes:
        """Hear all until the other side hangs up, five seconds at most; say `dribble` again and again meanwhile."""
        heard = b""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while not self._reader.at_eof():
                    try:
                        heard += await asyncio.wait_for(self._reader.read(65_536), 0.01 if dribble else None)
                    except TimeoutError:
                        await self.say(dribble)
        return heard


async def said(port: int, *parts: bytes) -> bytes:
    """Say the parts on a connection of their own, then hear all until the server hangs up."""
    async with Caller(port) as caller:
        await caller.say(*parts)
        return await caller.rest()


async def passed(seconds: float) -> None:
    """Wait until a clock of the loop that was set before now, to so many seconds, has struck if it was not stopped."""
    struck = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds + 0.01, struck.set)
    await struck.wait()
