"""Word of what is due: to this process at once, to the others by NOTIFY, which nothing relies on but speed."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable
from weakref import WeakValueDictionary

import psycopg
from psycopg_pool import PoolClosed

from ledger.errors import LedgerError
from ledger.postgres.connections import Pool, connect

CHANNEL = "renderhook_due"
GATHER_SECONDS = 0.005
"""What is due within so short a while is told together: each NOTIFY takes a lock that the whole database shares."""

MOST_NAMES = 100
"""Names in one notification, whose payload may have 8,000 bytes; more are told as `*`, which means everybody."""

AGAIN_SECONDS = 1.0
HANG_UP_SECONDS = 0.5
_AWAY = (psycopg.Error, PoolClosed, LedgerError, TimeoutError)
ALIVE_SECONDS = 30.0
"""How often a connection that hears nothing is asked whether it still lives."""


class Wakeups:
    """Events by name. `spread` sets those of this process and tells the others; `listens` hears the others."""

    def __init__(self, url: str, pool: Pool, *, listens: bool) -> None:
        self._url = url
        self._pool = pool
        self._listens = listens
        self._us = secrets.token_hex(8)
        self._due: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._untold: set[str] = set()
        self._something_untold = asyncio.Event()
        self._closing = False
        self._tasks = [asyncio.create_task(self._tell_forever(), name="ledger-news")]

    def due(self, what: str) -> asyncio.Event:
        """Return the event of that name. The first one that is asked for makes us listen."""
        if self._listens:
            self._listens = False
            self._tasks.append(asyncio.create_task(self._listen_forever(), name="ledger-listener"))
        return self._due.setdefault(what, asyncio.Event())

    def spread(self, names: Iterable[str]) -> None:
        """Tell of what is due."""
        for name in names:
            if (event := self._due.get(name)) is not None:
                event.set()
            self._untold.add(name)
            self._something_untold.set()

    async def close(self) -> None:
        """Tell what is left to tell, then stop listening and telling, whatever the database does."""
        self._closing = True
        self._something_untold.set()
        await asyncio.wait(self._tasks[:1], timeout=HANG_UP_SECONDS)  # it may be in the middle of telling
        for _ in range(3):  # the first asks the database to stop, which may not hear; the next one hangs up
            for task in self._tasks:
                task.cancel()
            _, late = await asyncio.wait(self._tasks, timeout=HANG_UP_SECONDS)
            if not late:
                break

    async def _tell_forever(self) -> None:
        while not self._closing:
            await self._something_untold.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._something_untold.clear()
            await self._tell()

    async def _tell(self) -> None:
        names, self._untold = self._untold, set()
        if not names:
            return
        payload = f"{self._us}:{','.join(sorted(names)) if len(names) <= MOST_NAMES else '*'}"
        with contextlib.suppress(*_AWAY):  # they look by themselves, a little later
            async with self._pool.connection() as connection:
                await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    async def _listen_forever(self) -> None:
        while not self._closing:  # a cancellation may be lost in a connection that breaks at the same time
            with contextlib.suppress(*_AWAY):  # nothing depends on it: whoever waits looks by himself too
                await self._listen()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        async with await connect(self._url) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._hear("*")  # what was missed meanwhile
            while True:
                async for notification in connection.notifies(timeout=ALIVE_SECONDS):
                    teller, _, names = notification.payload.partition(":")
                    if teller != self._us:
                        self._hear(names)
                async with asyncio.timeout(ALIVE_SECONDS):
                    await connection.execute("")

    def _hear(self, names: str) -> None:
        for name in list(self._due) if names == "*" else names.split(","):
            if (event := self._due.get(name)) is not None:
                event.set()
