"""Group commit: transactions that wait are committed together, and each fails alone.

The databases differ in how they run a batch, and in how many batches may run at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import msgspec

from ledger.errors import Closed, LedgerError, Overloaded, Unanswered
from ledger.storage.transaction import Ran, Result, Transaction

RunBatch = Callable[[Sequence[Transaction[Any]]], Awaitable[Sequence[Result]]]
"""Runs transactions in one database transaction and returns the result or error of each. Never raises."""


class Waiting(msgspec.Struct):
    """A transaction that waits to be committed. One that is `abandoned` before its batch begins is not run."""

    transaction: Transaction[Any]
    done: "asyncio.Future[Ran]"
    abandoned: bool = False


class GroupCommit:
    """Commits what waits, in up to `writers` batches at once of `batch` transactions at most.

    `publish` is called with the names of what became due, after each commit. `order` sorts a batch, so that concurrent
    batches take their locks in one order.
    """

    def __init__(
        self,
        run: RunBatch,
        publish: Callable[[Collection[str]], None],
        *,
        waiting_limit: int,
        batch: int,
        writers: int = 1,
        order: Callable[[Transaction[Any]], str] | None = None,
    ) -> None:
        self._run = run
        self._publish = publish
        self._waiting: deque[Waiting] = deque()
        self._waiting_limit = waiting_limit
        self._batch = batch
        self._order = order
        self._not_empty = asyncio.Event()
        self._closing = False
        self._writers = [asyncio.create_task(self._commit_forever(), name=f"ledger writer {n}") for n in range(writers)]

    def add(self, transaction: Transaction[Any]) -> Waiting:
        """Enqueue a transaction; `done` of the result holds its rows once it is committed, or a LedgerError.

        Raises `Closed` after `close` and `Overloaded` when too many wait.
        """
        if self._closing:
            raise Closed("the database is closed")
        if len(self._waiting) >= self._waiting_limit:
            raise Overloaded(f"{self._waiting_limit} writes are waiting (MAX_WAITING_WRITES); nothing was written")
        waiting = Waiting(transaction, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._not_empty.set()
        return waiting

    async def close(self, seconds: float | None = None) -> bool:
        """Commit what waits, then stop, within `seconds`. Returns False if some was not: its callers get errors.

        A batch that is running then may still be committed.
        """
        self._closing = True
        self._not_empty.set()
        _, late = await asyncio.wait(self._writers, timeout=seconds)
        for writer in late:
            writer.cancel()
        if late:
            await asyncio.wait(late)
        for each in self._waiting:
            _fail(each, Closed("the database was closed before this was written"))
        self._waiting.clear()
        return not late

    async def _commit_forever(self) -> None:
        while self._waiting or not self._closing:
            await self._not_empty.wait()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch))]
                await self._commit([each for each in batch if not each.abandoned])
            if not self._closing:
                self._not_empty.clear()

    async def _commit(self, batch: list[Waiting]) -> None:
        if not batch:
            return
        if (order := self._order) is not None:
            batch.sort(key=lambda each: order(each.transaction))
        try:
            results = await self._run([each.transaction for each in batch])
        except asyncio.CancelledError:
            for each in batch:
                _fail(each, Unanswered("the database did not answer before the process ended"))
            raise
        due: set[str] = set()
        for each, result in zip(batch, results, strict=True):
            cancelled = each.done.done()  # by its caller; the transaction is committed anyway
            if isinstance(result, Ran):
                due.update(result.due)
                if not cancelled:
                    each.done.set_result(result)
            elif not cancelled:
                each.done.set_exception(result)
        if due:
            self._publish(due)


def _fail(waiting: Waiting, error: LedgerError) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
        waiting.done.exception()  # the caller may be gone, and asyncio would log it
