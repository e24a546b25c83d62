"""Where the application will be: whoever comes before it waits a moment, and is told to come again."""

import asyncio
import contextlib

from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.web.problems import service_unavailable

WAIT_SECONDS = 1.0
"""An ordinary start is over sooner; one that waits for its database is not."""


class StartupGate:
    """Hands requests on to the application as soon as there is one."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._opened = asyncio.Event()

    def open(self, app: ASGIApp) -> None:
        """Let everybody in to `app`, those who wait among them."""
        self._app = app
        self._opened.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer 503."""
        if self._app is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._opened.wait(), WAIT_SECONDS)
        app = self._app or service_unavailable("the ledger is not open yet").response()
        await app(scope, receive, send)
