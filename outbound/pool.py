"""The connections of one client: how many are open, and which are kept for the next request."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from outbound.connection import Connection

IDLE_SECONDS = 15.0
"""How long a connection is kept without a request."""


class Origin(NamedTuple):
    """What a connection is for."""

    host: str
    port: int
    tls: bool


class ConnectionPool:
    """At most `most` connections. Without `keep_alive` each is used for one request."""

    def __init__(self, connect: Callable[[Origin], Awaitable[Connection]], *, most: int, keep_alive: bool) -> None:
        self._connect = connect
        self._most = most
        self._keep_alive = keep_alive
        self._places = asyncio.Semaphore(most)
        self._in_use = 0
        self._idle: OrderedDict[Connection, tuple[Origin, float]] = OrderedDict()
        self._by_origin: dict[Origin, list[Connection]] = {}
        self._expiry: asyncio.TimerHandle | None = None

    async def place(self) -> None:
        """Wait for the right to a connection. Every place is given back by `release`."""
        await self._places.acquire()
        self._in_use += 1

    def kept(self, origin: Origin) -> Connection | None:
        """Return a connection that is open since an earlier request, the last used first."""
        while waiting := self._by_origin.get(origin):
            connection = waiting[-1]
            self._forget(connection)
            if connection.open:
                return connection
            connection.close()
        return None

    async def connect(self, origin: Origin) -> Connection:
        """Open a connection; the one that has been idle for longest makes room. Raises what connecting raises."""
        while self._idle and self._in_use + len(self._idle) > self._most:
            self._drop(next(iter(self._idle)))
        return await self._connect(origin)

    def release(self, connection: Connection | None, origin: Origin, *, reusable: bool) -> None:
        """Give a place back, and keep its connection for the next request to `origin`, or close it."""
        self._in_use -= 1
        self._places.release()
        if connection is None:
            return
        if not (reusable and self._keep_alive and connection.open):
            connection.close()
            return
        now = asyncio.get_running_loop().time()
        connection.on_idle_end = self._drop
        self._idle[connection] = (origin, now + IDLE_SECONDS)
        self._by_origin.setdefault(origin, []).append(connection)
        if self._expiry is None:
            self._expire()

    def close(self) -> None:
        """Close the idle connections."""
        for connection in list(self._idle):
            self._drop(connection)
        if self._expiry is not None:
            self._expiry.cancel()

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        connection.on_idle_end = None
        origin, _ = self._idle.pop(connection)
        others = self._by_origin[origin]
        others.remove(connection)
        if not others:
            del self._by_origin[origin]

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection, (_, until) = next(iter(self._idle.items()))
            if until > loop.time():
                self._expiry = loop.call_at(until, self._expire)
                return
            self._drop(connection)
        self._expiry = None
