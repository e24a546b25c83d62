"""The listening socket and the HTTP server."""

import asyncio
import contextlib
import functools
import resource
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from receiver.http.connections import Limits, WaitingConnections
from receiver.http.protocol import HttpProtocol
from receiver.settings import Settings
from work.shutdown import Shutdown

BACKLOG = 2048
"""Connections that may wait to be accepted."""

SEND_BUFFER = 131_072
"""Bytes of a response that the system keeps for a connection. Without it, up to 4 MB, and what a slow client takes of
them shows only after a third was taken."""

ACCEPTED_AT_ONCE = 32
"""Connections accepted in one iteration of the event loop. libuv accepts one from each socket per iteration."""


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers.

    They raise the signal again once the server has stopped, and its default action would end the process before the
    workers and the database are closed.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `Shutdown`."""
        yield


def _duplicates(listener: socket.socket) -> list[socket.socket]:
    # Each is a file descriptor: where few are allowed, most are kept for connections.
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [listener.dup() for _ in range(min(ACCEPTED_AT_ONCE, allowed // 16) - 1)]


class CannotListen(Exception):
    """The address cannot be bound; the message says which setting to change."""


def listen(settings: Settings) -> socket.socket:
    """Bind HOST and PORT, before anything else is opened. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # its connections inherit it
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # two processes may bind one port at once: the second is refused here
    except (OSError, UnicodeError, TypeError) as error:  # also a host name that cannot be resolved
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"cannot listen on {settings.host} port {settings.port} ({reason}); change HOST or PORT"
        ) from error
    listener.set_inheritable(True)
    return listener


def protocol_factory(limits: Limits) -> Any:
    """Make what uvicorn takes as the class of its HTTP protocol. All connections share the limits."""
    return functools.partial(HttpProtocol, limits=limits, waiting=WaitingConnections())


async def serve_http(app: ASGIApp, listener: socket.socket, settings: Settings, shutdown: Shutdown) -> None:
    """Serve `app` on `listener` until shutdown is requested."""
    limits = Limits(most=settings.max_connections, keep_alive_seconds=settings.keep_alive_seconds)
    config = uvicorn.Config(
        app,
        http=protocol_factory(limits),
        ws="none",
        lifespan="off",  # the process opens and closes what the application needs
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing depends on the client address; the log has the peer's
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
        backlog=BACKLOG,
    )
    server = _Server(config)

    async def exit_on_shutdown() -> None:
        await shutdown.requested.wait()
        server.should_exit = True

    exiting = asyncio.create_task(exit_on_shutdown(), name="exit on shutdown")
    try:
        await server.serve(sockets=[listener, *_duplicates(listener)])
    finally:
        exiting.cancel()
