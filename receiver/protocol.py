"""uvicorn's HTTP protocol with bounds on what a client may make us hold before anybody looks at the request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 65_536
"""Bytes of a request's line and headers. httptools itself limits neither."""

HEADER_OVERHEAD = 32
"""What a header costs besides its letters, as https://www.rfc-editor.org/rfc/rfc7541#section-4.1 counts it."""

HEAD_SECONDS = 20.0
"""How long a connection may take to bring a request's head, or to bring any request at all."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request does not come, and answers 400 to a head that does not end."""

    _head = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head_ended()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count a request's head."""
        super().on_message_begin()
        self._head = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        """Count the request's line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value) + HEADER_OVERHEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the request through; its body has bounds of its own."""
        self._head_ended()
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > LONGEST_HEAD:
            raise ValueError(f"a request's head is longer than {LONGEST_HEAD} bytes")  # uvicorn answers 400 and closes

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_ended(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
