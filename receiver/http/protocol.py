"""The HTTP protocol of a connection, which uvicorn's server drives: requests one after another, each with its limits.

It takes the place of uvicorn's own (decision 0018). A request is read only when the response to the one before it has
been sent, so that what a connection costs does not depend on how much its client sends.
"""

import asyncio
import math
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from receiver.http.connections import Limits, WaitingConnections
from receiver.http.deadline import Deadline
from receiver.http.exchange import Exchange
from receiver.http.heads import Head, Header
from receiver.http.request_heads import RequestHeads
from receiver.http.responses import render_problem
from receiver.http.write_flow import WriteFlow
from receiver.web.problems import Problem, service_unavailable


class HttpProtocol(asyncio.Protocol):
    """A connection. It waits for a request, has an `Exchange`, or has ended and lingers until the client closes."""

    transport: asyncio.Transport
    flow: WriteFlow

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - the state of ASGI's lifespan, which is off
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
        waiting: WaitingConnections,
    ) -> None:
        self._heads = RequestHeads()
        self.buffer = self._heads.buffer
        self.stopping = False
        self._app: ASGIApp = config.loaded_app
        self._server_state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._limits = limits
        self._waiting = waiting
        self._deadline = Deadline(self._loop, self._time_out)
        self._exchange: Exchange | None = None
        self._in_head = True  # a request has begun, or its time has
        self._reading = True
        self._half_closed = False
        self._ended = False
        self._lingers_until = 0.0
        self._dropped = 0
        self._unsent = math.inf  # bytes of responses at the last time-out

    @property
    def response_headers(self) -> list[Header]:
        """The Date, which the server renews each second."""
        return self._server_state.default_headers

    # --- what the transport reports ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own does not derive from it
        self.flow = WriteFlow(self.transport, self._loop, self._limits)
        self._server, self._client = _address(self.transport, "sockname"), _address(self.transport, "peername")
        connections = self._server_state.connections
        connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own; it calls shutdown()
        now = self._loop.time()
        if self._limits.most is not None and len(connections) > self._limits.most:
            longest = self._waiting.longest(since=now - self._limits.evict_after)
            if longest is None:
                self._app = refuse_connection
            else:
                longest.evict()
        self._waiting.add(self, now)
        self._deadline.set(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """Disconnect the application, and stop the timers."""
        self._server_state.connections.discard(self)
        self._ended = True
        self._waiting.remove(self)
        self._deadline.close()
        if self._exchange is not None:
            self._exchange.disconnect()
            self._exchange = None
        self.flow.resume()

    def pause_writing(self) -> None:
        """Let the application wait until the client takes what was sent."""
        self.flow.pause()

    def resume_writing(self) -> None:
        """Let the application go on, or read the next request."""
        self.flow.resume()
        if self._exchange is None and not self._ended:
            self._read_request()

    def data_received(self, data: bytes) -> None:
        """Begin a request, add to the body of one, or keep what belongs to the next."""
        if self._ended:
            self._drop(len(data))
            return
        self.buffer += data
        if self._exchange is not None:
            self._exchange.data_arrived()
        elif not self.flow.paused:
            self._read_request()
        if len(self.buffer) > self._limits.read_ahead:
            self._pause_reading()

    def eof_received(self) -> bool:
        """Answer what was received whole; the client may still read. Returns whether the connection stays open."""
        self._half_closed = True
        if self._exchange is not None:
            self._exchange.cut_short()
            return True
        if self.flow.paused and self.buffer and not self._ended:
            return True
        self._ended = True
        self._deadline.set(self._limits.linger_idle_seconds)
        return False

    # --- what the server asks ---

    def shutdown(self) -> None:
        """Close the connection after the response in progress."""
        self.stopping = True
        if self._exchange is None:
            self._deadline.set(self._limits.stopping_seconds)
            if not self._ended:
                self.transport.close()

    def evict(self) -> None:
        """Close the connection at once, to make room for another one."""
        self._server_state.connections.discard(self)
        self._waiting.remove(self)
        self.transport.abort()

    # --- what the exchange reports ---

    def body_taken(self, *, complete: bool) -> None:
        """Receive more of the body, or stop its timer."""
        if complete:
            self._deadline.clear()
        if len(self.buffer) <= self._limits.read_ahead:
            self._resume_reading()

    def exchange_ended(self, exchange: Exchange) -> None:
        """Drop what the application has not read of the body, and read the next request or end the connection."""
        self._exchange = None
        self._unsent = math.inf
        if not exchange.keeps_alive or self.stopping:
            self._end()
            return
        if not exchange.body.complete:
            exchange.body.take(self.buffer)
        self._deadline.set(self._limits.keep_alive_seconds)
        self._waiting.add(self, self._loop.time())
        if not self.flow.paused:
            self._read_request()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem, unless a response has begun, and end the connection."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnect()
        if exchange is not None and exchange.started:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(render_problem(problem, self.response_headers))
            self._end()

    # --- requests ---

    def _read_request(self) -> None:
        try:
            head = self._heads.take()
        except Problem as problem:
            self.refuse(problem)
            return
        if head is not None:
            self._begin(head)
        elif self._half_closed:
            self._end()
        else:
            if not self._in_head and self._heads.has_begun:
                self._in_head = True
                self._deadline.set(self._limits.head_seconds)
            self._resume_reading()

    def _begin(self, head: Head) -> None:
        self._waiting.remove(self)
        self._in_head = False
        self._exchange = exchange = Exchange(self, head, self._server, self._client)
        if exchange.body.complete or exchange.body.has_arrived(self.buffer):
            self._deadline.clear()
        else:
            self._deadline.set(self._limits.body_seconds)
            if self._half_closed:
                exchange.cut_short()
        if len(self.buffer) <= self._limits.read_ahead:
            self._resume_reading()
        task = self._loop.create_task(exchange.run(self._app))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    # --- the end ---

    def _time_out(self) -> None:
        exchange, unsent = self._exchange, self.transport.get_write_buffer_size()
        if exchange is not None and exchange.wants_body:
            self.refuse(Problem(408, f"the body did not arrive within {self._limits.body_seconds:g} s"))
        elif exchange is not None:  # the application is busy with something else, so reading may be paused
            self._deadline.set(1.0)
        elif not unsent:
            self.transport.close()
        elif unsent <= self._unsent - self._limits.stalled_bytes and not self.stopping:  # the client takes it slowly
            self._unsent = unsent
            self._deadline.set(self._limits.stalled_seconds)
        else:
            self.transport.abort()

    def _end(self) -> None:
        """Send what was written and the end of the stream, then drop what arrives until the client closes as well.

        Closing at once could reset the connection while the client still sends, and take the response from it.
        """
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        self.buffer.clear()
        now = self._loop.time()
        self._waiting.add(self, now)
        self._lingers_until = now + self._limits.linger_seconds
        self._deadline.set(self._limits.stopping_seconds if self.stopping else self._limits.linger_idle_seconds)
        if self._half_closed:
            self.transport.close()
        else:
            self.transport.write_eof()
            self._resume_reading()

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._dropped > self._limits.linger_bytes:
            self.transport.abort()
        elif not self.stopping:
            left = self._lingers_until - self._loop.time()
            self._deadline.set(min(self._limits.linger_idle_seconds, left))

    def _pause_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and not (self._half_closed or self.transport.is_closing()):
            self._reading = True
            self.transport.resume_reading()


def _address(transport: asyncio.Transport, name: str) -> tuple[str, int] | None:
    address = transport.get_extra_info(name)  # IPv6 addresses have four parts
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None


async def refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 and close: there are too many connections. Providers retry."""
    response = service_unavailable("too many connections (MAX_CONNECTIONS)").response()
    response.headers["connection"] = "close"
    await response(scope, receive, send)
