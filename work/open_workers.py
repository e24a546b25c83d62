"""Opens the workers of a process, on either database."""

from collections.abc import Sequence

import msgspec

from ledger.clock import wall_clock
from ledger.queue import WorkQueue
from ledger.requests import Kind
from telemetry.emit import Emit
from work.shutdown import Shutdown
from work.sweeper import Sweeper
from work.worker import Handler, Worker
from work.worker_group import WorkerGroup


class TaskKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of task: what handles it, how many at once, and how long (ms) a handler may run."""

    kind: Kind
    handle: Handler
    concurrency: int
    longest_ms: int


def open_workers(queue: WorkQueue, kinds: Sequence[TaskKind], *, emit: Emit, shutdown: Shutdown) -> WorkerGroup:
    """Make a worker of each kind, and the sweeper. They run while the group is entered."""
    workers = [
        Worker(
            queue,
            each.kind,
            each.handle,
            clock=wall_clock,
            emit=emit,
            concurrency=each.concurrency,
            longest_ms=each.longest_ms,
        )
        for each in kinds
    ]
    return WorkerGroup([*workers, Sweeper(queue, emit=emit)] if workers else [], emit, shutdown)
