"""Migrations: numbered files, run in order, each in one transaction, recorded with a checksum."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from importlib import resources

import msgspec

from ledger.errors import CannotOpen

_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered change of the schema."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Tell this text from another under the same number."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations(dialect: str = "sqlite") -> list[Migration]:
    """Read the migrations in order. Raises ValueError when a number is missing or a file is misnamed."""
    found = []
    for file in sorted(
        resources.files("ledger").joinpath("migrations", dialect).iterdir(), key=lambda entry: entry.name
    ):
        match = _FILE.match(file.name)
        if not match:
            raise ValueError(f"migration {file.name} is not named NNNN_words.sql")
        found.append(Migration(number=int(match[1]), name=match[2], text=file.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 … without gaps")
    return found


def migrate(connection: sqlite3.Connection, now: int) -> list[Migration]:
    """Bring the schema up to date and return what was applied. `now` is ms.

    Raises `CannotOpen` when the file holds a migration that we do not know (a newer release wrote it), or another
    text under a number of ours; sqlite3.Error as it comes.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
        "checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
    )
    connection.execute("COMMIT")
    rows = connection.execute("SELECT number, checksum FROM migrations").fetchall()
    applied = {row["number"]: row["checksum"] for row in rows}
    known = migrations()
    _refuse_strangers(applied, known)
    new = [migration for migration in known if migration.number not in applied]
    for migration in new:
        _apply(connection, migration, now)
    return new


def _refuse_strangers(applied: dict[int, str], known: list[Migration]) -> None:
    checksums = {migration.number: migration.checksum for migration in known}
    for number, checksum in sorted(applied.items()):
        if number not in checksums:
            raise CannotOpen(
                f"the ledger has migration {number}, which this release does not know: run a newer release"
            )
        if checksums[number] != checksum:
            raise CannotOpen(f"migration {number} in the ledger is not the one of this release: was it edited?")


def _apply(connection: sqlite3.Connection, migration: Migration, now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _split(migration.text):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
            (migration.number, migration.name, migration.checksum, now),
        )
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _split(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
