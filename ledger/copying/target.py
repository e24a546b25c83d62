"""The target of a copy, a Postgres database: it computes its own checksums, and is opened to receivers at the end."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from ledger.copying.source import NOT_COPIED, Chunk, Source, Summary, Table, Values
from ledger.errors import CannotOpen, Locked, Unavailable
from ledger.postgres.connections import Connection, connect, refuse_others
from ledger.postgres.faults import fault_of
from ledger.postgres.migrate import migrate
from ledger.postgres.store import open_postgres
from ledger.storage.migrations import READ_APPLIED, READ_MOVED, Applied, Moved, is_of_this_release
from ledger.transitions.queue import enqueue_missing

_LOCK = 0x636F7079  # "copy" in ASCII: the key of an advisory lock
_NAME = "renderhook copy"
_SECONDS = 30.0

_UNFINISHED = (
    "this ledger is a copy that is not finished: stop the receiver of the old ledger, and run "
    "`python -m receiver copy` once more, without --while-running"
)
_SETTINGS = (
    "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '10s', true), "
    "set_config('idle_in_transaction_session_timeout', '0', true), set_config('jit', 'off', true), "
    # what is reported as moved is durable, whatever the server's default is
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true), "
    "set_config('enable_seqscan', 'off', true)"  # new rows have no statistics yet
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
_ANALYZE = "ANALYZE {names}"
_MARK = "INSERT INTO moved_to (copy, sentence, state, changed_at) VALUES (%s, %s, 'closed', %s)"
_SET_STATE = "UPDATE moved_to SET state = %s, changed_at = %s"
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
    """The database, opened by `open_target`, with a connection that reads one snapshot and one that writes."""

    def __init__(self, url: str, reader: Connection, writer: Connection, moved: Moved) -> None:
        self.moved = moved
        """The mark of the copy. Its state is `open` after the last pass."""
        self._url = url
        self._reader = reader
        self._writer = writer

    @property
    def is_open(self) -> bool:
        """Whether the last pass was made, so that receivers may open it."""
        return self.moved.state == "open"

    @property
    def place(self) -> str:
        """Return host and database name, without user and password."""
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
        """Summarise the rows between two keys."""
        where, values = table.bounds(low, high, "%s")
        query = _SUMMARY.format(where=where, **_words(table)).encode()
        [(rows, checksum)] = await (await self._reader.execute(query, values)).fetchall()
        return Summary(int(str(rows)), str(checksum))

    async def between(self, table: Table, low: Values | None, high: Values | None) -> dict[Values, bytes]:
        """Return the checksum of each row between two keys, by its key."""
        where, values = table.bounds(low, high, "%s")
        query = _CHECKSUMS.format(where=where, **_words(table)).encode()
        rows = await (await self._reader.execute(query, values)).fetchall()
        return {tuple(key): checksum for checksum, *key in rows}  # type: ignore[arg-type,misc]  # as the tables say

    async def write(self, chunk: Chunk, *, empty: bool) -> int:
        """Write a chunk in one transaction; return how many rows changed. `empty`: its range has no rows yet."""
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

    async def open_to_receivers(self, tables: Sequence[Table], now: int) -> None:
        """Let receivers open it, and enqueue the work of every open job and endpoint, due now. Durable on return."""
        names = ", ".join(table.name for table in tables)
        async with self._writer.transaction():
            await self._writer.execute(_SETTINGS)
            await self._writer.execute(_ANALYZE.format(names=names).encode())
        await self._mark("open", now)
        store = await open_postgres(self._url, now=now, connections=1, seconds=_SECONDS)
        try:
            await enqueue_missing(store, now=now)  # if this fails, a receiver's sweeper does it
        finally:
            await store.close()

    async def close_to_receivers(self, now: int) -> None:
        """Make it an unfinished copy again, which no receiver opens."""
        await refuse_others(self._writer)
        await self._mark("closed", now)

    async def check_tables(self, tables: Sequence[Table]) -> None:
        """Compare the catalogue with the source's. Raises `CannotOpen` when they differ."""
        found: dict[str, tuple[dict[str, str], int]] = {}
        for name, column, kind, place in await (await self._writer.execute(_COLUMNS.encode())).fetchall():
            if name not in NOT_COPIED:
                columns, key_length = found.get(str(name), ({}, 0))
                found[str(name)] = (columns | {str(column): str(kind)}, key_length + (place is not None))
        if found != {table.name: (dict(table.columns), table.key_length) for table in tables}:
            raise CannotOpen("the database has other tables than the source: copy to an empty database")

    async def _mark(self, state: Literal["closed", "open"], now: int) -> None:
        async with self._writer.transaction():
            await self._writer.execute(_SETTINGS)
            await self._writer.execute(_SET_STATE, (state, now))
        self.moved = Moved(self.moved.copy, _UNFINISHED, state)


@contextlib.asynccontextmanager
async def open_target(url: str, source: Source, *, now: int) -> AsyncIterator[Target]:
    """Open the database for a copy of `source`, and migrate it if it is empty.

    Raises `CannotOpen` for a ledger that is not a copy of this source, and other LedgerErrors of the database.
    """
    try:
        async with await connect(url, name=_NAME) as reader, await connect(url, name=_NAME) as writer:
            for connection in (reader, writer):
                connection.prepare_threshold = None  # there may be a pooler
            moved = await _find_copy(writer, source) or await _begin_copy(writer, source.identity, now)
            target = Target(url, reader, writer, moved)
            await target.check_tables(source.tables)
            yield target
    except psycopg.Error as error:
        fault = fault_of(error)
        if isinstance(fault, Unavailable):
            raise Unavailable(f"the copy stopped: {fault}. Run it again: it goes on from there") from error
        raise CannotOpen(f"the copy stopped: {fault}") from error


async def _find_copy(connection: Connection, source: Source) -> Moved | None:
    """Return the mark of an earlier copy. Raises `CannotOpen` for a ledger that must not be written to."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise CannotOpen(f"the database's encoding is {encoding}: make one with ENCODING 'UTF8'")
    ledger = await _holds(connection, _EXISTS)
    moved = await _read_mark(connection) if ledger else None
    if source.moved and (moved is None or moved.copy != source.moved.copy):
        raise CannotOpen(source.moved.sentence)
    if moved and moved.copy.split()[0] != source.identity:
        raise CannotOpen("the database has a copy of another ledger: copy to an empty database")
    for table in source.tables if ledger and moved is None else ():
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
    """Make the ledger, and close it to receivers before the first row is written."""
    await migrate(connection, now)
    moved = Moved(f"{identity} {secrets.token_hex(8)}", _UNFINISHED, "closed")
    await connection.execute(_MARK, (moved.copy, moved.sentence, now))
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
