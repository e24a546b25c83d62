"""Running an application in a process of its own."""

import signal
import socket
import sys

import click
import uvicorn
from starlette.applications import Starlette

BACKLOG = 2048


def serve(app: Starlette, name: str, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then exit with 0. Port 0 takes a free port, which the line printed names.

    Raises click.ClickException if the address cannot be listened on.
    """
    listener = _listen(host, port)
    for stop in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn raises the signal again after its shutdown. Exit with 0 instead of being killed by it.
        signal.signal(stop, lambda *_: sys.exit(0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    _Server(config, name).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # of two processes that bind one port, the second is refused here
    except (OSError, OverflowError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise click.ClickException(f"cannot listen on {host} port {port} ({reason}): choose another --port") from error
    return listener


class _Server(uvicorn.Server):
    """Prints `NAME listening on URL` once it accepts connections."""

    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        click.echo(f"{self._name} listening on http://{host}:{port}")
