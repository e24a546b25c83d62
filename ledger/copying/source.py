"""The source of a copy, a file of SQLite's, and the form in which rows are read, compared and written.

Tables, columns, keys and their order come from the catalogue: what a migration adds is copied too. The file is read in
one snapshot, while its receiver may be running, or locked.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from ledger.errors import CannotOpen, Locked
from ledger.sqlite.store import take_lock
from ledger.sqlite.transactions import fault_of
from ledger.storage.migrations import READ_APPLIED, READ_MOVED, Applied, Moved, is_of_this_release
from ledger.storage.statements import statements

CHUNK_ROWS = 5_000
CHUNK_BYTES = 8 << 20
"""What is compared and written together, whichever is reached first."""

NOT_COPIED = frozenset({"migrations", "moved_to", "event_types", "receipt_results", "work", "work_kinds"})
"""Tables that the target's own migrations fill, and the work queue, which is made anew of the jobs and deliveries."""

Value = str | int | bytes | None
Values = tuple[Value, ...]

_TYPES = {"TEXT": "text", "INTEGER": "bigint", "BLOB": "bytea"}

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
_COLUMNS = "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY pk = 0, pk, cid"
_REFERENCES = 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(?)'
_READ = "SELECT {columns} FROM {name} {where} ORDER BY {key}"
_CLOSE = """
INSERT INTO moved_to (copy, sentence, state, changed_at) VALUES (?, ?, 'closed', ?) ON CONFLICT (only_row) DO NOTHING
"""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table: its columns with Postgres' types, the first `key_length` of them its key.

    Keys sort alike on both databases: as their bytes do, or as numbers.
    """

    name: str
    columns: Mapping[str, str]
    key_length: int

    @property
    def key(self) -> Sequence[str]:
        """Return the columns that tell a row from all others."""
        return tuple(self.columns)[: self.key_length]

    def key_of(self, row: Values) -> Values:
        """Return the key of a row."""
        return row[: self.key_length]

    def bounds(self, low: Values | None, high: Values | None, mark: str) -> tuple[str, Sequence[Value]]:
        """Return the WHERE clause for the rows after the key `low`, up to `high`, and its values for each `mark`."""
        key, marks = ", ".join(self.key), ", ".join([mark] * self.key_length)
        parts = [f"({key}) {sign} ({marks})" for sign, bound in ((">", low), ("<=", high)) if bound is not None]
        return f"WHERE {' AND '.join(parts)}" if parts else "", (*(low or ()), *(high or ()))


class Summary(msgspec.Struct, frozen=True):
    """How many rows there are between two keys, and the checksum of them all."""

    number: int
    checksum: str


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """The source's rows after the key `low` and up to `high`, in order; without bound where it is None."""

    table: Table
    low: Values | None
    high: Values | None
    rows: Sequence[Values]
    checksums: Sequence[bytes]

    @property
    def summary(self) -> Summary:
        """Sum it up, as the target sums up its rows between the same keys."""
        return Summary(len(self.rows), hashlib.sha256(b"".join(self.checksums)).hexdigest())


class Source:
    """The file, opened by `open_source`. With its lock (`locked`) no receiver writes to it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, locked: bool) -> None:
        self.path = path
        self.locked = locked
        self._connection = connection
        if not is_of_this_release(_applied(path, connection), "sqlite"):
            raise CannotOpen(
                f"{path} has another release's schema: run `python -m receiver migrate` on it, of this one"
            )
        moved = [Moved(*row) for row in connection.execute(READ_MOVED)]
        self.moved = moved[0] if moved else None
        """The mark of an earlier copy: that the ledger was moved."""
        self.tables = read_tables(connection)

    @property
    def identity(self) -> str:
        """Identify this ledger, wherever its file is: when it was made, in ms."""
        ((made_at,),) = self._connection.execute("SELECT applied_at FROM migrations WHERE number = 1")
        return str(made_at)

    def end_claims(self, now: int) -> None:
        """End the claims of its last receiver, as the next one would at its start: it does not run any more."""
        statement = statements()["end_claims"]
        self._connection.execute(statement.text, statement.pick({"now": now}))

    def begin(self) -> None:
        """Begin the one snapshot that everything is read from."""
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM migrations").fetchone()

    def end(self) -> None:
        """End the snapshot."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def chunks(self, table: Table) -> Iterator[Chunk]:
        """Read a table in the order of its keys; the last chunk, the first of an empty table, has no upper bound."""
        cursor = self._connection.execute(_READ.format(**_words(table), where=""))
        low: Values | None = None
        rows, checksums, size = list[Values](), list[bytes](), 0
        for each in cursor:
            if len(rows) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                high = table.key_of(rows[-1])
                yield Chunk(table=table, low=low, high=high, rows=rows, checksums=checksums)
                low, rows, checksums, size = high, [], [], 0
            row, written = as_copied(each)
            rows.append(row)
            checksums.append(hashlib.sha256(written).digest())
            size += len(written)
        yield Chunk(table=table, low=low, high=None, rows=rows, checksums=checksums)

    def between(self, table: Table, low: Values | None, high: Values | None) -> dict[Values, bytes]:
        """Return the checksum of each row between two keys, by its key."""
        where, values = table.bounds(low, high, "?")
        rows = map(as_copied, self._connection.execute(_READ.format(**_words(table), where=where), values))
        return {table.key_of(row): hashlib.sha256(written).digest() for row, written in rows}

    def close_for_good(self, moved: Moved, now: int) -> None:
        """Mark it as moved: no receiver opens it any more. It is on the disk when this returns."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_CLOSE, (moved.copy, moved.sentence, now))

    def reopen(self) -> None:
        """Take that back."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("DELETE FROM moved_to")


@contextlib.contextmanager
def open_source(path: Path, *, locked: bool) -> Iterator[Source]:
    """Open the file, and take its lock if `locked`. Nothing is made. Raises `CannotOpen`, such as `Locked`."""
    if not path.is_file():
        raise CannotOpen(f"{path} is not there: nothing to copy")
    with contextlib.ExitStack() as undo:
        if locked:
            undo.callback(os.close, _locked(path))
        try:
            # Beside a receiver we only read: two that write or checkpoint at once are what decision 0004 rules out.
            uri = f"{path.absolute().as_uri()}?mode={'rw' if locked else 'ro'}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)
            undo.callback(connection.close)
            yield Source(path, connection, locked=locked)
        except sqlite3.Error as error:
            raise CannotOpen(f"the copy stopped at {path}: {fault_of(error)}") from error


def read_tables(connection: sqlite3.Connection) -> Sequence[Table]:
    """Read which tables are copied, those that others refer to first."""
    names = [name for (name,) in connection.execute(_TABLES) if name not in NOT_COPIED]
    missing = {name: {to for (to,) in connection.execute(_REFERENCES, (name,))} & set(names) for name in names}
    ordered = list[str]()
    while missing:
        ready = [name for name, needs in missing.items() if needs <= {*ordered, name}]
        ordered += ready
        missing = {name: needs for name, needs in missing.items() if name not in ready}
    return [_table(connection, name) for name in ordered]


def as_copied(row: Values) -> tuple[Values, bytes]:
    """Return a row as Postgres keeps it, and its canonical form.

    The text of Postgres has no room for NUL, and says U+FFFD in its place.
    """
    written = canonical(row)
    if b"\0" in written:  # searched once for the whole row: hardly any has it
        row = tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row)
        written = canonical(row)
    return row, written


def canonical(row: Values) -> bytes:
    """Write a row so that no two are written alike: as `_words` of ledger/copying/target.py has Postgres do."""
    return ",".join(
        [
            "-"
            if value is None
            else f"{len(value)}:{value}"
            if type(value) is str
            else value.hex()
            if type(value) is bytes
            else str(value)
            for value in row
        ]
    ).encode()


def _table(connection: sqlite3.Connection, name: str) -> Table:
    rows = connection.execute(_COLUMNS, (name,)).fetchall()
    return Table(
        name=name, columns={column: _TYPES[kind] for column, kind, _ in rows}, key_length=sum(pk > 0 for *_, pk in rows)
    )


def _words(table: Table) -> dict[str, str]:
    return {"columns": ", ".join(table.columns), "name": table.name, "key": ", ".join(table.key)}


def _applied(path: Path, connection: sqlite3.Connection) -> Sequence[Applied]:
    made = "SELECT count(*) FROM sqlite_schema WHERE name IN ('migrations', 'moved_to', 'jobs')"
    if connection.execute(made).fetchone() != (3,):
        raise CannotOpen(f"{path} is not a database of Renderhook: nothing to copy")
    return [Applied(*row) for row in connection.execute(READ_APPLIED)]


def _locked(path: Path) -> int:
    try:
        return take_lock(path)
    except Locked as error:
        raise Locked(
            f"a receiver has {path}: stop it for the last pass, or make one beside it with --while-running"
        ) from error
