"""The ledger on Postgres: a few transactions at a time, each of whatever was waiting, and word of it to others."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from psycopg_pool import PoolTimeout

from ledger.errors import LedgerError, Overloaded, Unanswered, Unavailable
from ledger.postgres.connections import Pool, SessionSettings, connect, is_pooled, make_pool
from ledger.postgres.faults import fault_of
from ledger.postgres.migrate import is_behind, migrate
from ledger.postgres.transactions import read, run_batch
from ledger.postgres.wakeups import Wakeups
from ledger.sqlite.transactions import Ran, Result
from ledger.storage.statements import statements
from ledger.storage.transaction import Rows, Transaction
from telemetry.shielding import retrieve_exception

T = TypeVar("T")

WRITERS = 2
"""Transactions at once: while one waits for the disk, the next is made."""

POLL_MS, POLL_MS_POOLED = 5_000, 1_000
"""How often workers look for work that another process made due without waking them: a pooler passes no word on."""

OPEN_SECONDS = 10.0
"""How long a database may take to say who it is. What it takes to bring its schema up to date is not bounded."""


class _Waiting(msgspec.Struct):
    """A transaction, and who waits for it: a future that is over when it need not begin any more."""

    transaction: Transaction[Any]
    done: "asyncio.Future[Ran]"


class PostgresStore:
    """The `Store` on Postgres. Open it with `open_postgres`."""

    def __init__(self, url: str, pool: Pool, session: SessionSettings, *, waiting_limit: int, batch: int) -> None:
        self.pool = pool
        self.poll_ms = POLL_MS_POOLED if session.pooled else POLL_MS
        self.session = session
        self._waiting: deque[_Waiting] = deque()
        self._waiting_limit = waiting_limit
        self._batch = batch
        self._something_waits = asyncio.Event()
        self._closing = False
        self.news = Wakeups(url, pool, listens=not session.pooled)
        self._writers = [asyncio.create_task(self._write_forever(), name=f"ledger-writer-{n}") for n in range(WRITERS)]

    async def write(self, transaction: Transaction[T]) -> T:
        """See `Store.write`. Answers within the promised seconds, if only to say that nothing was heard."""
        if self._closing:
            raise Unavailable("the ledger is closed")
        if len(self._waiting) >= self._waiting_limit:
            raise Overloaded(f"{self._waiting_limit} writes are waiting; nothing was written")
        waiting = _Waiting(transaction, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._something_waits.set()
        waiting.done.add_done_callback(retrieve_exception)
        await asyncio.wait({waiting.done}, timeout=self.session.seconds)
        if not waiting.done.done():
            waiting.done.cancel()  # if it has not claimed, it never will
            raise Unanswered(f"the ledger did not answer within {self.session.seconds:g} s")
        return transaction.read((await waiting.done).rows)

    async def read(self, statement: str, values: Mapping[str, object]) -> Rows:
        """See `Store.read`."""
        if self._closing:
            raise Unavailable("the ledger is closed")
        reading = asyncio.create_task(self._read(statement, values))
        try:
            await asyncio.wait({reading}, timeout=self.session.seconds)
        finally:
            if not reading.done():
                reading.cancel()  # as in _run
                asyncio.get_running_loop().call_later(self.session.seconds, reading.cancel)
        if not reading.done():
            raise Unavailable(f"the ledger did not answer within {self.session.seconds:g} s")
        found = reading.result()
        if isinstance(found, LedgerError):
            raise found
        return found

    def due(self, what: str) -> asyncio.Event:
        """See `Store.due`. Other processes' transactions set it too, unless a pooler stands between."""
        return self.news.due(what)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closing:
            return
        self._closing = True
        self._something_waits.set()
        await asyncio.gather(*self._writers)
        await self.news.close()
        await self.pool.close(timeout=self.session.seconds)

    async def _read(self, statement: str, values: Mapping[str, object]) -> Rows | LedgerError:
        try:
            async with self.pool.connection() as connection:
                return await read(connection, statements("postgres")[statement], values, self.session)
        except Exception as error:  # noqa: BLE001 - whoever asked may be gone, and nobody else would take note of it
            return fault_of(error)

    async def _write_forever(self) -> None:
        while self._waiting or not self._closing:
            await self._something_waits.wait()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch))]
                await self._commit([each for each in batch if not each.done.done()])
            if not self._closing:
                self._something_waits.clear()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        batch = sorted(batch, key=lambda each: _lock_order(each.transaction))
        results = await self._run([each.transaction for each in batch])
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, Ran):
                self.news.spread(result.due)
            if each.done.done():
                continue
            if isinstance(result, LedgerError):
                each.done.set_exception(result)
            else:
                each.done.set_result(result)

    async def _run(self, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        """Run them within the promised seconds; what takes longer is left to itself, so that others may go on."""
        running = asyncio.create_task(self._transact(transactions))
        await asyncio.wait({running}, timeout=self.session.seconds)
        if running.done():
            return running.result()
        running.cancel()  # it asks the database to stop, which may not hear
        asyncio.get_running_loop().call_later(self.session.seconds, running.cancel)  # then it hangs up
        return [Unanswered(f"the ledger did not answer within {self.session.seconds:g} s")] * len(transactions)

    async def _transact(self, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        try:
            async with self.pool.connection() as connection:
                return await run_batch(connection, transactions, self.session)
        except Exception as error:  # noqa: BLE001 - whatever happened, each caller must hear of it and the writer must go on
            return [fault_of(error)] * len(transactions)


def _lock_order(transaction: Transaction[Any]) -> tuple[bool, str]:
    """Order transactions so that transactions do not wait for each other in a circle.

    Those that lock rows of one job or delivery come first, in the order of its id. Those that lock what belongs to many
    (fetching, renewing, all that is about endpoints) come last: their statements wait for nobody.
    """
    values = transaction.values
    subject = None if values.get("kind") == "deliver" else values.get("subject")
    first = values.get("job_id") or values.get("delivery_id") or subject
    return first is None, str(first or "")


async def open_postgres(
    url: str, *, now: int, connections: int, seconds: float, waiting_limit: int = 10_000, batch: int = 256
) -> PostgresStore:
    """Open the ledger at `url`, migrated to the newest schema.

    `connections` bounds what this process opens, with one more to listen on; `seconds` bounds every answer. Raises
    `CannotOpen` when an operator must act, `Unavailable` when the database is not there.
    """
    async with contextlib.AsyncExitStack() as undo:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                connection = await connect(url)
                undo.push_async_callback(connection.close)
                session = SessionSettings(seconds=seconds, pooled=await is_pooled(connection))
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
    return PostgresStore(url, pool, session, waiting_limit=waiting_limit, batch=batch)
