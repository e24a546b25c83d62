"""A worker, and a handler whose tasks end when a test says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.requests import Task
from ledger.sqlite.store import SQLiteStore
from ledger.storage.transaction import Transaction
from ledger.transitions import queue as work
from tests.submitter.harness import Harness
from work.worker import Handler, Worker

LONGEST = 70_000


class Bench:
    """Handles tasks by waiting until each is released; counts those in progress."""

    def __init__(self, harness: Harness) -> None:
        self._store = harness.store
        self.gates: dict[str, asyncio.Event] = {}
        self.claimed: list[str] = []
        self.done: list[str] = []
        self.now = self.most = 0

    async def __call__(self, task: Task) -> None:
        gate = self.gates.setdefault(task.subject, asyncio.Event())
        self.claimed.append(task.subject)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await gate.wait()
        finally:
            self.now -= 1
        await self._store.write(work.finish(task))
        self.done.append(task.subject)

    def let_go(self, *subjects: str) -> None:
        for subject in subjects:
            self.gates[subject].set()


def worker(harness: Harness, handle: Handler, *, concurrency: int = 4) -> Worker:
    return Worker(
        Ledger(harness.store, harness.clock).queue,
        "submit",
        handle,
        clock=harness.clock,
        emit=harness.events_emitted,
        concurrency=concurrency,
        longest_ms=LONGEST,
    )


@contextlib.asynccontextmanager
async def running(at_work: Worker) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(at_work.run(stop))
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)
            await at_work.drain(0)


class Counting:
    """Counts the fetches of a store, and fails the next `faults` of them."""

    def __init__(self, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetches = 0
        self.faults = 0
        self._write = store.write
        monkeypatch.setattr(store, "write", self.write)

    async def write(self, transaction: Transaction[object]) -> object:
        if transaction.steps[0].statement == "fetch_work":
            self.fetches += 1
            if self.faults:
                self.faults -= 1
                raise Unavailable("the disk is full")
        return await self._write(transaction)
