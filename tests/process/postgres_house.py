"""A house whose ledger is a database on Postgres: several receivers, and workers apart, may live on it at once."""

from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from tests.process.children import Child, python, quiet_port, until
from tests.process.house import TERMINAL, House, Neighbours

WORK = "SELECT kind, subject FROM work"
OPEN = f"SELECT id FROM jobs WHERE state NOT IN {TERMINAL}"


class PostgresHouse(House):
    """One receiver, and workers if they are started. `beside` makes another on the same database."""

    def __init__(self, folder: Path, neighbours: Neighbours, url: str, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        # Any account's callbacks: those that tests sign themselves name another than the sandbox's.
        super().__init__(folder, neighbours, DATABASE_URL=url, FAL_WEBHOOK_USER_ID="", **settings)
        self.workers: list[Child] = []

    def beside(self, name: str) -> Self:
        """Make another house with these settings, its receiver on a port of its own."""
        other = type(self)(self.folder / name, self.neighbours, self.settings["DATABASE_URL"])
        port = str(quiet_port())
        other.settings = self.settings | {"PORT": port}
        other.url, other.api_key = f"http://127.0.0.1:{port}", self.api_key
        return other

    def launch_worker(self, name: str = "worker") -> Child:
        """Start `python -m submitter work` and do not wait."""
        child = Child(self.folder / f"{name}.log", python("-m", "submitter", "work"), self.settings)
        self.workers.append(child)
        return child

    def start_worker(self, name: str = "worker") -> Child:
        """Start a worker, and wait until it works."""
        child = self.launch_worker(name)

        def started() -> bool:
            assert child.code() is None, f"the worker exited with {child.code()} while starting: {child.said}"
            return "worker.started" in child.said

        until("the worker works", started)
        return child

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Ask the database."""
        url = self.settings["DATABASE_URL"]
        with psycopg.connect(url, row_factory=dict_row, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def wait_settled(self, seconds: float = 8.0) -> None:
        """Wait until every job has ended and no work is left."""
        until("every job has ended", lambda: not self.rows(OPEN), seconds)
        until("no work is left", lambda: not self.rows(WORK), seconds)

    def close(self) -> None:
        for child in self.workers:
            child.kill()
        super().close()
        for log in {child.log for child in self.workers}:
            print(f"--- the end of {log.name}", *log.read_text().splitlines()[-60:], sep="\n")  # noqa: T201 - pytest shows it when the test has failed, as House's own logs
