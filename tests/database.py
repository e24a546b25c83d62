"""The database of one test, beside the store under test: read and changed on connections of its own."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

ON_BOTH_DATABASES = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
"""For tests of what meets the database. Without it, the `database` and the `store` of a test are SQLite's."""

_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
    "postgres": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename",
}


@dataclass(frozen=True)
class Database:
    """A database with the ledger's schema: the path of a SQLite file, or the URL of a Postgres database."""

    place: Path | str

    @property
    def kind(self) -> str:
        return "sqlite" if isinstance(self.place, Path) else "postgres"

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run one statement, committed by itself, and return its rows. Parameters are written `?`."""
        if isinstance(self.place, Path):
            with contextlib.closing(sqlite3.connect(self.place, isolation_level=None)) as file:
                file.row_factory = sqlite3.Row
                return [dict(row) for row in file.execute(statement, values)]
        with psycopg.connect(self.place, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(statement.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table."""
        names = [row["name"] for row in self.query(_TABLES[self.kind])]
        rows = {name: [tuple(row.values()) for row in self.query(f"SELECT * FROM {name}")] for name in names}
        return {name: sorted(each, key=repr) for name, each in rows.items()}
