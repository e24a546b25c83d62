"""Real TCP servers on loopback that behave as they are told, and count what they were sent."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from providers.http import NeverSent, Unread

BOUND_SECONDS = 8.0

Behaviour = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One accepted connection, seen from the server."""

    def __init__(self, server: "LoopbackServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self._reader = reader
        self.writer = writer

    async def read_request(self) -> bytes:
        """Read one request whole, or whatever came of it before the client hung up."""
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
        """Hang up so that the other side gets RST, not FIN."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class LoopbackServer:
    """A server: where it is, every byte it was sent, and how many connections it has had and has."""

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
    """Serve `behave` on a free loopback port; whatever still runs at the end is ended."""
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
    """Tell how an exchange ended: its answer, or the exception it raised."""
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            return await sending
    except (NeverSent, Unread) as error:
        return error


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to set an event in
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def unanswered_port() -> Iterator[str]:
    """Bind a port that never completes a connection: nobody accepts, and its backlog is full."""
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
    """Hold a port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0
