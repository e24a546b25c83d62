"""Endpoints that listen on loopback, and the notifier that delivers to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp.abc import AbstractResolver

from ledger.ledger import Ledger
from ledger.requests import Task
from ledger.rows import Attempt, Delivery
from ledger.storage.store import Store
from outbound.client import Client, open_transport
from outbound.targets import GuardedResolver, Targets
from receiver.notifier.attempts import KEPT_BYTES, AttemptSender
from receiver.notifier.notifier import Notifier
from tests.conftest import Clock, EmittedEvents
from tests.ledger.conftest import Scenario

SECRETS = (b"n" * 32, b"o" * 32)


@dataclass
class ReceivedPost:
    """One POST that an endpoint received."""

    head: str
    headers: dict[str, str]
    body: bytes


Responses = Callable[[int], bytes | None]
"""The response to the first, second, ... request; None never responds."""


def answer(status: int, *headers: str, body: bytes = b"ok") -> bytes:
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Endpoint:
    """A server that keeps the requests it receives and responds as the test says."""

    def __init__(self, answers: Responses = lambda _: answer(200)) -> None:
        self.responses = answers
        self.received: list[ReceivedPost] = []
        self.url = ""
        self.port = 0
        self._open: set[asyncio.Task[Any]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._answer(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(ReceivedPost(head, headers, body))
        response = self.responses(len(self.received))
        if response is None:
            await reader.read()  # until the client closes
            return
        writer.write(response)
        await writer.drain()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Endpoint"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks?token=in-the-query"
        try:
            yield self
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
            await server.wait_closed()


@contextlib.asynccontextmanager
async def guarded_client(
    targets: Targets, resolver: AbstractResolver | None = None, *, seconds: float = 10
) -> AsyncIterator[Client]:
    """The client of deliveries, composed as the process does."""
    client = open_transport(
        connections=64, socket_factory=targets.socket_factory, resolver=GuardedResolver(targets, resolver)
    )
    async with contextlib.aclosing(client):
        yield Client(client, seconds=seconds, max_bytes=KEPT_BYTES, cut=True)


class Outbox:
    """A notifier on a real database, which delivers when the test says so.

    Without `lingering` it releases an endpoint at once when nothing is due, as it does when it is at its limit.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        emitted: EmittedEvents,
        send: Client,
        targets: Targets,
        *,
        secrets: Sequence[bytes] = SECRETS,
        lingering: bool = False,
    ) -> None:
        self.store, self.clock, self.emitted, self.scenario = store, clock, emitted, Scenario(store)
        self.ledger = Ledger(store, clock)
        self.sender = AttemptSender(self.ledger, send, targets, clock=clock, emit=emitted, secrets=secrets, at_once=100)
        self.stop = asyncio.Event()
        self.notifier = Notifier(
            self.ledger,
            self.sender,
            clock=clock,
            hold_ms=20_000,
            stop=self.stop,
            at_once=100 if lingering else 1,
        )

    async def ended(self, *urls: str, request_id: str = "req-1") -> str:
        """Make a job with one due delivery for each URL: it ended before its submission was confirmed."""
        job_id = await self.scenario.accept(at=0, notify=urls)
        await self.scenario.begin(job_id, at=0)
        await self.scenario.report(job_id, at=0, request_id=request_id)
        return job_id

    async def due(self) -> list[Task]:
        return list(await self.ledger.queue.fetch("deliver", lease_ms=60_000, limit=100))

    async def deliver(self) -> None:
        """Handle every `deliver` task that is due, one after the other."""
        for task in await self.due():
            await self.notifier.handle(task)

    async def next_due(self) -> int | None:
        return await self.ledger.queue.next_due("deliver")

    async def deliveries(self, job_id: str) -> list[Delivery]:
        return await self.ledger.deliveries_of_job(job_id)

    async def delivery(self, job_id: str) -> Delivery:
        [only] = await self.deliveries(job_id)
        return only

    async def attempts(self, job_id: str) -> list[Attempt]:
        return await self.ledger.attempts((await self.delivery(job_id)).id)
