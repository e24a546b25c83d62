"""The workers of a process, running beside whatever else it does."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from telemetry.emit import Emit
from work.shutdown import Shutdown


class Worker(Protocol):
    """Does one kind of work."""

    @property
    def kind(self) -> str:
        """What it does, in a word."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""

    async def drain(self, seconds: float) -> None:
        """Let what is running finish for at most `seconds`, and let go of the rest."""


class WorkerGroup:
    """The workers, running. One that ends by itself is seen by `/readyz`."""

    def __init__(self, workers: Sequence[Worker], emit: Emit, stop: Shutdown) -> None:
        self._workers = workers
        self._emit = emit
        self._stop = stop
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "WorkerGroup":
        for worker in self._workers:
            task = asyncio.create_task(worker.run(self._stop.requested), name=f"{worker.kind} worker")
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stop.request()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._stop.seconds_left())
            for task in late:  # one that waits for a database which does not answer
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.drain(self._stop.seconds_left()) for worker in self._workers))

    def stopped(self) -> list[str]:
        """Name the workers that do not run."""
        return [task.get_name() for task in self._tasks if task.done()]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stop.requested.is_set():
            error = None if task.cancelled() else task.exception()
            self._emit("worker.stopped", worker=task.get_name(), error=repr(error))
