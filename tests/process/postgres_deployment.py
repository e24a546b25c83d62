"""A deployment on Postgres: several receivers and separate workers may use its database at once."""

from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from tests.process.children import Child, free_port, python, until
from tests.process.deployment import TERMINAL, Deployment, Services

WORK = "SELECT kind, subject FROM work"
OPEN = f"SELECT id FROM jobs WHERE state NOT IN {TERMINAL}"


class PostgresDeployment(Deployment):
    """One receiver, and workers if they are started. `beside` makes another on the same database."""

    def __init__(self, folder: Path, services: Services, url: str, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, services, DATABASE_URL=url, **settings)
        self.workers: list[Child] = []

    def beside(self, name: str) -> Self:
        """Make another deployment on the same database, with these settings and a port of its own."""
        other = type(self)(self.folder / name, self.services, self.settings["DATABASE_URL"])
        port = str(free_port())
        other.settings = self.settings | {"PORT": port}
        other.url, other.api_key = f"http://127.0.0.1:{port}", self.api_key
        return other

    def launch_worker(self, name: str = "worker") -> Child:
        """Start `python -m submitter work`, and do not wait."""
        child = Child(self.folder / f"{name}.log", python("-m", "submitter", "work"), self.settings)
        self.workers.append(child)
        return child

    def start_worker(self, name: str = "worker") -> Child:
        """Start a worker, and wait until it has logged worker.started."""
        child = self.launch_worker(name)

        def started() -> bool:
            assert child.code() is None, f"the worker exited with {child.code()} while starting: {child.output}"
            return "worker.started" in child.output

        until("the worker has started", started)
        return child

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run a statement on the database."""
        url = self.settings["DATABASE_URL"]
        with psycopg.connect(url, row_factory=dict_row, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def wait_settled(self, seconds: float = 8.0) -> None:
        """Wait until every job is terminal and no work is queued."""
        until("every job has ended", lambda: not self.rows(OPEN), seconds)
        until("no work is left", lambda: not self.rows(WORK), seconds)

    def close(self) -> None:
        for child in self.workers:
            child.kill()
        super().close()
        for log in {child.log for child in self.workers}:
            print(f"--- the end of {log.name}", *log.read_text().splitlines()[-60:], sep="\n")  # noqa: T201 - pytest shows it when the test has failed, as Deployment's own logs
