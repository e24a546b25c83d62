"""Phases of migrations: a release works after an `expand` of a newer one, and refuses after a `contract`."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.errors import CannotOpen
from ledger.postgres.store import open_postgres
from ledger.sqlite.store import open_sqlite
from ledger.storage import migrations as migrate_module
from ledger.storage.migrations import migrations
from ledger.storage.statements import Dialect
from ledger.storage.store import Store
from ledger.transitions import deliveries, endpoints, jobs
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import Scenario, ms

LATER = (
    "ALTER TABLE jobs ADD COLUMN colour TEXT",
    "CREATE TABLE later (id TEXT PRIMARY KEY, job_id TEXT)",
    "CREATE INDEX jobs_by_colour ON jobs (colour)",
)
RECORDED = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (2, 'later', '{}', 'x', 1)"


class Database:
    """An empty database, which a newer release may have migrated."""

    def __init__(self, dialect: Dialect, opening: Callable[[], Awaitable[Store]], run: Callable[[str], Any]) -> None:
        self.dialect = dialect
        self.open = opening
        self.run = run

    async def migrate_as_a_newer_release(self, phase: str) -> None:
        await (await self.open()).close()
        for statement in (*LATER, RECORDED.format(phase)):
            self.run(statement)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"

        def run(statement: str) -> list[Any]:
            connection = sqlite3.connect(path, isolation_level=None)
            rows = connection.execute(statement).fetchall()
            connection.close()
            return rows

        return Database("sqlite", lambda: open_sqlite(path, now=NOON, providers=PROVIDERS), run)
    url: str = request.getfixturevalue("database_url")

    def execute(statement: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return Database(
        "postgres", lambda: open_postgres(url, now=NOON, connections=3, seconds=5, providers=PROVIDERS), execute
    )


async def test_a_release_works_after_an_expand_migration_of_a_newer_one(database: Database) -> None:
    await database.migrate_as_a_newer_release("expand")
    store = await database.open()
    scenario = Scenario(store)
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.accept()
    await scenario.fetch("submit", at=1)
    await scenario.begin(job_id)
    assert await scenario.confirm(job_id)
    assert await scenario.report(job_id) == "recorded"
    assert [job.id for job in await jobs.list_jobs(store, limit=10)] == [job_id]
    assert len(await deliveries.list_deliveries_of_subject(store, job_id)) == 2
    await store.close()


async def test_a_release_refuses_a_database_after_a_contract_migration_of_a_newer_one(database: Database) -> None:
    await database.migrate_as_a_newer_release("contract")
    with pytest.raises(CannotOpen, match=r"migration 2, which this release does not know.*run a newer release"):
        await database.open()


async def test_every_migration_is_recorded_with_its_phase(database: Database) -> None:
    await (await database.open()).close()
    known = [(each.number, each.phase, each.checksum) for each in migrations(database.dialect)]
    assert [
        tuple(row) for row in database.run("SELECT number, phase, checksum FROM migrations ORDER BY number")
    ] == known


async def test_an_edited_migration_is_refused_on_both_databases(database: Database) -> None:
    await (await database.open()).close()
    database.run("UPDATE migrations SET checksum = 'other' WHERE number = 1")
    with pytest.raises(CannotOpen, match="migration 1 in the database is not the one of this release"):
        await database.open()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("0001_ledger.sql", "CREATE TABLE a (x);\n", "does not begin with -- expand: or -- contract:"),
        (
            "0001_ledger.sql",
            "-- adds: a table\nCREATE TABLE a (x);\n",
            "does not begin with -- expand: or -- contract:",
        ),
        ("0002_ledger.sql", "-- expand: a table\nCREATE TABLE a (x);\n", "not numbered 1, 2, 3"),
        ("ledger.sql", "-- expand: a table\nCREATE TABLE a (x);\n", "not named NNNN_words.sql"),
    ],
)
def test_a_migration_file_without_a_phase_or_a_valid_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setattr(migrate_module, "SCHEMA", tmp_path)
    with pytest.raises(ValueError, match=words):
        migrations("sqlite")


# --- Postgres only: several processes start at once -----------------------------------------------------------------


async def test_of_several_processes_that_start_at_once_one_migrates_and_all_open(database_url: str) -> None:
    opening = [
        open_postgres(database_url, now=NOON + n, connections=2, seconds=5, providers=PROVIDERS) for n in range(5)
    ]
    stores = await asyncio.gather(*opening)
    accepted = await asyncio.gather(*(Scenario(store).accept() for store in stores))
    assert len(set(accepted)) == 5
    await asyncio.gather(*(store.close() for store in stores))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(DISTINCT applied_at) FROM migrations").fetchall() == [(1,)]
