"""The store on one SQLite file: one connection that writes and one that reads."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from ledger.errors import CannotOpen, Closed, FileLost, LedgerError, Locked
from ledger.sqlite.files import OpenFiles, make_private
from ledger.sqlite.migrate import migrate
from ledger.sqlite.transactions import fault_of, run_batch
from ledger.storage.due_events import DueEvents
from ledger.storage.group_commit import GroupCommit
from ledger.storage.statements import statements
from ledger.storage.transaction import Result, Row, Rows, Transaction
from ledger.transitions.providers import put_providers
from ledger.transitions.queue import end_leases

T = TypeVar("T")
A = TypeVar("A")

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a callback is durable before its response: https://sqlite.org/pragma.html#pragma_synchronous
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",  # RETURNING makes a temporary table: in memory, recording costs a tenth less
    "PRAGMA journal_size_limit = 67108864",
)


CLOSE_SECONDS = 1.0
"""How long closing waits for a file that another process has locked, after all the work has ended."""


class SQLiteStore:
    """The `Store` on SQLite. Open one with `open_sqlite`."""

    poll_ms = 60_000  # this process enqueues all work, and wakes its own workers

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        lock: int,
        *,
        waiting_limit: int,
        batch: int,
    ) -> None:
        self._files = OpenFiles(path)
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._due = DueEvents()
        self._commits = GroupCommit(self._run, self._due.set, waiting_limit=waiting_limit, batch=batch)
        self._closed = False

    async def write(self, transaction: Transaction[T]) -> T:
        """Commit `transaction` with whatever else waits. Cancelling the caller does not cancel it."""
        return transaction.read((await self._commits.add(transaction).done).rows)

    async def read(self, statement: str, values: Mapping[str, object]) -> Rows:
        """Run a reading statement on the reader's connection."""
        if self._closed:
            raise Closed("the database is closed")
        if (lost := self._files.fault()) is not None:
            raise lost
        found = statements()[statement]
        try:
            return list(await self._reader.execute_fetchall(found.text, found.pick(values)))  # type: ignore[arg-type]  # rows are dicts, by our row factory
        except sqlite3.Error as error:
            raise fault_of(error) from error

    def due(self, what: str) -> asyncio.Event:
        """Return the event of that name."""
        return self._due.get(what)

    def fault(self) -> FileLost | None:
        """Return what is wrong if the file was deleted or replaced, so that what is written would be lost."""
        return self._files.fault()

    async def close(self) -> None:
        """Commit what waits, close the file and release its lock, within `CLOSE_SECONDS`.

        If another process locks the file for longer, its thread is left behind: it ends with this process.
        """
        if self._closed:
            return
        self._closed = True
        committed = await self._commits.close(CLOSE_SECONDS)
        await self._reader.close()
        if committed:
            await self._writer.close()
        os.close(self._lock)

    async def _run(self, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        try:
            results = await _on_thread(self._writer, run_batch, transactions)
            lost = self._files.fault()  # after the commit: a file that is deleted can still be written
            return [lost] * len(transactions) if lost else results
        except Exception as error:  # noqa: BLE001 - every caller gets the error, and the writer goes on
            return [fault_of(error)] * len(transactions)


async def open_sqlite(
    path: Path, *, now: int, providers: Collection[str] = (), waiting_limit: int = 10_000, batch: int = 256
) -> SQLiteStore:
    """Open the ledger in `path`, created if it does not exist, and migrated to the newest schema.

    A lock file admits one process at a time, so the leases and claims of an earlier one are ended.
    `providers` are registered. `waiting_limit` bounds the writes that wait, `batch` those committed together. Raises
    `CannotOpen`, whose message says what an operator must do.
    """
    lock = take_lock(path)
    async with contextlib.AsyncExitStack() as undo:
        undo.callback(os.close, lock)
        make_private(path)
        try:
            writer = await _open(path, "rwc", undo)
            for pragma in _PRAGMAS:
                await writer.execute(pragma)
            await _on_thread(writer, migrate, now)
            for result in await _on_thread(writer, run_batch, [end_leases(now=now), put_providers(providers)]):
                if isinstance(result, LedgerError):
                    raise result
            reader = await _open(path, "ro", undo)
        except sqlite3.Error as error:
            fault = fault_of(error)
            kind = type(fault) if isinstance(fault, CannotOpen) else CannotOpen
            raise kind(f"cannot open {path}: {fault}") from error
        undo.pop_all()
    return SQLiteStore(path, writer, reader, lock, waiting_limit=waiting_limit, batch=batch)


async def _on_thread(
    connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection, A], T], argument: A
) -> T:
    # a private method of aiosqlite, which is pinned: its public ones switch threads for every statement
    execute: Callable[..., Awaitable[T]] = connection._execute
    return await execute(function, connection._conn, argument)


async def _open(path: Path, mode: str, undo: contextlib.AsyncExitStack) -> aiosqlite.Connection:
    connection = _connect(path, mode)
    try:
        return await undo.enter_async_context(connection)
    except sqlite3.Error:
        # aiosqlite does not wait for its thread, which uses the event loop until it ends
        await asyncio.to_thread(connection._thread.join, 5)
        raise


def _connect(path: Path, mode: str) -> aiosqlite.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=512, factory=_DictConnection)
    connection._thread.daemon = True  # a connection lost in a crash must not keep the process alive
    return connection


class _DictConnection(sqlite3.Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row_factory = _as_dict


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def take_lock(path: Path) -> int:
    """Lock the file for writing and return the lock's file descriptor. Closing it releases the lock.

    Raises `Locked` if another process holds it, `CannotOpen` if the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotOpen(
            f"cannot write in {path.parent} ({error.strerror}); DATABASE_URL must name a writable folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise Locked(f"{path} is in use by another process; SQLite has one writer: stop the other first") from error
    return lock
