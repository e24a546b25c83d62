"""Tasks a second through the queue on Postgres, by one process whose handler only finishes them."""

import asyncio
import time
from typing import Any

from ledger.clock import wall_clock
from ledger.postgres.store import open_postgres
from ledger.queue import WorkQueue
from ledger.requests import Task
from ledger.transitions import queue as work
from tests.bench.postgres_usage import cpu_seconds
from tests.conftest import PROVIDERS
from tests.postgres.servers import PostgresServer
from work.worker import Worker

TASKS = 10_000
AT_ONCE = 128
DUE_LATER_TASKS = 100_000

DUE = "INSERT INTO work (kind, subject, due_at) SELECT 'poll', 'job_' || n, n FROM generate_series(1, {tasks}) AS n"
DUE_LATER = """
INSERT INTO work (kind, subject, due_at)
SELECT 'poll', 'job_later' || n, 4102444800000 FROM generate_series(1, {tasks}) AS n
"""


def measure(server: PostgresServer) -> dict[str, Any]:
    """Measure with nothing else in the queue, and with `DUE_LATER_TASKS` tasks that are due later."""
    url = server.create_database("queueing")
    found = {"alone": asyncio.run(_drained(server, url))}
    found["with_others"] = asyncio.run(_drained(server, url, others=DUE_LATER_TASKS)) | {"others": DUE_LATER_TASKS}
    server.drop_database("queueing")
    return found


async def _drained(server: PostgresServer, url: str, *, others: int = 0) -> dict[str, float]:
    store = await open_postgres(url, now=1, connections=5, seconds=30, providers=PROVIDERS)
    if others:
        await asyncio.to_thread(server.query, DUE_LATER.format(tasks=others), database="queueing")
    await asyncio.to_thread(server.query, DUE.format(tasks=TASKS), database="queueing")
    await asyncio.to_thread(server.query, "VACUUM ANALYZE work", database="queueing")
    done, all_done = 0, asyncio.Event()

    async def finish(task: Task) -> None:
        nonlocal done
        await store.write(work.finish(task))
        done += 1
        if done == TASKS:
            all_done.set()

    worker = Worker(
        WorkQueue(store, wall_clock),
        "poll",
        finish,
        clock=wall_clock,
        emit=lambda *_, **__: None,
        concurrency=AT_ONCE,
        longest_ms=60_000,
    )
    stop, used, ours, began = asyncio.Event(), cpu_seconds(server), time.process_time(), time.monotonic()
    running = asyncio.create_task(worker.run(stop))
    await asyncio.wait_for(all_done.wait(), 120)
    seconds = time.monotonic() - began
    figures: dict[str, float] = {
        "per_second": round(TASKS / seconds),
        "ours_cpu_us": round(1e6 * (time.process_time() - ours) / TASKS),
        "postgres_cpu_us": round(1e6 * (cpu_seconds(server) - used) / TASKS),
    }
    stop.set()
    await running
    await worker.drain(1)
    await store.close()
    return figures
