"""One connection to a server: bytes out with backpressure, bytes in with bounds. It knows nothing of HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

WRITE_STEP = 65_536
"""Bytes that are handed to the operating system at once; the rest of a body waits in the one copy that there is."""

READ_STEP = 8_192
"""Bytes that are returned at once: between two steps the event loop serves others."""

MOST_UNREAD = 262_144
"""Received bytes that may wait here before the server has to wait."""


class Connection(asyncio.Protocol):
    """A connection that is used for one request at a time. `on_idle_end` is called when it ends or speaks unasked."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = bytearray()
        self._backlog = False
        self._paused = False
        self._ended = False
        self._error: BaseException | None = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._write_blocked = False
        self._writing: asyncio.Task[None] | None = None
        self.on_idle_end: Callable[[Connection], None] | None = None

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the transport."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=WRITE_STEP)

    def data_received(self, data: bytes) -> None:
        """Keep what came, and let the server wait when it is too much."""
        self._received += data
        if len(self._received) > MOST_UNREAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> None:
        """Note that nothing follows. The transport closes itself."""
        self._ended = True
        self._wake_reader()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end, and why."""
        self._ended = True
        self._error = self._error or exc
        self._wake_reader()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Hold what is left of a body: the server reads slowly."""
        self._write_blocked = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self._write_blocked = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- for the pool and the transport -----------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether a request may be written: the server has neither closed nor said anything unasked."""
        return not self._ended and not self._received and not self._transport.is_closing()

    @property
    def written(self) -> bool:
        """Whether the request has been handed to the operating system whole."""
        return self._writing is None or self._writing.done()

    def write(self, head: bytes, body: bytes) -> None:
        """Send `head` and `body`, the end of a long body in the background. From here on the request may arrive."""
        self._writing = None
        if len(body) <= WRITE_STEP:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._writing = asyncio.get_running_loop().create_task(self._write_in_steps(memoryview(body)))

    async def read(self) -> bytes:
        """Return what came next; nothing when the server has closed. Raises OSError when the connection was lost."""
        if self._backlog:
            await asyncio.sleep(0)
        while not self._received and not self._ended:
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        if not self._received and self._error is not None:
            raise self._error if isinstance(self._error, OSError) else ConnectionError(str(self._error))
        step = bytes(self._received[:READ_STEP])
        del self._received[:READ_STEP]
        self._backlog = bool(self._received)
        if self._paused and not self._backlog:
            self._paused = False
            self._transport.resume_reading()
        return step

    def close(self) -> None:
        """Close at once; what is not yet sent is dropped."""
        self.on_idle_end = None
        if self._writing is not None:
            self._writing.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _write_in_steps(self, body: memoryview) -> None:
        for start in range(0, len(body), WRITE_STEP):
            while self._write_blocked and not self._ended:
                self._writable = asyncio.get_running_loop().create_future()
                await self._writable
            if self._ended:
                return
            self._transport.write(body[start : start + WRITE_STEP])

    def _wake_reader(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)
        if self.on_idle_end is not None:
            self.on_idle_end(self)
