"""The socket we listen on, and the server that answers on it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from receiver.protocol import BoundedProtocol
from receiver.settings import Settings
from receiver.stopping import Stop

BACKLOG = 2048
"""Connections that may wait to be accepted."""


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers.

    They raise the signal again once the server has stopped, and the default action would end the process before the
    workers and the ledger are put away.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `Stop`."""
        yield


class CannotListen(Exception):
    """The address cannot be listened on; the message says which setting to change."""


def listen(settings: Settings) -> socket.socket:
    """Take HOST and PORT, before anything else is begun. Raises CannotListen."""
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


async def serve_http(app: Starlette, listener: socket.socket, settings: Settings, stop: Stop) -> None:
    """Serve `app` on `listener` until `stop` is asked for."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        limit_concurrency=settings.max_connections,
        lifespan="off",  # the process opens and closes what the application needs
        access_log=False,
        log_config=None,
        server_header=False,
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
        await server.serve(sockets=[listener])
    finally:
        passing_on.cancel()
