"""The store on Postgres: group commit, two batches at a time, and wake-ups for other processes."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from psycopg_pool import PoolTimeout

from ledger.errors import Closed, LedgerError, Unanswered, Unavailable
from ledger.postgres.connections import (
    APPLICATION,
    Pool,
    SessionSettings,
    connect,
    is_pooled,
    make_pool,
    refuse_others,
)
from ledger.postgres.faults import fault_of
from ledger.postgres.migrate import is_behind, migrate
from ledger.postgres.transactions import read, run_batch
from ledger.postgres.wakeups import Wakeups
from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.storage.group_commit import GroupCommit
from ledger.storage.statements import statements
from ledger.storage.transaction import Result, Rows, Transaction
from ledger.transitions.providers import put_providers
from telemetry.shielding import retrieve_exception

T = TypeVar("T")

WRITERS = 2
"""Batches at once: while one waits for the disk, the next one runs."""

POLL_MS, POLL_MS_POOLED = 5_000, 1_000
"""How often workers poll for work of other processes. Through a pooler no notification wakes them."""

OPEN_SECONDS = 10.0
"""How long connecting may take. Migrations are not bounded."""


class PostgresStore:
    """The `Store` on Postgres. Open it with `open_postgres`."""

    def __init__(self, url: str, pool: Pool, session: SessionSettings, *, waiting_limit: int, batch: int) -> None:
        self.pool = pool
        self.poll_ms = POLL_MS_POOLED if session.pooled else POLL_MS
        self.session = session
        self.wakeups = Wakeups(url, pool, listens=not session.pooled)
        self._commits = GroupCommit(
            self._run,
            self.wakeups.publish,
            waiting_limit=waiting_limit,
            batch=batch,
            writers=WRITERS,
            order=_lock_order,
        )
        self._closed = False

    async def write(self, transaction: Transaction[T]) -> T:
        """Commit `transaction` with whatever else waits, within DATABASE_TIMEOUT_SECONDS, or raise `Unanswered`."""
        waiting = self._commits.add(transaction)
        waiting.done.add_done_callback(retrieve_exception)
        await asyncio.wait({waiting.done}, timeout=self.session.seconds)
        if not waiting.done.done():
            waiting.abandoned = True
            raise Unanswered(f"the database did not answer within {self.session.seconds:g} s")
        return transaction.read((await waiting.done).rows)

    async def read(self, statement: str, values: Mapping[str, object]) -> Rows:
        """Run a reading statement within DATABASE_TIMEOUT_SECONDS, or raise `Unavailable`."""
        if self._closed:
            raise Closed("the database is closed")
        reading = asyncio.create_task(self._read(statement, values))
        try:
            await asyncio.wait({reading}, timeout=self.session.seconds)
        finally:
            if not reading.done():
                reading.cancel()  # as in _run
                asyncio.get_running_loop().call_later(self.session.seconds, reading.cancel)
        if not reading.done():
            raise Unavailable(f"the database did not answer within {self.session.seconds:g} s")
        found = reading.result()
        if isinstance(found, LedgerError):
            raise found
        return found

    def due(self, what: str) -> asyncio.Event:
        """Return the event of that name. Other processes set it too, unless there is a pooler."""
        return self.wakeups.due(what)

    def fault(self) -> None:
        """Return None: a database on a server is not lost under its clients."""

    async def close(self) -> None:
        """Commit what waits, and close every connection."""
        if self._closed:
            return
        self._closed = True
        await self._commits.close()
        await self.wakeups.close()
        await self.pool.close(timeout=self.session.seconds)

    async def _read(self, statement: str, values: Mapping[str, object]) -> Rows | LedgerError:
        try:
            async with self.pool.connection() as connection:
                return await read(connection, statements("postgres")[statement], values, self.session)
        except Exception as error:  # noqa: BLE001 - the caller may be cancelled, and asyncio would log it
            return fault_of(error)

    async def _run(self, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        """Run a batch within DATABASE_TIMEOUT_SECONDS; one that takes longer is cancelled and not waited for."""
        running = asyncio.create_task(self._transact(transactions))
        await asyncio.wait({running}, timeout=self.session.seconds)
        if running.done():
            return running.result()
        running.cancel()  # cancels the statement in the database, which may not answer
        asyncio.get_running_loop().call_later(self.session.seconds, running.cancel)  # closes the connection
        return [Unanswered(f"the database did not answer within {self.session.seconds:g} s")] * len(transactions)

    async def _transact(self, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        try:
            async with self.pool.connection() as connection:
                return await run_batch(connection, transactions, self.session)
        except Exception as error:  # noqa: BLE001 - every caller gets the error, and the writer goes on
            return [fault_of(error)] * len(transactions)


def _lock_order(transaction: Transaction[Any]) -> str:
    """Return a key that sorts transactions so that concurrent batches cannot deadlock.

    Those that lock the rows of one job or delivery come first, in the order of its id. Those that lock rows of several
    (fetching, renewing, everything about endpoints) come last: their statements skip locked rows.
    """
    values = transaction.values
    subject = None if values.get("kind") == "deliver" else values.get("subject")
    return str(values.get("job_id") or values.get("delivery_id") or subject or AFTER_ALL_IDENTIFIERS)


async def open_postgres(
    url: str,
    *,
    now: int,
    connections: int,
    seconds: float,
    providers: Collection[str] = (),
    waiting_limit: int = 10_000,
    batch: int = 256,
    alone: bool = False,
) -> PostgresStore:
    """Open the ledger at `url`, migrated to the newest schema.

    `providers` are registered. `connections` bounds what this process opens, besides one to listen on; `seconds` bounds
    every response. With `alone` it is refused while a receiver or worker has it open. Raises `CannotOpen` if an
    operator must act, `Unavailable` if the database does not answer.
    """
    async with contextlib.AsyncExitStack() as undo:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                connection = await connect(url, name=f"{APPLICATION} alone" if alone else APPLICATION)
                undo.push_async_callback(connection.close)
                session = SessionSettings(seconds=seconds, pooled=await is_pooled(connection))
                if alone:
                    await refuse_others(connection)
                behind = await is_behind(connection)
        except TimeoutError as error:
            raise Unavailable(f"cannot open the ledger: it did not answer within {OPEN_SECONDS:g} s") from error
        if behind:
            await migrate(connection, now)
    pool = make_pool(url, session, connections=connections)
    try:
        await pool.open(wait=True, timeout=OPEN_SECONDS)
    except PoolTimeout as error:
        await pool.close()
        raise Unavailable(f"cannot open the ledger: {error}") from error
    store = PostgresStore(url, pool, session, waiting_limit=waiting_limit, batch=batch)
    if providers:
        try:
            await store.write(put_providers(providers))
        except LedgerError:
            await store.close()
            raise
    return store
