"""The tests' own Postgres: a server that is started, stopped, killed and frozen as asked, and always gone at the end.

TEST_DATABASE_URL names another server to make the tests' databases on; those that kill servers have their own always.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Self

import psutil
import psycopg
import pytest

from tests.postgres.binaries import account, bin_folder, make_cluster, new_folder
from tests.postgres.databases import Databases, fresh_database, other_server
from tests.process.children import BOUND_SECONDS, Child, quiet_port, until

GONE = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


class PostgresServer(Databases):
    """One data folder and one loopback port, for as many starts as wanted.

    Everybody is trusted. `settings` are those of postgresql.conf, given on the command line at every start. Without
    fsync it is as safe from kill -9 as with it, but not as slow as a real one: its files are in memory, if they can be.
    """

    def __init__(self, *, fsync: bool = True, **settings: str) -> None:
        self.folder = new_folder(quick=not fsync)
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.port = quiet_port()
        self.fsync = fsync
        self.settings = self._settings() | settings
        self._child: Child | None = None
        super().__init__(f"postgres://postgres@127.0.0.1:{self.port}/postgres")

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "fsync": "on" if self.fsync else "off",
            "max_wal_size": "1GB" if self.fsync else "128MB",
            "dynamic_shared_memory_type": "mmap",  # files in the data folder: kill -9 leaves nothing elsewhere
        }

    @property
    def said(self) -> str:
        """The whole log, of all starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._child, "the server is not running"
        return self._child.pid

    def start(self, seconds: float = 2 * BOUND_SECONDS) -> Self:
        """Start, and wait until it answers; after a kill, that is after its recovery."""
        assert self._child is None, "the server has been started and not stopped"
        if not self.data.exists():
            make_cluster(self.data)
        given = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        self._child = Child(self.log, [str(bin_folder() / "postgres"), "-D", str(self.data), *given], {}, **account())
        until("Postgres answers", self._answers, seconds)
        return self

    def _answers(self) -> bool:
        assert self._child
        assert self._child.code() is None, f"Postgres exited with {self._child.code()}: {self._child.said}"
        with contextlib.suppress(psycopg.OperationalError):
            return self.ask("SELECT 1") == [(1,)]
        return False

    def stop(self) -> int:
        """Shutdown fast, as an operator does: everybody is put out, and what was committed is on disk."""
        assert self._child, "the server is not running"
        self.thaw()
        self._child.tell(signal.SIGINT)
        code = self._child.ended()
        self._child = None
        return code

    def kill(self) -> None:
        """kill -9 of the postmaster and of all its backends at once: as close to a power failure as one gets."""
        if self._child is None:
            return
        everybody = self._halted()
        for process in everybody:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._child.kill()
        until("all of Postgres is gone", lambda: all(_is_gone(process) for process in everybody))
        self._child = None
        self._forget()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, new ones are taken on by the kernel, and nobody answers."""
        for process in self._halted():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._child, "the server is not running"
        postmaster = psutil.Process(self._child.pid)
        for process in (*postmaster.children(recursive=True), postmaster):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _halted(self) -> list[psutil.Process]:
        """Shutdown the postmaster so that it starts nobody, and list it with its backends, each of them a session."""
        assert self._child, "the server is not running"
        if self._child.code() is not None:
            return []
        postmaster = psutil.Process(self._child.pid)
        postmaster.suspend()
        until("the postmaster is stopped", lambda: postmaster.status() in {psutil.STATUS_STOPPED, *GONE})
        return [postmaster, *postmaster.children(recursive=True)]

    def _forget(self) -> None:
        """Remove what a killed postmaster leaves: a lock whose process id others get, and a bit of shared memory."""
        lock = self.data / "postmaster.pid"
        lines = lock.read_text().splitlines() if lock.exists() else []
        if len(lines) > 6 and lines[6].split():
            subprocess.run(["ipcrm", "-m", lines[6].split()[1]], capture_output=True, check=False, timeout=10)
        lock.unlink(missing_ok=True)


def _is_gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended, waited for or not: a container's first process may wait for nobody."""
    try:
        return process.status() in GONE
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def serving(*, fsync: bool = True, **settings: str) -> Iterator[PostgresServer]:
    """Have a server of one's own, started, and gone at the end."""
    with contextlib.closing(PostgresServer(fsync=fsync, **settings)) as server:
        yield server.start()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Databases]:
    """The server that many tests share, each with databases of its own; nobody stops it."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield other_server(url)
        return
    with serving(fsync=False) as server:
        yield server


@pytest.fixture
def database_url(postgres_server: Databases) -> Iterator[str]:
    """An empty database of the test's own."""
    with fresh_database(postgres_server) as url:
        yield url
