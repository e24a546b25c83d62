"""Direct access to the ledger's tables on each database, without its transactions."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from psycopg import sql

from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection

GOOD: dict[str, object] = {
    "id": "job_00000",
    "provider": "fal",
    "model": "a/b",
    "state": "accepted",
    "request_digest": "d",
    "created_at": 1,
    "last_transition": "m",
}
EVENT: dict[str, object] = {
    "subject": "job_00000",
    "sequence": 1,
    "type": "job.accepted",
    "public": 0,
    "at": 1,
    "transition": "tran_1",
}
RECEIPT: dict[str, object] = {
    "id": "rcpt_1",
    "job_id": "job_00000",
    "provider": "fal",
    "source": "callback",
    "result": "orphan",
    "headers": "{}",
    "body": b"",
    "received_at": 1,
}


class Refused(Exception):
    """The database rejected a row. The message is its own."""


class Tables(Protocol):
    """The ledger's tables. `insert` raises `Refused` if a constraint rejects the row."""

    def insert(self, table: str, row: dict[str, object]) -> None: ...
    def rows(self, query: str) -> list[tuple[Any, ...]]: ...
    def checked(self, table: str, column: str) -> str:
        """Return the text of the CHECK on one column."""


class OnSQLite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        migrate(connection, 1)
        self.insert("providers", {"name": "fal"})

    def insert(self, table: str, row: dict[str, object]) -> None:
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        try:
            self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)
        except sqlite3.IntegrityError as error:
            raise Refused(str(error)) from error

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._connection.execute(query)]

    def checked(self, table: str, column: str) -> str:
        [row] = self._connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", [table]).fetchall()
        [check] = re.findall(rf"^ +{column} +TEXT .*?CHECK \((.*?)\)+,$", row["sql"], re.MULTILINE | re.DOTALL)
        return str(check)


class OnPostgres:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, row: dict[str, object]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join(map(sql.Placeholder, row))
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, marks)
        try:
            self._connection.execute(query, row)
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise Refused(str(error)) from error

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    def checked(self, table: str, column: str) -> str:
        """A constraint on several columns is another one, so `conkey` must have this column only."""
        query = (
            "SELECT pg_get_constraintdef(c.oid) "
            "FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid "
            "WHERE c.conrelid = %s::regclass AND c.contype = 'c' AND a.attname = %s AND c.conkey = ARRAY[a.attnum]"
        )
        [row] = self._connection.execute(query, (table, column)).fetchall()
        return str(row[0])


@pytest.fixture(params=["sqlite", "postgres"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tables]:
    if request.param == "sqlite":
        connection = sqlite3.connect(tmp_path / "schema.db", isolation_level=None, factory=_DictConnection)
        with contextlib.closing(connection):
            yield OnSQLite(connection)
    else:
        with psycopg.connect(request.getfixturevalue("ledger_url"), autocommit=True) as session:
            yield OnPostgres(session)
