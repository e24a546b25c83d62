"""Migrations on SQLite: each runs once, in order, in one transaction, and its text must not change."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import CannotOpen
from ledger.sqlite import migrate as migrate_module
from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection
from ledger.storage.migrations import Migration, migrations


def migration(number: int, text: str) -> Migration:
    text = f"-- expand: a test\n{text}"
    return Migration(number=number, name="test", text=text, sql=text)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "m.db", isolation_level=None, factory=_DictConnection)
    yield connection
    connection.close()


def test_the_second_run_has_nothing_to_do(connection: sqlite3.Connection) -> None:
    assert migrate(connection, 1) == migrations("sqlite")
    assert migrate(connection, 2) == []


def test_a_failed_migration_is_rolled_back(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = migration(1, "CREATE TABLE a (x INTEGER);\nCREATE TABLE a (x INTEGER);\n")
    monkeypatch.setattr(migrate_module, "migrations", lambda _: [broken])
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, 1)
    names = [row["name"] for row in connection.execute("SELECT name FROM sqlite_schema")]
    assert set(names) == {"migrations", "moved_to"}


def test_an_edited_migration_is_refused(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(connection, 1)
    edited = migration(1, "CREATE TABLE a (x INTEGER);")
    monkeypatch.setattr(migrate_module, "migrations", lambda _: [edited])
    with pytest.raises(CannotOpen, match="migration 1 in the database is not the one of this release"):
        migrate(connection, 2)


def test_a_database_of_a_newer_release_is_refused(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection, 1)
    monkeypatch.setattr(migrate_module, "migrations", lambda _: [])
    with pytest.raises(CannotOpen, match="run a newer release"):
        migrate(connection, 2)
