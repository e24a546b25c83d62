"""A server with `HttpProtocol` on a free port, and a client that sends bytes as the test says."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver.http.connections import Limits
from receiver.http.server import SEND_BUFFER, protocol_factory


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with ok, without reading it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Reader:
    """An application that reads each request to its end and answers ok.

    `messages` are what it received, in order; `requests` the path and the body of each request that arrived whole.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.requests: list[tuple[str, bytes]] = []
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called.set()
        body = b""
        while True:
            message = await receive()
            self.messages.append(message)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if message["type"] == "http.request":
            self.requests.append((scope["path"], body))
        await self.may_answer.wait()
        await ok(scope, receive, send)

    @property
    def bodies(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp = ok, **limits: Any) -> AsyncIterator[int]:
    """Serve `app` on a free port, with the usual limits but for those given."""
    quiet: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "proxy_headers": False}
    server = uvicorn.Server(uvicorn.Config(app, http=protocol_factory(Limits(**limits)), **quiet))
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]  # pytest keeps its own handlers
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running


class Caller:
    """A connection of a client."""

    def __init__(self, port: int) -> None:
        self._port = port

    @property
    def port(self) -> int:
        """The port of this end."""
        return int(self._writer.get_extra_info("sockname")[1])

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def say(self, *parts: bytes) -> None:
        """Send each part in a packet of its own, as far as the connection lasts."""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()

    def half_close(self) -> None:
        """Send no more, and still read."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close the connection, and say that nothing is read any more."""
        self._writer.transport.abort()

    async def sent(self, *parts: bytes) -> bool:
        """Send each part in a packet of its own. Returns whether the connection lasted."""
        try:
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            return False
        return not self._writer.is_closing()

    async def quiet(self, seconds: float) -> None:
        """Send nothing for a while."""
        await passed(seconds)

    async def read(self, count: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(5):
            return await self._reader.readexactly(count)

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, as seen by the client."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    async def ok(self) -> bytes:
        """Read one response."""
        async with asyncio.timeout(5):
            return await self._reader.readuntil(b"\r\n\r\nok")

    async def rest(self, *, dribble: bytes = b"") -> bytes:
        """Read until the server closes, for five seconds at most, while sending `dribble` repeatedly."""
        received = b""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while not self._reader.at_eof():
                    try:
                        received += await asyncio.wait_for(self._reader.read(65_536), 0.01 if dribble else None)
                    except TimeoutError:
                        await self.say(dribble)
        return received


async def said(port: int, *parts: bytes) -> bytes:
    """Send the parts on a new connection, and read until the server closes it."""
    async with Caller(port) as caller:
        await caller.say(*parts)
        return await caller.rest()


def statuses(responses: bytes) -> list[int]:
    """Return the status of each response in `responses`, in order."""
    return [int(line[:3]) for line in responses.split(b"HTTP/1.1 ")[1:]]


async def passed(seconds: float) -> None:
    """Wait until timers of the event loop that were set before, for at most `seconds`, have run."""
    fired = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds + 0.01, fired.set)
    await fired.wait()
