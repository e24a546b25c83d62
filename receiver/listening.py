"""The socket we listen on, and the server that answers on it."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from receiver.settings import Settings


class _Server(uvicorn.Server):
    """uvicorn's server, told to stop by our own signal handlers.

    Its own raise the signal again once it has stopped, and the default action would end the process before the
    workers and the ledger are put away.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop in order on the first SIGTERM or SIGINT (some PaaS send either, or several)."""
        for stop in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(stop, self._stop)
        yield  # the handlers stay: a second signal must not cut the workers' own ending short

    def _stop(self) -> None:
        self.should_exit = True


class CannotListen(Exception):
    """The address cannot be listened on; the message says which setting to change."""


def listen(settings: Settings) -> socket.socket:
    """Take HOST and PORT, before anything else is begun. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); change HOST or PORT"
        ) from error
    listener.set_inheritable(True)
    return listener


async def serve_http(app: Starlette, listener: socket.socket, settings: Settings) -> None:
    """Serve `app` on `listener` until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        lifespan="off",  # this module opens and closes what the application needs
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
        timeout_keep_alive=75,  # longer than a proxy's, so that it never sends into a connection that we just closed
        backlog=2048,
    )
    await _Server(config).serve(sockets=[listener])
