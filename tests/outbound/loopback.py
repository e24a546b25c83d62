"""TCP servers on loopback whose behaviour a test defines, and which keep what they receive."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from providers.http import NeverSent, Unread

TIMEOUT_SECONDS = 8.0

Behaviour = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One accepted connection, seen from the server."""

    def __init__(self, server: "LoopbackServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self._reader = reader
        self.writer = writer

    async def read_request(self) -> bytes:
        """Read one request, or what arrived of it before the client closed the connection."""
        received = b""
        while not (parts := re.match(rb"(?s)(.*?\r\n\r\n)(.*)", received)) or len(parts[2]) < _length(parts[1]):
            more = await self._reader.read(65536)
            if not more:
                break
            self.server.received += more
            received += more
        return received

    async def write(self, *answers: bytes) -> None:
        for answer in answers:
            self.writer.write(answer)
            await self.writer.drain()

    async def respond(self, body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> None:
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
        await self.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Close the connection with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class LoopbackServer:
    """A server: its URL, every byte that it received, and its numbers of connections."""

    def __init__(self) -> None:
        self.url = ""
        self.received = b""
        self.calls = 0
        self.open = 0
        self.most_open = 0

    def times_sent(self, mark: str) -> int:
        return self.received.count(mark.encode())


@contextlib.asynccontextmanager
async def serve(behave: Behaviour) -> AsyncIterator[LoopbackServer]:
    """Run `behave` for every connection to a free loopback port. What still runs at the end is cancelled."""
    served = LoopbackServer()
    running: set[asyncio.Task[None]] = set()

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.calls += 1
        served.open += 1
        served.most_open = max(served.most_open, served.open)
        try:
            with contextlib.suppress(ConnectionError):
                await behave(Connection(served, reader, writer))
        finally:
            served.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(call(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


async def result_of(sending: Awaitable[object]) -> object:
    """Return the response, or the exception `NeverSent` or `Unread`."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await sending
    except (NeverSent, Unread) as error:
        return error


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` is true, checking it in each iteration of the event loop."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def unanswered_port() -> Iterator[str]:
    """Yield a URL whose port never completes a connection, because its backlog is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def refused_port() -> Iterator[str]:
    """Yield a URL whose port is bound but not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0
