"""The ledger that is moved: a file of SQLite's, read in one snapshot while its receiver may be at work, or locked."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger.copying.tables import Chunk, Table, Values, arriving, bounds, checksum
from ledger.errors import CannotOpen, Locked
from ledger.sqlite.store import take_lock
from ledger.sqlite.transactions import fault_of
from ledger.storage.migrations import NOTE, Applied, Note, is_of_this_release, note_of
from ledger.storage.statements import statements

CHUNK_ROWS = 5_000
CHUNK_BYTES = 8 << 20
"""What is compared and written together, whichever is reached first."""

_READ = "SELECT {columns} FROM {name} {where} ORDER BY {key}"
_MARK = (
    "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (?, ?, 'contract', ?, ?) "
    "ON CONFLICT (number) DO NOTHING"
)


class Source:
    """The file, opened by `opened`. With its lock (`locked`) nobody writes to it but us."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, locked: bool) -> None:
        self.path = path
        self.locked = locked
        self._connection = connection
        applied = _applied(path, connection)
        if not is_of_this_release(applied, "sqlite"):
            raise CannotOpen(
                f"{path} has another release's schema: run `python -m receiver migrate` on it, of this one"
            )
        self.note = note_of(applied)
        """What an earlier copy has written into it: that it was moved."""

    @property
    def identity(self) -> str:
        """Tell this ledger from others, wherever its file is: when it was made, in ms."""
        ((made_at,),) = self._connection.execute("SELECT applied_at FROM migrations WHERE number = 1")
        return str(made_at)

    def end_claims(self, now: int) -> None:
        """End what its last receiver had claimed, as the next one would at its start: nobody is at it any more."""
        statement = statements()["end_claims"]
        self._connection.execute(statement.text, statement.pick({"now": now}))

    def begin(self) -> None:
        """Begin the one snapshot that all is read from."""
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM migrations").fetchone()

    def end(self) -> None:
        """Let the snapshot go."""
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
            row, written = arriving(each)
            rows.append(row)
            checksums.append(checksum(written))
            size += len(written)
        yield Chunk(table=table, low=low, high=None, rows=rows, checksums=checksums)

    def between(self, table: Table, low: Values | None, high: Values | None) -> dict[Values, bytes]:
        """Return the checksum of each row between two keys, by its key."""
        where, values = bounds(table, low, high, "?")
        rows = map(arriving, self._connection.execute(_READ.format(**_words(table), where=where), values))
        return {table.key_of(row): checksum(written) for row, written in rows}

    def close_for_good(self, note: Note, now: int) -> None:
        """Write into it that it was moved: no receiver opens it any more. It is on the disk when this returns."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_MARK, (NOTE, note.name, note.words, now))

    def reopen(self) -> None:
        """Take that back."""
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("DELETE FROM migrations WHERE number = ?", (NOTE,))


@contextlib.contextmanager
def opened(path: Path, *, locked: bool) -> Iterator[Source]:
    """Open the file, and take its lock if `locked`. Nothing is made. Raises `CannotOpen`, `Locked` among it."""
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


def _words(table: Table) -> dict[str, str]:
    return {"columns": ", ".join(table.columns), "name": table.name, "key": ", ".join(table.key)}


def _applied(path: Path, connection: sqlite3.Connection) -> Sequence[Applied]:
    (ledger,) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('migrations', 'jobs')").fetchone()
    if ledger < 2:
        raise CannotOpen(f"{path} is not a ledger: nothing to copy")
    rows = connection.execute("SELECT number, phase, checksum, name FROM migrations").fetchall()
    return [Applied(number=number, phase=phase, checksum=text, name=name) for number, phase, text, name in rows]


def _locked(path: Path) -> int:
    try:
        return take_lock(path)
    except Locked as error:
        raise Locked(
            f"a receiver has {path}: stop it for the last pass, or make one beside it with --while-running"
        ) from error
