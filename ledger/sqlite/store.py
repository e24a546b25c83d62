"""The ledger on one SQLite file: one writer that commits whatever is waiting together, and a reader beside it."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import aiosqlite

from ledger.errors import CannotOpen, LedgerError, Locked, Overloaded, Unavailable
from ledger.sqlite.transactions import Ran, Result, fault_of, run_batch
from ledger.storage.migrations import migrate
from ledger.storage.statements import statements
from ledger.storage.transaction import Row, Rows, Transaction
from ledger.transitions.queue import end_leases

T = TypeVar("T")
A = TypeVar("A")

Waiting = tuple[Transaction[Any], "asyncio.Future[Ran]"]

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an answered callback is on the disk: https://sqlite.org/pragma.html#pragma_synchronous
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",  # RETURNING makes a temporary table: in memory, recording costs a tenth less
    "PRAGMA journal_size_limit = 67108864",
)


class SQLiteStore:
    """The `Store` on SQLite. Open it with `open_sqlite`."""

    poll_ms = 60_000  # all work is enqueued by this process

    def __init__(
        self, writer: aiosqlite.Connection, reader: aiosqlite.Connection, lock: int, *, waiting_limit: int, batch: int
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._waiting: deque[Waiting] = deque()
        self._waiting_limit = waiting_limit
        self._batch = batch
        self._something_waits = asyncio.Event()
        self._due: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._closing = False
        self._committer = asyncio.create_task(self._commit_forever(), name="ledger-writer")

    async def write(self, transaction: Transaction[T]) -> T:
        """See `Store.write`."""
        if self._closing:
            raise Unavailable("the ledger is closed")
        if len(self._waiting) >= self._waiting_limit:
            raise Overloaded(f"{self._waiting_limit} writes are waiting; nothing was written")
        done: asyncio.Future[Ran] = asyncio.get_running_loop().create_future()
        self._waiting.append((transaction, done))
        self._something_waits.set()
        return transaction.read((await done).rows)

    async def read(self, statement: str, values: Mapping[str, object]) -> Rows:
        """See `Store.read`."""
        if self._closing:
            raise Unavailable("the ledger is closed")
        asked = statements()[statement]
        try:
            return list(await self._reader.execute_fetchall(asked.text, asked.pick(values)))  # type: ignore[arg-type]  # rows are dicts, by our row factory
        except sqlite3.Error as error:
            raise fault_of(error) from error

    def due(self, what: str) -> asyncio.Event:
        """See `Store.due`."""
        return self._due.setdefault(what, asyncio.Event())

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closing:
            return
        self._closing = True
        self._something_waits.set()
        await self._committer
        await self._reader.close()
        await self._writer.close()
        os.close(self._lock)

    async def _commit_forever(self) -> None:
        while self._waiting or not self._closing:
            await self._something_waits.wait()
            self._something_waits.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch))]
                await self._commit(batch)

    async def _commit(self, batch: Sequence[Waiting]) -> None:
        try:
            results: Sequence[Result] = await _on_thread(
                self._writer, run_batch, [transaction for transaction, _ in batch]
            )
        except Exception as error:  # noqa: BLE001 - whatever happened, each caller must hear of it and the writer must go on
            results = [fault_of(error)] * len(batch)
        due: set[str] = set()
        for (_, done), result in zip(batch, results, strict=True):
            if isinstance(result, LedgerError):
                if not done.done():  # or the caller went away
                    done.set_exception(result)
                continue
            due.update(result.due)
            if not done.done():  # the caller went away; what it asked for is committed all the same
                done.set_result(result)
        for what in due:
            if (event := self._due.get(what)) is not None:
                event.set()


async def open_sqlite(path: Path, *, now: int, waiting_limit: int = 10_000, batch: int = 256) -> SQLiteStore:
    """Open the ledger in `path`, made if it is not there, migrated to the newest schema.

    Only one process may: a lock file beside it says so. Leases and claims that an earlier one had are ended.
    `waiting_limit` bounds the writes that wait, `batch` those committed together. Raises `CannotOpen`, with what an
    operator must do.
    """
    lock = take_lock(path)
    async with contextlib.AsyncExitStack() as undo:
        undo.callback(os.close, lock)
        try:
            writer = await _open(path, "rwc", undo)
            for pragma in _PRAGMAS:
                await writer.execute(pragma)
            await _on_thread(writer, migrate, now)
            [ended] = await _on_thread(writer, run_batch, [end_leases(now=now)])
            if isinstance(ended, LedgerError):
                raise ended
            reader = await _open(path, "ro", undo)
        except sqlite3.Error as error:
            fault = fault_of(error)
            kind = type(fault) if isinstance(fault, CannotOpen) else CannotOpen
            raise kind(f"cannot open {path}: {fault}") from error
        undo.pop_all()
    return SQLiteStore(writer, reader, lock, waiting_limit=waiting_limit, batch=batch)


async def _on_thread(
    connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection, A], T], argument: A
) -> T:
    # aiosqlite offers single calls; a whole transaction in one hop needs its thread, hence the pin in pyproject.toml
    execute: Callable[..., Awaitable[T]] = connection._execute
    return await execute(function, connection._conn, argument)


async def _open(path: Path, mode: str, undo: contextlib.AsyncExitStack) -> aiosqlite.Connection:
    connection = _connect(path, mode)
    try:
        return await undo.enter_async_context(connection)
    except sqlite3.Error:
        # aiosqlite tells its thread to end and does not wait for it: our loop must not be closed under it
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
    """Take the lock of the ledger in `path`: whoever has it is the one who writes there. Closing the result ends it.

    Raises `CannotOpen`, and `Locked` when somebody has it.
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
