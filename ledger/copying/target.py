"""The target of a copy, a database of Postgres': summed up by itself, written, and opened to receivers at the end."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from ledger.copying.source import NOT_COPIED, Chunk, Summary, Table, Values
from ledger.errors import CannotOpen, Locked, Unavailable
from ledger.postgres.connections import Connection, connect, refuse_others
from ledger.postgres.faults import fault_of
from ledger.postgres.migrate import migrate
from ledger.postgres.store import open_postgres
from ledger.storage.migrations import READ_APPLIED, READ_MOVED, Applied, Moved, is_of_this_release
from ledger.transitions.queue import enqueue_missing

_LOCK = 0x636F7079  # "copy": any number, so long as it is always this one
_NAME = "renderhook copy"
_SECONDS = 30.0

_UNFINISHED = (
    "this ledger is a copy that is not finished: stop the receiver of the old ledger, and run "
    "`python -m receiver copy` once more, without --while-running"
)
_SETTINGS = (
    "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '10s', true), "
    "set_config('idle_in_transaction_session_timeout', '0', true), set_config('jit', 'off', true), "
    # what is said to be handed over is on the disk, whatever the server's default is
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true), "
    "set_config('enable_seqscan', 'off', true)"  # rows just written have no statistics, and a range is an index's
)
_EXISTS = "SELECT to_regclass('migrations') IS NOT NULL"
_COLUMNS = """
SELECT t.relname, c.attname, format_type(c.atttypid, NULL), array_position(k.indkey::int2[], c.attnum)
FROM pg_class AS t
JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
JOIN pg_index AS k ON k.indrelid = t.oid AND k.indisprimary
WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace
ORDER BY t.relname, 4 NULLS LAST, c.attnum
"""
_ANY = "SELECT 1 FROM {name} LIMIT 1"
_READY = "ANALYZE {names}"
_BEGUN = "INSERT INTO moved_to (copy, sentence, state, changed_at) VALUES (%s, %s, 'closed', %s)"
_CHANGED = "UPDATE moved_to SET state = %s, changed_at = %s"
_SUMMARY = """
SELECT count(*),
       encode(sha256(coalesce(string_agg(sha256(convert_to({row}, 'UTF8')), ''::bytea ORDER BY {key}), '')), 'hex')
FROM {name} {where}
"""
_CHECKSUMS = "SELECT sha256(convert_to({row}, 'UTF8')), {key} FROM {name} {where}"
_ARRIVING = "CREATE TEMP TABLE arriving (LIKE {name}) ON COMMIT DROP"
_COPY = "COPY {into} ({columns}) FROM STDIN (FORMAT BINARY)"
_UPSERT = "INSERT INTO {name} ({columns}) SELECT {columns} FROM pg_temp.arriving ON CONFLICT ({key}) {otherwise}"


class Target:
    """The database, opened by `open_target`: one connection that reads in one snapshot, one that writes."""

    def __init__(self, url: str, reader: Connection, writer: Connection, moved: Moved) -> None:
        self.moved = moved
        """Which copy it is; `open` when it was finished, and belongs to the receivers."""
        self._url = url
        self._reader = reader
        self._writer = writer

    @property
    def is_open(self) -> bool:
        """Whether the copy was finished: receivers work there."""
        return self.moved.state == "open"

    @property
    def place(self) -> str:
        """Return what an operator knows it by, without the password."""
        parts = urlsplit(self._url)
        return f"{parts.hostname or 'a socket'}{parts.path}"

    async def begin(self) -> None:
        """Begin the one snapshot that everything is read from. Raises `Locked` when another copy runs."""
        await self._reader.rollback()
        await self._reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await self._reader.execute(_SETTINGS)
        if not await _holds(self._reader, f"SELECT pg_try_advisory_xact_lock({_LOCK})"):
            raise Locked("another copy to this database is running: wait until it ends")

    async def summary(self, table: Table, low: Values | None, high: Values | None) -> Summary:
        """Sum up what is there between two keys."""
        where, values = table.bounds(low, high, "%s")
        asked = _SUMMARY.format(where=where, **_words(table)).encode()
        [(number, checksum)] = await (await self._reader.execute(asked, values)).fetchall()
        return Summary(int(str(number)), str(checksum))

    async def between(self, table: Table, low: Values | None, high: Values | None) -> dict[Values, bytes]:
        """Return the checksum of each row between two keys, by its key."""
        where, values = table.bounds(low, high, "%s")
        asked = _CHECKSUMS.format(where=where, **_words(table)).encode()
        rows = await (await self._reader.execute(asked, values)).fetchall()
        return {tuple(key): checksum for checksum, *key in rows}  # type: ignore[arg-type,misc]  # as the tables say

    async def write(self, chunk: Chunk, *, empty: bool) -> int:
        """Write a chunk in one transaction; `empty` where no row is between its keys. Returns how many rows changed."""
        words = _words(chunk.table)
        into = chunk.table.name if empty else "pg_temp.arriving"
        async with self._writer.transaction(), self._writer.cursor() as cursor:
            await cursor.execute(_SETTINGS)
            if not empty:
                await cursor.execute(_ARRIVING.format(**words).encode())
            async with cursor.copy(_COPY.format(into=into, columns=words["columns"]).encode()) as copy:
                copy.set_types(list(chunk.table.columns.values()))
                for row in chunk.rows:
                    await copy.write_row(row)
            if not empty:
                await cursor.execute(_UPSERT.format(otherwise=_otherwise(chunk.table), **words).encode())
            return cursor.rowcount

    async def finish(self, tables: Sequence[Table], now: int) -> None:
        """Let receivers in, and enqueue every open job and endpoint. It is on the disk when this returns.

        What is open is due at once, not when it was: much may have happened while no receiver ran.
        """
        names = ", ".join(table.name for table in tables)
        async with self._writer.transaction():
            await self._writer.execute(_SETTINGS)
            await self._writer.execute(_READY.format(names=names).encode())
        await self._mark("open", now)
        store = await open_postgres(self._url, now=now, connections=1, seconds=_SECONDS)
        try:
            await enqueue_missing(store, now=now)  # or else a receiver does, within its first minute
        finally:
            await store.close()

    async def shut(self, now: int) -> None:
        """Let no receiver in any more: it is an unfinished copy, as it was before `finish`."""
        await refuse_others(self._writer)
        await self._mark("closed", now)

    async def check_tables(self, tables: Sequence[Table]) -> None:
        """Compare the catalogue with the source's. Raises `CannotOpen` when they differ."""
        theirs: dict[str, tuple[dict[str, str], int]] = {}
        for name, column, kind, place in await (await self._writer.execute(_COLUMNS.encode())).fetchall():
            columns, key_length = theirs.get(str(name), ({}, 0))
            theirs[str(name)] = (columns | {str(column): str(kind)}, key_length + (place is not None))
        theirs = {name: table for name, table in theirs.items() if name not in NOT_COPIED}
        if theirs != {table.name: (dict(table.columns), table.key_length) for table in tables}:
            raise CannotOpen("the database has other tables than the source: copy to an empty database")

    async def _mark(self, state: Literal["closed", "open"], now: int) -> None:
        async with self._writer.transaction():
            await self._writer.execute(_SETTINGS)
            await self._writer.execute(_CHANGED, (state, now))
        self.moved = Moved(self.moved.copy, _UNFINISHED, state)


@contextlib.asynccontextmanager
async def open_target(
    url: str, *, identity: str, tables: Sequence[Table], known: Moved | None, now: int
) -> AsyncIterator[Target]:
    """Open the database for a copy of the ledger `identity`, made a ledger if there is none.

    `known` is the mark of an earlier copy at the source. Raises `CannotOpen` for a ledger that is no copy of this
    source, LedgerError for what the database says.
    """
    try:
        async with await connect(url, name=_NAME) as reader, await connect(url, name=_NAME) as writer:
            for connection in (reader, writer):
                connection.prepare_threshold = None  # a pooler may stand between
            moved = await _find_copy(writer, identity, tables, known) or await _begin_copy(writer, identity, now)
            target = Target(url, reader, writer, moved)
            await target.check_tables(tables)
            yield target
    except psycopg.Error as error:
        fault = fault_of(error)
        if isinstance(fault, Unavailable):
            raise Unavailable(f"the copy stopped: {fault}. Run it again: it goes on from there") from error
        raise CannotOpen(f"the copy stopped: {fault}") from error


async def _find_copy(
    connection: Connection, identity: str, tables: Sequence[Table], known: Moved | None
) -> Moved | None:
    """Return the mark of an earlier copy. Raises `CannotOpen` when the ledger is not one that we may write to."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise CannotOpen(f"the database's encoding is {encoding}: make one with ENCODING 'UTF8'")
    ledger = await _holds(connection, _EXISTS)
    moved = await _read_mark(connection) if ledger else None
    if known and (moved is None or moved.copy != known.copy):
        raise CannotOpen(known.sentence)
    if moved and moved.copy.split()[0] != identity:
        raise CannotOpen("the database has a copy of another ledger: copy to an empty database")
    for table in tables if ledger and moved is None else ():
        # a receiver that started there has registered its providers, and perhaps nothing more
        if table.name != "providers" and await _holds(connection, _ANY.format(name=table.name)):
            raise CannotOpen("the database has a ledger of its own, which is kept: copy to an empty database")
    if ledger and not (moved and moved.state == "open"):
        await refuse_others(connection)
    return moved


async def _read_mark(connection: Connection) -> Moved | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        applied = [Applied(**row) for row in await (await cursor.execute(READ_APPLIED)).fetchall()]
        if not is_of_this_release(applied, "postgres"):
            raise CannotOpen("the database has another release's ledger: copy to an empty database")
        moved = [Moved(**row) for row in await (await cursor.execute(READ_MOVED)).fetchall()]
    return moved[0] if moved else None


async def _begin_copy(connection: Connection, identity: str, now: int) -> Moved:
    """Make the ledger, and close it to receivers before its first row."""
    await migrate(connection, now)
    moved = Moved(f"{identity} {secrets.token_hex(8)}", _UNFINISHED, "closed")
    await connection.execute(_BEGUN, (moved.copy, moved.sentence, now))
    return moved


async def _holds(connection: Connection, statement: str, *values: object) -> bool:
    row = await (await connection.execute(statement.encode(), values or None)).fetchone()
    return bool(row and row[0])


def _words(table: Table) -> dict[str, str]:
    """Return the words of statements about a table. `row` is `canonical` of ledger/copying/source.py in SQL."""
    as_text = {"text": "length({0}) || ':' || {0}", "bigint": "{0}::text", "bytea": "encode({0}, 'hex')"}
    written = [f"coalesce({as_text[kind].format(name)}, '-')" for name, kind in table.columns.items()]
    return {
        "name": table.name,
        "key": ", ".join(table.key),
        "columns": ", ".join(table.columns),
        "row": f"concat_ws(',', {', '.join(written)})",
    }


def _otherwise(table: Table) -> str:
    others = [name for name in table.columns if name not in table.key]
    if not others:
        return "DO NOTHING"
    pairs = ", ".join(f"{name} = excluded.{name}" for name in others)
    old, new = (", ".join(f"{side}.{name}" for name in others) for side in (table.name, "excluded"))
    return f"DO UPDATE SET {pairs} WHERE ({old}) IS DISTINCT FROM ({new})"
