"""Migrations: numbered files, run in order, each in one transaction, recorded with a checksum.

Two releases overlap in every deploy, so the first line of each says what it does to the older one: an `expand` only
adds, and a release that does not know it works on; a `contract` takes away what the release before it ceased to use.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Literal, cast

import msgspec

from ledger.errors import CannotOpen
from ledger.storage.statements import Dialect

Phase = Literal["expand", "contract"]

NOTE = 10_000
"""The number, past those of all files, of the row that a copy writes. As an unknown contract it stops every release."""

_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")
_PHASE = re.compile(r"-- (expand|contract): ")


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered change of the schema."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Tell this text from another under the same number."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def phase(self) -> Phase:
        """Tell what it does to a release that does not know it."""
        return cast("Phase", self.text[4 : self.text.index(":")])


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """One migration as the ledger remembers it."""

    number: int
    phase: str
    checksum: str
    name: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy has written in a ledger, as a row of `migrations`: while it is not `open`, no release opens it.

    `name` tells which copy it was, `words` tell an operator what to do.
    """

    name: str
    words: str
    open: bool


def note_of(applied: Iterable[Applied]) -> Note | None:
    """Return the note that a copy has left, if one has."""
    notes = [each for each in applied if each.number == NOTE]
    return Note(name=notes[0].name, words=notes[0].checksum, open=notes[0].phase == "expand") if notes else None


def is_of_this_release(applied: Iterable[Applied], dialect: Dialect) -> bool:
    """Tell whether a ledger has our migrations, all of them and no others, whatever a copy has noted in it."""
    ours = {(migration.number, migration.checksum) for migration in migrations(dialect)}
    return {(each.number, each.checksum) for each in applied if each.number != NOTE} == ours


def migrations(dialect: Dialect = "sqlite") -> list[Migration]:
    """Read the migrations in order. Raises ValueError for a missing number, a wrong name or no phase."""
    found = []
    for file in sorted(resources.files("ledger").joinpath("schema", dialect).iterdir(), key=lambda entry: entry.name):
        match = _FILE.match(file.name)
        if not match:
            raise ValueError(f"migration {file.name} is not named NNNN_words.sql")
        text = file.read_text(encoding="utf-8")
        if not _PHASE.match(text):
            raise ValueError(f"migration {file.name} does not begin with -- expand: or -- contract: and what it does")
        found.append(Migration(number=int(match[1]), name=match[2], text=text))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 … without gaps")
    return found


def new_migrations(applied: Iterable[Applied], known: Sequence[Migration]) -> list[Migration]:
    """Return what is still to be applied, in order.

    Raises `CannotOpen` when the ledger has another text under a number of ours, or a contract that we do not know (a
    newer release has taken away what we may use), or a copy has shut it.
    """
    ours, done = {migration.number: migration for migration in known}, set[int]()
    for each in sorted(applied, key=lambda each: each.number):
        done.add(each.number)
        if each.number == NOTE and each.phase != "expand":
            raise CannotOpen(each.checksum)  # the words of whoever shut it
        if each.number not in ours and each.phase != "expand":
            raise CannotOpen(
                f"the ledger has migration {each.number}, which this release does not know and which took away what it "
                f"may need: run a newer release"
            )
        if each.number in ours and ours[each.number].checksum != each.checksum:
            raise CannotOpen(f"migration {each.number} in the ledger is not the one of this release: was it edited?")
    return [migration for migration in known if migration.number not in done]


def migrate(connection: sqlite3.Connection, now: int) -> list[Migration]:
    """Bring the schema of an SQLite file up to date and return what was applied. `now` is ms.

    Raises `CannotOpen` as `new_migrations` does; sqlite3.Error as it comes.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
        "phase TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
    )
    connection.execute("COMMIT")
    rows = connection.execute("SELECT number, phase, checksum FROM migrations").fetchall()
    new = new_migrations([Applied(**row) for row in rows], migrations())
    for migration in new:
        _apply(connection, migration, now)
    return new


def _apply(connection: sqlite3.Connection, migration: Migration, now: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _split(migration.text):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (?, ?, ?, ?, ?)",
            (migration.number, migration.name, migration.phase, migration.checksum, now),
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
