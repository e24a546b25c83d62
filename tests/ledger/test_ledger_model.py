"""The life of a job on each database: hypothesis looks for an order of events after which ledger and model disagree."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.sqlite.store import SQLiteStore, open_sqlite
from tests.conftest import PROVIDERS
from tests.ledger.life import LifeOfAJob
from tests.postgres.databases import Databases, fresh_database


class LifeOnSQLite(LifeOfAJob):
    store: SQLiteStore
    ends_claims = True

    async def open(self) -> SQLiteStore:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "life" / "ledger.db"
        return await open_sqlite(self.path, now=self.now, providers=PROVIDERS)

    async def crash(self) -> SQLiteStore:
        # What a kill leaves behind: the file and its write-ahead log as they are, nothing flushed or checkpointed.
        found = self.path
        self.path = found.parent.with_name(f"{found.parent.name}-") / found.name
        self.path.parent.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{found}{suffix}", f"{self.path}{suffix}")
        await self.store.close()
        return await open_sqlite(self.path, now=self.now, providers=PROVIDERS)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class LifeOnPostgres(LifeOfAJob):
    """Other processes live on when one crashes: claims and leases go on until they end."""

    store: PostgresStore

    def __init__(self, server: Databases, template: str) -> None:
        super().__init__()
        self.server, self.template = server, template
        self.undo = contextlib.ExitStack()

    async def open(self) -> PostgresStore:
        self.url = self.undo.enter_context(fresh_database(self.server, template=self.template))
        return await open_postgres(self.url, now=self.now, connections=5, seconds=5, providers=PROVIDERS)

    async def crash(self) -> PostgresStore:
        await self.store.close()
        return await open_postgres(self.url, now=self.now, connections=5, seconds=5, providers=PROVIDERS)

    def teardown(self) -> None:
        super().teardown()
        self.undo.close()


def live(life: Callable[[], LifeOfAJob], number: int) -> None:
    lives = settings(
        max_examples=number, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(life, settings=lives)  # type: ignore[arg-type]  # a factory will do


def test_no_life_on_sqlite_is_told_otherwise_than_by_the_model() -> None:
    live(LifeOnSQLite, 60)


def test_no_life_on_postgres_is_told_otherwise_than_by_the_model(postgres_server: Databases, migrated: str) -> None:
    """Fewer, because each step is a few round trips to a server."""
    live(lambda: LifeOnPostgres(postgres_server, migrated), 20)
