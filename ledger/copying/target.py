"""The ledger that a copy is made in: summed up by Postgres itself, written, and opened to receivers at the end."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import psycopg

from ledger.copying.tables import TABLES, Chunk, Seen, Table, Values, bounds
from ledger.errors import CannotOpen, Locked, Unavailable
from ledger.postgres.connections import APPLICATION, Connection, connect
from ledger.postgres.faults import fault_of
from ledger.postgres.migrate import migrate
from ledger.postgres.store import open_postgres
from ledger.storage.migrations import NOTE, Applied, Note, is_of_this_release, note_of
from ledger.transitions.queue import enqueue_missing

_LOCK = 0x636F7079  # "copy": any number, so long as it is always this one
_NAME = "renderhook copy"
_SECONDS = 30.0
LEAVING_SECONDS, LEAVING_TRIES = 2.0, 20
"""How long the connections of a receiver that has just been stopped may take to go."""

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
_APPLIED = "SELECT number, phase, checksum, name FROM migrations"
_AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s LIMIT 1"
_ANY = "SELECT 1 FROM {name} LIMIT 1"
_READY = "ANALYZE {names}"
_BEGUN = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (%s, %s, 'contract', %s, %s)"
_NOTED = "UPDATE migrations SET phase = %s, applied_at = %s WHERE number = %s"
_SEEN = """
SELECT count(*),
       encode(sha256(coalesce(string_agg(sha256(convert_to({row}, 'UTF8')), ''::bytea ORDER BY {key}), '')), 'hex')
FROM {name} {where}
"""
_CHECKSUMS = "SELECT sha256(convert_to({row}, 'UTF8')), {key} FROM {name} {where}"
_ARRIVING = "CREATE TEMP TABLE arriving (LIKE {name}) ON COMMIT DROP"
_COPY = "COPY {into} ({columns}) FROM STDIN (FORMAT BINARY)"
_UPSERT = "INSERT INTO {name} ({columns}) SELECT {columns} FROM pg_temp.arriving ON CONFLICT ({key}) {otherwise}"


class Target:
    """The database, opened by `opened`: one connection that reads in one snapshot, one that writes."""

    def __init__(self, url: str, reader: Connection, writer: Connection, note: Note) -> None:
        self.note = note
        """Which copy it is; `open` when it was finished, and belongs to the receivers."""
        self._url = url
        self._reader = reader
        self._writer = writer

    @property
    def place(self) -> str:
        """Be what an operator knows it by, without the password."""
        parts = urlsplit(self._url)
        return f"{parts.hostname or 'a socket'}{parts.path}"

    async def begin(self) -> None:
        """Begin the one snapshot that is looked at. Raises `Locked` when another copy is at work."""
        await self._reader.rollback()
        await self._reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await self._reader.execute(_SETTINGS)
        if not await _holds(self._reader, f"SELECT pg_try_advisory_xact_lock({_LOCK})"):
            raise Locked("another copy to this database is at work: wait until it ends")

    async def look(self, table: Table, low: Values | None, high: Values | None) -> Seen:
        """Sum up what is there between two keys."""
        where, values = bounds(table, low, high, "%s")
        asked = _SEEN.format(where=where, **_words(table)).encode()
        [(number, checksum)] = await (await self._reader.execute(asked, values)).fetchall()
        return Seen(int(str(number)), str(checksum))

    async def between(self, table: Table, low: Values | None, high: Values | None) -> dict[Values, bytes]:
        """Return the checksum of each row between two keys, by its key."""
        where, values = bounds(table, low, high, "%s")
        asked = _CHECKSUMS.format(where=where, **_words(table)).encode()
        rows = await (await self._reader.execute(asked, values)).fetchall()
        return {tuple(key): checksum for checksum, *key in rows}  # type: ignore[arg-type,misc]  # as the tables say

    async def bring(self, chunk: Chunk, *, anew: bool) -> int:
        """Write a chunk in one transaction; `anew` where nothing is between its keys. Returns how many rows changed."""
        words = _words(chunk.table)
        into = chunk.table.name if anew else "pg_temp.arriving"
        async with self._writer.transaction(), self._writer.cursor() as cursor:
            await cursor.execute(_SETTINGS)
            if not anew:
                await cursor.execute(_ARRIVING.format(**words).encode())
            async with cursor.copy(_COPY.format(into=into, columns=words["columns"]).encode()) as copy:
                copy.set_types(list(chunk.table.columns.values()))
                for row in chunk.rows:
                    await copy.write_row(row)
            if not anew:
                await cursor.execute(_UPSERT.format(otherwise=_otherwise(chunk.table), **words).encode())
            return cursor.rowcount

    async def finish(self, now: int) -> None:
        """Give every open job and endpoint its task, and let receivers in. It is on the disk when this returns.

        What is open is looked at at once, not when it was due: much may have come while nobody listened.
        """
        names = ", ".join(table.name for table in TABLES)
        async with self._writer.transaction():
            await self._writer.execute(_SETTINGS)
            await self._writer.execute(_READY.format(names=names).encode())
        await self._note(is_open=True, now=now)
        store = await open_postgres(self._url, now=now, connections=1, seconds=_SECONDS)
        try:
            await enqueue_missing(store, now=now)  # or else a receiver does, within its first minute
        finally:
            await store.close()

    async def shut(self, now: int) -> None:
        """Let no receiver in any more: it is a copy that is not finished, as it was before `finish`."""
        await _refuse_workers(self._writer)
        await self._note(is_open=False, now=now)

    async def _note(self, *, is_open: bool, now: int) -> None:
        async with self._writer.transaction():
            await self._writer.execute(_SETTINGS)
            await self._writer.execute(_NOTED, ("expand" if is_open else "contract", now, NOTE))
        self.note = Note(name=self.note.name, words=_UNFINISHED, open=is_open)


@contextlib.asynccontextmanager
async def opened(url: str, *, identity: str, known: Note | None, now: int) -> AsyncIterator[Target]:
    """Open the database for a copy of the ledger `identity`, made a ledger if there is none.

    `known` is what an earlier copy noted at the source. Raises `CannotOpen` for a ledger that is no copy of this
    source, LedgerError for what the database says.
    """
    try:
        async with await connect(url, name=_NAME) as reader, await connect(url, name=_NAME) as writer:
            for connection in (reader, writer):
                connection.prepare_threshold = None  # a pooler may stand between
            note = await _find_note(writer, identity, known) or await _begin_copy(writer, identity, now)
            yield Target(url, reader, writer, note)
    except psycopg.Error as error:
        fault = fault_of(error)
        if isinstance(fault, Unavailable):
            raise Unavailable(f"the copy stopped: {fault}. Run it again: it goes on from there") from error
        raise CannotOpen(f"the copy stopped: {fault}") from error


async def _find_note(connection: Connection, identity: str, known: Note | None) -> Note | None:
    """Return what an earlier copy has noted. Raises `CannotOpen` when the ledger is not one that we may write to."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise CannotOpen(f"the database's encoding is {encoding}: make one with ENCODING 'UTF8'")
    applied = list[Applied]()
    if await _holds(connection, _EXISTS):
        rows = await (await connection.execute(_APPLIED)).fetchall()
        applied = [
            Applied(number=int(str(row[0])), phase=str(row[1]), checksum=str(row[2]), name=str(row[3])) for row in rows
        ]
        if not is_of_this_release(applied, "postgres"):
            raise CannotOpen("the database has another release's ledger: copy to an empty database")
    note = note_of(applied)
    if known and (note is None or note.name != known.name):
        raise CannotOpen(known.words)
    if note and note.name.split()[0] != identity:
        raise CannotOpen("the database has a copy of another ledger: copy to an empty database")
    for table in TABLES if applied and note is None else ():
        if await _holds(connection, _ANY.format(name=table.name)):
            raise CannotOpen("the database has a ledger of its own, which is kept: copy to an empty database")
    if applied and not (note and note.open):
        await _refuse_workers(connection)
    return note


async def _begin_copy(connection: Connection, identity: str, now: int) -> Note:
    """Make the ledger, and shut it to receivers before its first row."""
    await migrate(connection, now)
    note = Note(name=f"{identity} {secrets.token_hex(8)}", words=_UNFINISHED, open=False)
    await connection.execute(_BEGUN, (NOTE, note.name, note.words, now))
    return note


async def _refuse_workers(connection: Connection) -> None:
    for _ in range(LEAVING_TRIES):
        if not await _holds(connection, _AT_WORK, APPLICATION):
            return
        await asyncio.sleep(LEAVING_SECONDS / LEAVING_TRIES)
    raise CannotOpen("a receiver is connected to the database: stop it first")


async def _holds(connection: Connection, statement: str, *values: object) -> bool:
    row = await (await connection.execute(statement.encode(), values or None)).fetchone()
    return bool(row and row[0])


def _words(table: Table) -> dict[str, str]:
    """Make the words of statements about a table, `row` among them: `canonical` of ledger/copying/tables.py in SQL."""
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
