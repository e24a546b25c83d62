"""A migration that rebuilds a table of 100,000 rows is applied or rolled back, also when its process is killed."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.errors import CannotOpen
from ledger.postgres.store import open_postgres
from ledger.sqlite.store import open_sqlite
from ledger.storage import migrations
from tests.conftest import NOON
from tests.ledger.rebuilds import (
    HANGING,
    ORPHANS,
    UPDATED,
    WHOLE,
    counts,
    fill_postgres,
    fill_sqlite,
    schema_with_rebuild,
)
from tests.ledger.waiting import wait_until
from tests.postgres.databases import Databases, fresh_database

TABLES = ["jobs", "deliveries"]
RUNNING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE %s"
OTHERS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "ledger.db"
    fill_sqlite(path)
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "ledger.db"
    shutil.copy(filled, copy)
    return copy


@pytest.fixture(scope="module")
def filled_url(postgres_server: Databases, migrated: str) -> Iterator[str]:
    with fresh_database(postgres_server, template=migrated) as url:
        fill_postgres(url)
        yield url


@pytest.fixture
def url(postgres_server: Databases, filled_url: str) -> Iterator[str]:
    with fresh_database(postgres_server, template=filled_url.rpartition("/")[2].partition("?")[0]) as url:
        yield url


def child(database: str, schema: Path, *point: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.ledger.migrating_process", database, str(schema), *point])


class File:
    """Runs statements on the file, each on a new connection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, statement: str) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(statement).fetchall()


POINTS = [
    "~INSERT INTO {table}_new",
    "DROP TABLE {table}",
    "ALTER TABLE {table}_new",
    "PRAGMA foreign_key_check",
    "COMMIT",
    "PRAGMA foreign_keys = ON",
]
ALWAYS = {("jobs", "~INSERT INTO {table}_new"), ("deliveries", "COMMIT")}
"""Run in every test run. `make chaos` runs the others, which take half a minute."""


@pytest.mark.parametrize(
    ("table", "point"),
    [
        pytest.param(table, point, marks=() if (table, point) in ALWAYS else (pytest.mark.chaos,))
        for table in TABLES
        for point in POINTS
    ],
)
async def test_a_killed_rebuild_on_sqlite_is_completed_by_the_next_start(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, point: str
) -> None:
    schema = schema_with_rebuild(tmp_path / "schema", table)
    migrating = child(str(path), schema, point.format(table=table))
    assert migrating.wait(60) == -signal.SIGKILL
    run = File(path)
    assert counts(run) == WHOLE
    assert run("PRAGMA foreign_key_check") == []
    assert run("PRAGMA integrity_check") == [("ok",)]
    assert len(run("SELECT 1 FROM migrations")) == (2 if point == "PRAGMA foreign_keys = ON" else 1)
    monkeypatch.setattr(migrations, "SCHEMA", schema)
    await (await open_sqlite(path, now=NOON)).close()
    assert len(run("SELECT 1 FROM migrations")) == 2
    assert counts(run) == WHOLE
    assert run("PRAGMA foreign_key_check") == []
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        run(HANGING[table])
    run(UPDATED[table])


@pytest.mark.parametrize("table", TABLES)
async def test_a_killed_rebuild_on_postgres_is_completed_by_the_next_start(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    schema = schema_with_rebuild(tmp_path / "schema", table)
    with psycopg.connect(url, autocommit=True) as connection:

        def run(statement: str) -> Sequence[tuple[Any, ...]]:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

        async def is_running() -> bool:
            return bool(connection.execute(RUNNING, (f"%{table}\\_new%",)).fetchall())

        async def is_alone() -> bool:
            return not run(OTHERS)

        migrating = child(url, schema)
        await wait_until("the rebuild runs", is_running, 30)
        migrating.kill()
        assert migrating.wait(60) == -signal.SIGKILL
        await wait_until("Postgres has noticed", is_alone, 60)
        assert len(run("SELECT 1 FROM migrations")) == 1
        assert counts(run) == WHOLE
        with pytest.raises(psycopg.errors.CheckViolation):
            run(UPDATED[table])
        monkeypatch.setattr(migrations, "SCHEMA", schema)
        await (await open_postgres(url, now=NOON, connections=4, seconds=30)).close()
        assert len(run("SELECT 1 FROM migrations")) == 2
        assert counts(run) == WHOLE
        assert [run(orphans) for orphans in ORPHANS] == [[(0,)]] * 3
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            run(HANGING[table])
        run(UPDATED[table])


async def test_a_migration_that_leaves_a_dangling_reference_is_rolled_back_and_names_the_row(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = schema_with_rebuild(tmp_path / "schema", "jobs")
    lossy = schema / "0002_rebuild.sqlite.sql"
    lossy.write_text(lossy.read_text().replace("SELECT * FROM jobs;", "SELECT * FROM jobs WHERE id <> 'job_1000007';"))
    monkeypatch.setattr(migrations, "SCHEMA", schema)
    words = r"migration 2 was undone: the row job_1000007 of inputs would refer to nothing in jobs"
    with pytest.raises(CannotOpen, match=words):
        await open_sqlite(path, now=NOON)
    assert counts(File(path)) == WHOLE
