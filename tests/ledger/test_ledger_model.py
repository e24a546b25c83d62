"""Hypothesis searches for an order of events after which the ledger differs from the model of a job."""

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
from tests.ledger.job_model import JobModel
from tests.postgres.databases import Databases, fresh_database


class JobModelOnSQLite(JobModel):
    store: SQLiteStore
    ends_claims = True

    async def open(self) -> SQLiteStore:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger" / "ledger.db"
        return await open_sqlite(self.path, now=self.now, providers=PROVIDERS)

    async def crash(self) -> SQLiteStore:
        # A copy of the file and its write-ahead log, not flushed and not checkpointed, is what SIGKILL leaves.
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


class JobModelOnPostgres(JobModel):
    """Other processes keep running when one crashes, so claims and leases last until they end."""

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


def check(model: Callable[[], JobModel], number: int) -> None:
    profile = settings(
        max_examples=number, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(model, settings=profile)  # type: ignore[arg-type]  # it accepts a factory


def test_the_ledger_on_sqlite_matches_the_model_after_every_step() -> None:
    check(JobModelOnSQLite, 60)


def test_the_ledger_on_postgres_matches_the_model_after_every_step(postgres_server: Databases, migrated: str) -> None:
    # fewer examples: each step is a few round trips to a server
    check(lambda: JobModelOnPostgres(postgres_server, migrated), 20)
