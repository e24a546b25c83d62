"""A Postgres server for tests, which can be started, stopped, killed and suspended, and is removed at the end.

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
from tests.process.children import TIMEOUT_SECONDS, Child, free_port, until

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
        self.port = free_port()
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
    def output(self) -> str:
        """The whole log, of all starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._child, "the server is not running"
        return self._child.pid

    def start(self, seconds: float = 2 * TIMEOUT_SECONDS) -> Self:
        """Start, and wait until it answers; after a kill, until its recovery is over."""
        assert self._child is None, "the server has been started and not stopped"
        if not self.data.exists():
            make_cluster(self.data)
        given = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        self._child = Child(self.log, [str(bin_folder() / "postgres"), "-D", str(self.data), *given], {}, **account())
        until("Postgres answers", self._answers, seconds)
        return self

    def _answers(self) -> bool:
        assert self._child
        assert self._child.code() is None, f"Postgres exited with {self._child.code()}: {self._child.output}"
        with contextlib.suppress(psycopg.OperationalError):
            return self.query("SELECT 1") == [(1,)]
        return False

    def stop(self) -> int:
        """Shut down fast, as an operator does: connections are closed, and commits are on disk."""
        assert self._child, "the server is not running"
        self.resume()
        self._child.send_signal(signal.SIGINT)
        code = self._child.wait()
        self._child = None
        return code

    def kill(self) -> None:
        """Send SIGKILL to the postmaster and all its backends at once, as in a power failure."""
        if self._child is None:
            return
        processes = self._suspended()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._child.kill()
        until("all of Postgres is gone", lambda: all(_is_gone(process) for process in processes))
        self._child = None
        self._remove_remains()

    def suspend(self) -> None:
        """Send SIGSTOP: connections stay open, the kernel accepts new ones, and no query is answered."""
        for process in self._suspended():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Send SIGCONT."""
        assert self._child, "the server is not running"
        postmaster = psutil.Process(self._child.pid)
        for process in (*postmaster.children(recursive=True), postmaster):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _suspended(self) -> list[psutil.Process]:
        """Suspend the postmaster, so that it starts no process, and list it with its backends."""
        assert self._child, "the server is not running"
        if self._child.code() is not None:
            return []
        postmaster = psutil.Process(self._child.pid)
        postmaster.suspend()
        until("the postmaster is stopped", lambda: postmaster.status() in {psutil.STATUS_STOPPED, *GONE})
        return [postmaster, *postmaster.children(recursive=True)]

    def _remove_remains(self) -> None:
        """Remove what a killed postmaster leaves: a lock file, and shared memory."""
        lock = self.data / "postmaster.pid"
        lines = lock.read_text().splitlines() if lock.exists() else []
        if len(lines) > 6 and lines[6].split():
            subprocess.run(["ipcrm", "-m", lines[6].split()[1]], capture_output=True, check=False, timeout=10)
        lock.unlink(missing_ok=True)


def _is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not: a container's first process may not reap."""
    try:
        return process.status() in GONE
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def serving(*, fsync: bool = True, **settings: str) -> Iterator[PostgresServer]:
    """Run a server for the block."""
    with contextlib.closing(PostgresServer(fsync=fsync, **settings)) as server:
        yield server.start()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Databases]:
    """The server that many tests share, each with databases of its own; no test stops it."""
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
