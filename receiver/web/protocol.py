"""uvicorn's HTTP protocol with limits on the size and time of a request's head, and on the time of its body."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.web.problems import service_unavailable

LONGEST_HEAD = 65_536
"""Bytes of a request's line and headers, which httptools does not limit."""

HEADER_OVERHEAD = 32
"""Counted for each header besides its bytes, as in https://www.rfc-editor.org/rfc/rfc7541#section-4.1."""

HEAD_SECONDS = 20.0
"""How long a connection may take to send a request's head, or to begin one."""

BODY_SECONDS = 30.0
"""How long a request's body may take after its head. fal waits 15 s for the first response."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request does not arrive. A head that is too long is answered 400, a late body 408.

    Trailers count as a head does: https://www.rfc-editor.org/rfc/rfc9112#section-7.1.2
    """

    _in_head = True
    _head = 0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        """Apply `limit_concurrency` to new connections: uvicorn's own check also refuses requests of older ones."""
        super().__init__(config, *arguments, **options)
        self.limit_concurrency = None
        self._max_connections = config.limit_concurrency

    def connection_made(self, transport: Any) -> None:
        """Start the timer of the first request."""
        super().connection_made(transport)
        if self._max_connections is not None and len(self.connections) > self._max_connections:
            self.app = refuse_connection
        self._start_timer(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data; while a head or body is incomplete, its timer runs."""
        self._head += len(data)
        super().data_received(data)
        if self._head + HEADER_OVERHEAD * len(self.headers or ()) > LONGEST_HEAD:
            self._refuse_head()
        elif self._timer is None:
            self._start_timer_if_incomplete()

    def on_message_begin(self) -> None:
        """Start counting a request's head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Pass the request on, unless its head is too long. Its body has limits of its own."""
        self._in_head = False
        self._stop_timer()
        size = len(self.url) + sum([len(name) + len(value) + HEADER_OVERHEAD for name, value in self.headers])
        if size > LONGEST_HEAD:
            raise ValueError(f"a request's head is longer than {LONGEST_HEAD} bytes")  # uvicorn answers 400 and closes
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body. Only heads and trailers are counted."""
        self._head = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Start the timer of the body of the next pipelined request."""
        super().on_response_complete()
        if self._timer is None and self._body_is_incomplete():
            self._start_timer(BODY_SECONDS)

    def on_message_complete(self) -> None:
        """Stop the timer: the body is complete. The rest of this chunk is not counted into the next head."""
        self._head = 0
        self._stop_timer()
        super().on_message_complete()

    def _refuse_head(self) -> None:
        if self._in_head and not self.pipeline:
            self.send_400_response("Invalid HTTP request received.")
        self.transport.close()

    def _start_timer_if_incomplete(self) -> None:
        if self._in_head:
            self._start_timer(HEAD_SECONDS)
        elif self._body_is_incomplete():
            if not self.pipeline:  # otherwise reading is paused until its turn
                self._start_timer(BODY_SECONDS)
        elif self.cycle is not None and self.cycle.response_complete:
            self._start_timer(HEAD_SECONDS)  # stray bytes stop uvicorn's own keep-alive timer

    def _body_is_incomplete(self) -> bool:
        # no cycle: the head was refused, or was a web socket's, which has its own protocol by now
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        unanswered = not self._in_head and self._body_is_incomplete() and not self.cycle.response_started
        if unanswered and not self.pipeline:  # the response to an earlier request would have to come first
            self.transport.write(_TOO_SLOW)
        self.transport.close()  # the application reads http.disconnect


async def refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 and close: there are too many connections. Providers retry."""
    response = service_unavailable("too many connections (MAX_CONNECTIONS)").response()
    response.headers["connection"] = "close"
    await response(scope, receive, send)


_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""https://www.rfc-editor.org/rfc/rfc9110#status.408"""
