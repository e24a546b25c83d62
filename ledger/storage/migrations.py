"""Migrations: numbered files, run in order, each in one transaction, recorded with a checksum.

`ledger/schema/NNNN_words.sql` is one text for both databases, rendered for Postgres. `NNNN_words.sqlite.sql` and
`NNNN_words.postgres.sql` are a text for each, to rebuild a table. Two releases overlap in every deploy, so the first
line names the phase: an `expand` only adds, and a release that does not know it still works; a `contract` removes what
the release before it did not use any more.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal, cast

import msgspec

from ledger.errors import CannotOpen
from ledger.storage.statements import Dialect
from ledger.storage.transaction import Rows

Phase = Literal["expand", "contract"]

SCHEMA: Traversable = resources.files("ledger").joinpath("schema")
"""The folder of the migrations."""

_FILE = re.compile(r"^(\d{4})_(\w+)(?:\.(sqlite|postgres))?\.sql$")
_PHASE = re.compile(r"-- (expand|contract): ")

_ONLY = re.compile(r"^-- only (sqlite|postgres): .*?^-- end only$", re.MULTILINE | re.DOTALL)
_TYPES = {
    "sqlite": {"ID": "TEXT"},
    "postgres": {"ID": 'TEXT COLLATE "C"', "INTEGER": "BIGINT", "BLOB": "BYTEA"},
}

_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, phase TEXT NOT NULL, checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS moved_to (
    only_row INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1), copy TEXT NOT NULL, sentence TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('closed', 'open')), changed_at INTEGER NOT NULL
) STRICT;
"""

READ_APPLIED = "SELECT number, phase, checksum FROM migrations ORDER BY number"
READ_MOVED = "SELECT copy, sentence, state FROM moved_to"
RECORD = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (%s, %s, %s, %s, %s)"
"""The statement for `Migration.record(now)`. On SQLite its placeholders are `?`."""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered change of the schema. `text` is the content of its file, `sql` what its database runs."""

    number: int
    name: str
    text: str
    sql: str

    @property
    def checksum(self) -> str:
        """Identify the text, which must not change after a release."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def phase(self) -> Phase:
        """Return the phase, from the first line."""
        return cast("Phase", self.text[4 : self.text.index(":")])

    def record(self, now: int) -> tuple[object, ...]:
        """Return the values of `RECORD`. `now` is ms."""
        return (self.number, self.name, self.phase, self.checksum, now)


class Applied(msgspec.Struct, frozen=True):
    """One migration as recorded in the database."""

    number: int
    phase: str
    checksum: str


class Moved(msgspec.Struct, frozen=True):
    """The mark of a copy, in its source or its target. While its state is `closed`, no release opens the ledger.

    `copy` identifies the copy; `sentence` is the error message for the operator.
    """

    copy: str
    sentence: str
    state: Literal["closed", "open"]


def bookkeeping(dialect: Dialect) -> str:
    """Return the statements that create the tables that are read before any migration, if they do not exist."""
    return render(_BOOKKEEPING, dialect)


def render(text: str, dialect: Dialect) -> str:
    """Render a text of the schema for one database: without the blocks of the other, and with its own types."""
    text = _ONLY.sub(lambda match: match[0] if match[1] == dialect else "", text)
    if dialect == "postgres":
        text = re.sub(r"\) STRICT(, WITHOUT ROWID)?;", ");", text)
    types = _TYPES[dialect]
    return re.sub(rf"\b({'|'.join(types)})\b", lambda match: types[match[1]], text)


def migrations(dialect: Dialect = "sqlite") -> list[Migration]:
    """Read the migrations in order. Raises ValueError for a missing number, a wrong name or no phase."""
    found = []
    for file in sorted(SCHEMA.iterdir(), key=lambda entry: entry.name):
        match = _FILE.match(file.name)
        if not match:
            raise ValueError(f"migration {file.name} is not named NNNN_words.sql or NNNN_words.DATABASE.sql")
        if match[3] not in {None, dialect}:
            continue
        text = file.read_text(encoding="utf-8")
        if not _PHASE.match(text):
            raise ValueError(f"migration {file.name} does not begin with -- expand: or -- contract: and what it does")
        found.append(Migration(number=int(match[1]), name=match[2], text=text, sql=render(text, dialect)))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations for {dialect} are not numbered 1, 2, 3 … without gaps")
    return found


def is_of_this_release(applied: Iterable[Applied], dialect: Dialect) -> bool:
    """Return whether a ledger has exactly the migrations of this release."""
    ours = {(migration.number, migration.checksum) for migration in migrations(dialect)}
    return {(each.number, each.checksum) for each in applied} == ours


def new_migrations(applied: Rows, moved: Rows, known: Sequence[Migration]) -> list[Migration]:
    """Return the migrations that are not applied yet, in order. The rows are those of READ_APPLIED and READ_MOVED.

    Raises `CannotOpen` if the ledger was moved, if a migration has another checksum, or if a newer release has applied
    a contract.
    """
    for row in moved:
        if row["state"] == "closed":
            raise CannotOpen(row["sentence"])
    ours, done = {migration.number: migration for migration in known}, set[int]()
    for each in (Applied(**row) for row in applied):
        done.add(each.number)
        if each.number not in ours and each.phase != "expand":
            raise CannotOpen(
                f"the ledger has migration {each.number}, which this release does not know and which took away what it "
                f"may need: run a newer release"
            )
        if each.number in ours and ours[each.number].checksum != each.checksum:
            raise CannotOpen(
                f"migration {each.number} in the database is not the one of this release. A database that was made "
                f"before the first release is not migrated: let its jobs end with the commit that made it, and then "
                f"start with a new database. See docs/operations/upgrade.md"
            )
    return [migration for migration in known if migration.number not in done]
