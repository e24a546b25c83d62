"""uvicorn's HTTP protocol with bounds on what a client may make us hold before anybody looks at the request."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.web.problems import service_unavailable

LONGEST_HEAD = 65_536
"""Bytes of a request's line and headers. httptools itself limits neither."""

HEADER_OVERHEAD = 32
"""What a header costs besides its letters, as https://www.rfc-editor.org/rfc/rfc7541#section-4.1 counts it."""

HEAD_SECONDS = 20.0
"""How long a connection may take to bring a request's head, or to bring any request at all."""

BODY_SECONDS = 30.0
"""How long a request's body may take to come after its head; fal itself waits 15 s for its first answer."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request does not come. A head that is too long is answered 400, a late body 408.

    Trailers count as a head does: https://www.rfc-editor.org/rfc/rfc9112#section-7.1.2
    """

    _in_head = True
    _head = 0
    _late: asyncio.TimerHandle | None = None

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        """Apply `limit_concurrency` here, to connections: uvicorn's check turns away those that came before, too."""
        super().__init__(config, *arguments, **options)
        self.limit_concurrency = None
        self._most = config.limit_concurrency

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self.app = turn_away
        self._expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Shutdown waiting."""
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; what is not all of a head, or not all of a body, has its time to be followed by the rest."""
        self._head += len(data)
        super().data_received(data)
        if self._head + HEADER_OVERHEAD * len(self.headers or ()) > LONGEST_HEAD:
            self._refuse_head()
        elif self._late is None:
            self._expect_the_rest()

    def on_message_begin(self) -> None:
        """Begin to count a request's head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Let the request through, unless its head was too long after all; its body has bounds of its own."""
        self._in_head = False
        self._came()
        size = len(self.url) + sum([len(name) + len(value) + HEADER_OVERHEAD for name, value in self.headers])
        if size > LONGEST_HEAD:
            raise ValueError(f"a request's head is longer than {LONGEST_HEAD} bytes")  # uvicorn answers 400 and closes
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body. Only what stands around a body is counted: its head, and the trailers after it."""
        self._head = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Begin to wait for the body of a request that had to wait its turn."""
        super().on_response_complete()
        if self._late is None and self._body_is_awaited():
            self._expect(BODY_SECONDS)

    def on_message_complete(self) -> None:
        """Shutdown waiting: the body is here. What is left of this chunk is not counted into the next head."""
        self._head = 0
        self._came()
        super().on_message_complete()

    def _refuse_head(self) -> None:
        if self._in_head and not self.pipeline:
            self.send_400_response("Invalid HTTP request received.")
        self.transport.close()

    def _expect_the_rest(self) -> None:
        if self._in_head:
            self._expect(HEAD_SECONDS)
        elif self._body_is_awaited():
            if not self.pipeline:  # or it is we who do not read on, until its turn has come
                self._expect(BODY_SECONDS)
        elif self.cycle is not None and self.cycle.response_complete:
            self._expect(HEAD_SECONDS)  # stray bytes end uvicorn's wait for the next request

    def _body_is_awaited(self) -> bool:
        # no cycle: a head that was refused, or a web socket's, which has a protocol of its own by now
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def _expect(self, seconds: float) -> None:
        self._late = self.loop.call_later(seconds, self._give_up)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        unanswered = not self._in_head and self._body_is_awaited() and not self.cycle.response_started
        if unanswered and not self.pipeline:  # an earlier request's answer would have to come first
            self.transport.write(_TOO_SLOW)
        self.transport.close()  # whoever reads the body hears that the connection is gone


async def turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    """Response 503 to whoever comes when there are too many, and hang up: providers try again later."""
    response = service_unavailable("too many connections just now (MAX_CONNECTIONS)").response()
    response.headers["connection"] = "close"
    await response(scope, receive, send)


_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""https://www.rfc-editor.org/rfc/rfc9110#status.408"""
