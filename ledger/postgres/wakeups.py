"""Wake-ups for due work: events in this process, NOTIFY for others. An optimisation: workers also poll."""

import asyncio
import contextlib
import secrets
from collections.abc import Collection

import psycopg
from psycopg_pool import PoolClosed

from ledger.errors import LedgerError
from ledger.postgres.connections import Pool, connect
from ledger.storage.due_events import DueEvents

CHANNEL = "renderhook_due"
BATCH_SECONDS = 0.005
"""What becomes due within this time is sent together: each NOTIFY takes a lock that the whole database shares."""

MOST_NAMES = 100
"""Names in one notification, whose payload is limited to 8,000 bytes. More are sent as `*`, which means all."""

RECONNECT_SECONDS = 1.0
CLOSE_SECONDS = 0.5
_UNAVAILABLE = (psycopg.Error, PoolClosed, LedgerError, TimeoutError)
ALIVE_SECONDS = 30.0
"""How often an idle listening connection is checked."""


class Wakeups:
    """Events by name. `publish` sets those of this process and notifies the others; `listens` receives theirs."""

    def __init__(self, url: str, pool: Pool, *, listens: bool) -> None:
        self._url = url
        self._pool = pool
        self._listens = listens
        self._sender = secrets.token_hex(8)
        self._events = DueEvents()
        self._unsent: set[str] = set()
        self._not_empty = asyncio.Event()
        self._closing = False
        self._tasks = [asyncio.create_task(self._notify_forever(), name="ledger wake-ups")]

    def due(self, what: str) -> asyncio.Event:
        """Return the event of that name. The first call starts listening."""
        if self._listens:
            self._listens = False
            self._tasks.append(asyncio.create_task(self._listen_forever(), name="ledger listener"))
        return self._events.get(what)

    def publish(self, names: Collection[str]) -> None:
        """Set the events of these names here, and notify the other processes."""
        self._events.set(names)
        self._unsent.update(names)
        self._not_empty.set()

    async def close(self) -> None:
        """Send what is left, then stop, in bounded time even if the database does not answer."""
        self._closing = True
        self._not_empty.set()
        await asyncio.wait(self._tasks[:1], timeout=CLOSE_SECONDS)  # a notification may be in progress
        for _ in range(3):  # the first cancels the statement, the next closes the connection
            for task in self._tasks:
                task.cancel()
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            if not late:
                break

    async def _notify_forever(self) -> None:
        while not self._closing:
            await self._not_empty.wait()
            await asyncio.sleep(BATCH_SECONDS)
            self._not_empty.clear()
            await self._notify()

    async def _notify(self) -> None:
        names, self._unsent = self._unsent, set()
        if not names:
            return
        payload = f"{self._sender}:{','.join(sorted(names)) if len(names) <= MOST_NAMES else '*'}"
        with contextlib.suppress(*_UNAVAILABLE):  # the other processes poll too
            async with self._pool.connection() as connection:
                await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    async def _listen_forever(self) -> None:
        while not self._closing:  # a cancellation may be lost in a connection that breaks at the same time
            with contextlib.suppress(*_UNAVAILABLE):  # workers poll too
                await self._listen()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        async with await connect(self._url) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._received("*")  # notifications may have been missed
            while True:
                async for notification in connection.notifies(timeout=ALIVE_SECONDS):
                    sender, _, names = notification.payload.partition(":")
                    if sender != self._sender:
                        self._received(names)
                async with asyncio.timeout(ALIVE_SECONDS):
                    await connection.execute("")

    def _received(self, names: str) -> None:
        if names == "*":
            self._events.set_all()
        else:
            self._events.set(names.split(","))
