"""The socket we listen on, and the server that answers on it."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from receiver.settings import Settings
from receiver.web.protocol import BoundedProtocol
from work.shutdown import Shutdown

BACKLOG = 2048
"""Connections that may wait to be accepted."""


ACCEPTED_AT_ONCE = 32
"""Connections taken in one turn of the event loop. libuv takes one from each socket; a turn under load is long."""


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers.

    They raise the signal again once the server has stopped, and the default action would end the process before the
    workers and the ledger are put away.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `Shutdown`."""
        yield


def _duplicates(listener: socket.socket) -> list[socket.socket]:
    # Each is a file descriptor: where few are allowed, most are left for connections.
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [listener.dup() for _ in range(min(ACCEPTED_AT_ONCE, allowed // 16) - 1)]


class CannotListen(Exception):
    """The address cannot be listened on; the message says which setting to change."""


def listen(settings: Settings) -> socket.socket:
    """Take HOST and PORT, before anything else is claimed. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # two processes may bind one port at once: only here is the second refused
    except (OSError, UnicodeError, TypeError) as error:  # a host name may be one that cannot even be asked for
        listener.close()
        why = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"cannot listen on {settings.host} port {settings.port} ({why}); change HOST or PORT"
        ) from error
    listener.set_inheritable(True)
    return listener


async def serve_http(app: ASGIApp, listener: socket.socket, settings: Settings, stop: Shutdown) -> None:
    """Serve `app` on `listener` until `stop` is asked for."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        limit_concurrency=settings.max_connections,
        lifespan="off",  # the process opens and closes what the application needs
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # whom a proxy says it speaks for decides nothing here; the log has the peer
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
        timeout_keep_alive=75,  # longer than a proxy's, so that it never sends into a connection that we just closed
        backlog=BACKLOG,
    )
    server = _Server(config)

    async def pass_on() -> None:
        await stop.asked.wait()
        server.should_exit = True

    passing_on = asyncio.create_task(pass_on(), name="pass the stop on")
    try:
        await server.serve(sockets=[listener, *_duplicates(listener)])
    finally:
        passing_on.cancel()
