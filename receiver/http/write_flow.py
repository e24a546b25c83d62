"""What waits to be sent on a connection: the application waits with it, and a client that does not take it is cut."""

import asyncio

from receiver.http.connections import Limits


class WriteFlow:
    """Follows the transport's reports that too much waits to be sent, and that it no longer does."""

    __slots__ = ("_before", "_handle", "_limits", "_loop", "_resumed", "_transport", "paused")

    def __init__(self, transport: asyncio.WriteTransport, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._transport = transport
        self._loop = loop
        self._limits = limits
        self._resumed = asyncio.Event()
        self._handle: asyncio.TimerHandle | None = None
        self._before = 0
        self.paused = False

    def pause(self) -> None:
        """Begin to watch: the client has to take something in `stalled_seconds`, and again after that."""
        self.paused = True
        self._resumed.clear()
        self._watch()

    def resume(self) -> None:
        """Let the application go on. Also called when the connection is lost."""
        self.paused = False
        self._resumed.set()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    async def drained(self) -> None:
        """Wait until the application may go on."""
        await self._resumed.wait()

    def _watch(self) -> None:
        self._before = self._transport.get_write_buffer_size()
        self._handle = self._loop.call_later(self._limits.stalled_seconds, self._check)

    def _check(self) -> None:
        if self._before - self._transport.get_write_buffer_size() < self._limits.stalled_bytes:
            self._transport.abort()
        else:
            self._watch()
