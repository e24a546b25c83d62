"""Opens the workers of a process, on either database."""

from collections.abc import Sequence

import msgspec

from ledger.clock import wall_clock
from ledger.ledger import Ledger
from ledger.requests import Kind
from ledger.sqlite.store import SQLiteStore
from ledger.transitions import queue
from telemetry.emit import Emit
from work.shutdown import Shutdown
from work.worker import Handler, Worker
from work.worker_group import WorkerGroup


class TaskKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of task: what handles it, how many at once, and how long (ms) one is leased."""

    kind: Kind
    handle: Handler
    concurrency: int
    lease_ms: int


async def open_workers(
    ledger: Ledger, kinds: Sequence[TaskKind], *, emit: Emit, shutdown: Shutdown, stop_seconds: float
) -> WorkerGroup:
    """Make the workers of these kinds of tasks. They run while the group is entered."""
    parts = [(each.kind, each.handle, each.concurrency, each.lease_ms) for each in kinds]
    if not parts:
        return WorkerGroup([], emit, shutdown)
    if isinstance(ledger.store, SQLiteStore):
        await ledger.store.write(queue.end_leases(now=wall_clock()))  # this process has the file: other workers died
        workers = [
            Worker(ledger.queue, kind, handle, clock=wall_clock, emit=emit, concurrency=concurrency, lease_ms=lease)
            for kind, handle, concurrency, lease in parts
        ]
        return WorkerGroup(workers, emit, shutdown)
    from work.queue_workers import queue_workers  # noqa: PLC0415 - an extra that SQLite does not need

    return WorkerGroup(
        queue_workers(ledger.store, parts, clock=wall_clock, emit=emit, stop_seconds=stop_seconds), emit, shutdown
    )
