"""PgBouncer in front of a server, in transaction mode: state of a session does not survive a transaction."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from typing import Self

import psycopg
import pytest

from tests.postgres.binaries import account, give_to_account, new_folder
from tests.postgres.databases import Databases
from tests.postgres.servers import PostgresServer
from tests.process.children import TIMEOUT_SECONDS, Child, free_port, until

# Debian installs it outside the PATH of an ordinary user.
BINARY = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
# Where CI is set it fails instead, in PgBouncer.start: .ci/run should have seen to it.
needs_pgbouncer = pytest.mark.skipif(not BINARY and not os.environ.get("CI"), reason="this machine has no pgbouncer")


class PgBouncer(Databases):
    """A PgBouncer on one port, which may be started repeatedly; `settings` are those of pgbouncer.ini."""

    def __init__(self, server: PostgresServer, *, default_pool_size: int = 20, **settings: str) -> None:
        self.folder = new_folder()
        self.log = self.folder / "pgbouncer.log"
        self.port = free_port()
        self.server = server
        self.settings = self._settings() | {"default_pool_size": str(default_pool_size)} | settings
        self._child: Child | None = None
        super().__init__(f"postgres://postgres@127.0.0.1:{self.port}/postgres")

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": str(self.folder / "users.txt"),
            "admin_users": "postgres",
            "pool_mode": "transaction",
            "server_login_retry": "1",  # 15 s is too long for a test in which the server comes back
        }

    def start(self, seconds: float = TIMEOUT_SECONDS) -> Self:
        """Start, and wait until it answers; the server behind it need not answer."""
        assert self._child is None, "PgBouncer has been started and not stopped"
        assert BINARY, "this machine has no pgbouncer"
        lines = [f"* = host=127.0.0.1 port={self.server.port}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in self.settings.items()]
        self._write("users.txt", '"postgres" ""\n')
        ini = self._write("pgbouncer.ini", "\n".join(["[databases]", *lines, ""]))
        self._child = Child(self.log, [BINARY, ini], {}, **account())
        until("PgBouncer answers", self._answers, seconds)
        return self

    def _write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        give_to_account(path)
        return str(path)

    def _answers(self) -> bool:
        assert self._child
        assert self._child.code() is None, f"PgBouncer exited with {self._child.code()}: {self._child.output}"
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("pgbouncer"), connect_timeout=5).close()  # its own console
            return True
        return False

    def stop(self) -> None:
        """Send SIGTERM, which closes all connections; the exit code differs from version to version."""
        assert self._child, "PgBouncer is not running"
        self._child.send_signal(signal.SIGTERM)
        self._child.wait()
        self._child = None

    def kill(self) -> None:
        """kill -9."""
        if self._child:
            self._child.kill()
            self._child = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def pooling(server: PostgresServer, *, default_pool_size: int = 20, **settings: str) -> Iterator[PgBouncer]:
    """Run a PgBouncer in front of a server for the block."""
    with contextlib.closing(PgBouncer(server, default_pool_size=default_pool_size, **settings)) as bouncer:
        yield bouncer.start()
