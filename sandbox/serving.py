"""Running an application in a process of its own."""

import signal
import socket
import sys

import click
import uvicorn
from starlette.applications import Starlette


def serve(app: Starlette, name: str, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then exit with 0. Port 0 takes a free port, which the line printed names."""
    for stop in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn raises the signal again after its shutdown. Exit with 0 instead of being killed by it.
        signal.signal(stop, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    _Server(config, name).run()


class _Server(uvicorn.Server):
    """Prints `NAME listening on URL` once the socket is open."""

    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        click.echo(f"{self._name} listening on http://{host}:{port}")
