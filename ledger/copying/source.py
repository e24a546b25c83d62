"""The source of a copy, a SQLite file, and the form in which rows are read, compared and written.

Tables, columns, keys and their order come from the catalogue, so what a migration adds is copied too. The file is read
in one snapshot, with or without its lock: without, a receiver may be running.
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
"""The limits of what is compared and written together."""

NOT_COPIED = frozenset({"migrations", "moved_to", "event_types", "receipt_results", "work", "work_kinds"})
"""Tables that the target's own migrations fill, and the work queue, which is made again from jobs and deliveries."""

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
    """One table: its columns with Postgres' types. The first `key_length` of them are its primary key.

    Keys have the same order on both databases: that of their bytes, or of numbers.
    """

    name: str
    columns: Mapping[str, str]
    key_length: int

    @property
    def key(self) -> Sequence[str]:
        """Return the columns of the primary key."""
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
    """The number of rows between two keys, and the checksum of all of them."""

    rows: int
    checksum: str


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """The source's rows after the key `low` and up to `high`, in order. None is no bound."""

    table: Table
    low: Values | None
    high: Values | None
    rows: Sequence[Values]
    checksums: Sequence[bytes]

    @property
    def summary(self) -> Summary:
        """Summarise the rows, as the target does those between the same keys."""
        return Summary(len(self.rows), hashlib.sha256(b"".join(self.checksums)).hexdigest())


class Source:
    """The file, opened by `open_source`. If it is `locked`, no receiver writes to it."""

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
        """The mark of an earlier copy, if the ledger was moved."""
        self.tables = read_tables(connection)

    @property
    def identity(self) -> str:
        """Identify this ledger, wherever its file is, by the time when it was created, in ms."""
        ((made_at,),) = self._connection.execute("SELECT applied_at FROM migrations WHERE number = 1")
        return str(made_at)

    def end_claims(self, now: int) -> None:
        """End every claim, as a receiver does at its start: the one that held them does not run any more."""
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
        """Yield a table in the order of its keys. The last chunk has no upper bound; an empty table has one chunk."""
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

    def close_to_receivers(self, moved: Moved, now: int) -> None:
        """Mark the ledger as moved, so that no receiver opens it. Durable when this returns."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_CLOSE, (moved.copy, moved.sentence, now))

    def open_to_receivers(self) -> None:
        """Remove the mark. Durable when this returns."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("DELETE FROM moved_to")


@contextlib.contextmanager
def open_source(path: Path, *, locked: bool) -> Iterator[Source]:
    """Open an existing file, and lock it if `locked`. Raises `CannotOpen`, or `Locked` if a receiver has it."""
    if not path.is_file():
        raise CannotOpen(f"{path} is not there: nothing to copy")
    with contextlib.ExitStack() as undo:
        if locked:
            undo.callback(os.close, _locked(path))
        try:
            # Without the lock, read-only: decision 0004 excludes two processes that write or checkpoint.
            uri = f"{path.absolute().as_uri()}?mode={'rw' if locked else 'ro'}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)
            undo.callback(connection.close)
            yield Source(path, connection, locked=locked)
        except sqlite3.Error as error:
            raise CannotOpen(f"the copy stopped at {path}: {fault_of(error)}") from error


def read_tables(connection: sqlite3.Connection) -> Sequence[Table]:
    """Return the tables to copy, each after those that it refers to."""
    names = [name for (name,) in connection.execute(_TABLES) if name not in NOT_COPIED]
    missing = {name: {to for (to,) in connection.execute(_REFERENCES, (name,))} & set(names) for name in names}
    ordered = list[str]()
    while missing:
        ready = [name for name, needs in missing.items() if needs <= {*ordered, name}]
        ordered += ready
        missing = {name: needs for name, needs in missing.items() if name not in ready}
    return [_table(connection, name) for name in ordered]


def as_copied(row: Values) -> tuple[Values, bytes]:
    """Return a row as Postgres stores it, and its canonical form. Postgres' text cannot hold NUL: it becomes U+FFFD."""
    written = canonical(row)
    if b"\0" in written:  # one search for the whole row: it is rare
        row = tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row)
        written = canonical(row)
    return row, written


def canonical(row: Values) -> bytes:
    """Write a row as text, different for different rows. `_words` in ledger/copying/target.py is the same in SQL."""
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
    tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('migrations', 'moved_to', 'jobs')"
    if connection.execute(tables).fetchone() != (3,):
        raise CannotOpen(f"{path} is not a database of Renderhook: nothing to copy")
    return [Applied(*row) for row in connection.execute(READ_APPLIED)]


def _locked(path: Path) -> int:
    try:
        return take_lock(path)
    except Locked as error:
        raise Locked(
            f"a receiver has {path}: stop it for the last pass, or make one beside it with --while-running"
        ) from error
