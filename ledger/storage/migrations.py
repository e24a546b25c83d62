"""Migrations: numbered files, run in order, each in one transaction, recorded with a checksum.

`ledger/schema/NNNN_words.sql` is one text for both databases, rendered for Postgres; `NNNN_words.sqlite.sql` beside
`NNNN_words.postgres.sql` are one for each, where a table is rebuilt. Two releases overlap in every deploy, so the first
line of each says what it does to the older one: an `expand` only adds, and a release that does not know it works on; a
`contract` takes away what the release before it ceased to use.
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

_BEFORE_RELEASE = (
    "the database was made by a version before the first release, 0.1.0: its migration 1 is another. "
    "Let its jobs end with that version, then set DATABASE_URL to a new database (docs/operations/upgrade.md)"
)
_EDITED = "migration {} in the database is not the one of this release: was it edited?"

READ_APPLIED = "SELECT number, phase, checksum FROM migrations ORDER BY number"
READ_MOVED = "SELECT copy, sentence, state FROM moved_to"
RECORD = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (%s, %s, %s, %s, %s)"
"""Takes `Migration.record(now)`. Written for psycopg; SQLite's marks are `?`."""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered change of the schema; `text` is as in its file, `sql` as its database runs it."""

    number: int
    name: str
    text: str
    sql: str

    @property
    def checksum(self) -> str:
        """Identify the text: another one under the same number has another checksum."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def phase(self) -> Phase:
        """Return what it does to a release that does not know it."""
        return cast("Phase", self.text[4 : self.text.index(":")])

    def record(self, now: int) -> tuple[object, ...]:
        """Return the values of `RECORD`. `now` is ms."""
        return (self.number, self.name, self.phase, self.checksum, now)


class Applied(msgspec.Struct, frozen=True):
    """One migration as the database remembers it."""

    number: int
    phase: str
    checksum: str


class Moved(msgspec.Struct, frozen=True):
    """The mark of a copy, on either side of it. While it is `closed` no release opens the ledger.

    `copy` says which copy it was, `sentence` what an operator does about it.
    """

    copy: str
    sentence: str
    state: Literal["closed", "open"]


def bookkeeping(dialect: Dialect) -> str:
    """Return the statements that make, if they are not there, the tables that are read before any migration."""
    return render(_BOOKKEEPING, dialect)


def render(text: str, dialect: Dialect) -> str:
    """Write a text of the schema as a database takes it: without the other's blocks, with its own types."""
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
    """Return whether a ledger has our migrations, all of them and no others."""
    ours = {(migration.number, migration.checksum) for migration in migrations(dialect)}
    return {(each.number, each.checksum) for each in applied} == ours


def new_migrations(applied: Iterable[Applied], moved: Moved | None, known: Sequence[Migration]) -> list[Migration]:
    """Return what is still to be applied, in order.

    Raises `CannotOpen` when the ledger was moved, or has another text under a number of ours, or a contract that we do
    not know: a newer release has taken away what we may use.
    """
    if moved and moved.state == "closed":
        raise CannotOpen(moved.sentence)
    ours, done = {migration.number: migration for migration in known}, set[int]()
    for each in sorted(applied, key=lambda each: each.number):
        done.add(each.number)
        if each.number not in ours and each.phase != "expand":
            raise CannotOpen(
                f"the ledger has migration {each.number}, which this release does not know and which took away what it "
                f"may need: run a newer release"
            )
        if each.number in ours and ours[each.number].checksum != each.checksum:
            raise CannotOpen(_BEFORE_RELEASE if each.number == 1 else _EDITED.format(each.number))
    return [migration for migration in known if migration.number not in done]
