"""Serves while the process starts: holds a request for up to a second, then answers 503."""

import asyncio
import contextlib

from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.web.problems import service_unavailable

WAIT_SECONDS = 1.0
"""Longer than most starts take; one that waits for its database takes longer."""


class StartupGate:
    """An ASGI application that passes requests on to the real one as soon as that is open."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._opened = asyncio.Event()

    def open(self, app: ASGIApp) -> None:
        """Pass all requests on to `app`, including those that are held."""
        self._app = app
        self._opened.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 503."""
        if self._app is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._opened.wait(), WAIT_SECONDS)
        app = self._app or service_unavailable("the database is not open yet").response()
        await app(scope, receive, send)
