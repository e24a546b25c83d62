"""Migrations on SQLite: each in one transaction that may rebuild any table, even one with references to it."""

import sqlite3
from collections.abc import Iterator

from ledger.errors import CannotOpen
from ledger.storage.migrations import (
    READ_APPLIED,
    READ_MOVED,
    RECORD,
    Migration,
    bookkeeping,
    migrations,
    new_migrations,
)


def migrate(connection: sqlite3.Connection, now: int) -> list[Migration]:
    """Apply the new migrations and return them. `now` is ms. Rows of `connection` must be dicts.

    Raises `CannotOpen` as `new_migrations` does, and for a migration that leaves a dangling reference; sqlite3.Error.
    """
    _run(connection, bookkeeping("sqlite"))
    applied, moved = (connection.execute(statement).fetchall() for statement in (READ_APPLIED, READ_MOVED))
    new = new_migrations(applied, moved, migrations("sqlite"))
    if not new:
        return []
    # https://sqlite.org/lang_altertable.html#otheralter: with foreign keys, DROP TABLE would delete referring rows. The
    # pragma has no effect inside a transaction, so references are checked before each commit instead.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        for migration in new:
            _run(connection, migration.sql, migration, now)
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
    return new


def _run(connection: sqlite3.Connection, text: str, migration: Migration | None = None, now: int = 0) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _split(text):
            connection.execute(statement)
        if migration:
            _check_references(connection, migration)
            connection.execute(RECORD.replace("%s", "?"), migration.record(now))
        connection.execute("COMMIT")
    except (sqlite3.Error, CannotOpen):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_references(connection: sqlite3.Connection, migration: Migration) -> None:
    violation = connection.execute("PRAGMA foreign_key_check").fetchone()
    if violation is None:
        return
    table, parent = violation["table"], violation["parent"]
    pairs = [
        (row["from"], row["to"])
        for row in connection.execute(f"PRAGMA foreign_key_list({table})")
        if row["id"] == violation["fkid"]
    ]
    key = ", ".join(row["name"] for row in connection.execute(f"PRAGMA table_info({table})") if row["pk"])
    same = " AND ".join(f"parent.{to} = child.{column}" for column, to in pairs)
    given = " AND ".join(f"child.{column} IS NOT NULL" for column, _ in pairs)
    parents = f"SELECT 1 FROM {parent} AS parent WHERE {same}"  # noqa: S608 - names from the catalogue
    children = f"SELECT {key} FROM {table} AS child WHERE {given} AND NOT EXISTS ({parents}) LIMIT 1"  # noqa: S608 - names from the catalogue
    orphan = connection.execute(children).fetchone()
    raise CannotOpen(
        f"migration {migration.number} was undone: the row {' '.join(map(str, orphan.values()))} of {table} would "
        f"refer to nothing in {parent}"
    )


def _split(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
