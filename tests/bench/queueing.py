"""Tasks a second through the queue on Postgres, by one process that does nothing else with them."""

import asyncio
import time
from typing import Any

from ledger.postgres.queue import WorkQueue
from ledger.postgres.store import open_postgres
from ledger.requests import Task
from tests.bench.postmaster import used_by
from tests.postgres.servers import PostgresServer

TASKS = 3_000
AT_ONCE = 32
FAR_AWAY = 20_000

PUT = """
INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
SELECT 'poll', 'poll', 'poll:' || n, 'poll:' || n, jsonb_build_object('subject', n::text, 'tries', 0)
FROM generate_series(1, {tasks}) AS n
"""
PUT_LATER = """
INSERT INTO work (kind, subject, due_at)
SELECT 'poll', 'later' || n, 4102444800000 FROM generate_series(1, {tasks}) AS n
"""


def measure(server: PostgresServer) -> dict[str, Any]:
    """Measure with nothing else in the queue, and with `FAR_AWAY` tasks that are due later."""
    url = server.create_database("queueing")
    found = {"alone": asyncio.run(_drained(server, url))}
    found["with_others"] = asyncio.run(_drained(server, url, others=FAR_AWAY)) | {"others": FAR_AWAY}
    server.drop_database("queueing")
    return found


async def _drained(server: PostgresServer, url: str, *, others: int = 0) -> dict[str, float]:
    store = await open_postgres(url, now=1, connections=5, seconds=30)
    if others:
        await asyncio.to_thread(server.ask, PUT_LATER.format(tasks=others), database="queueing")
    await asyncio.to_thread(server.ask, PUT.format(tasks=TASKS), database="queueing")
    await asyncio.to_thread(server.ask, "VACUUM ANALYZE procrastinate_jobs", database="queueing")
    done, all_done = 0, asyncio.Event()

    async def perform(_: Task) -> None:
        nonlocal done
        done += 1
        if done == TASKS:
            all_done.set()

    queue = WorkQueue(store, "poll", perform, emit=lambda *_, **__: None, concurrency=AT_ONCE)
    used, ours, began = used_by(server), time.process_time(), time.monotonic()
    running = asyncio.create_task(queue.run(stop_seconds=5))
    await asyncio.wait_for(all_done.wait(), 120)
    seconds = time.monotonic() - began
    figures = {
        "per_second": round(TASKS / seconds),
        "ours_cpu_us": round(1e6 * (time.process_time() - ours) / TASKS),
        "postgres_cpu_us": round(1e6 * (used_by(server) - used) / TASKS),
    }
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()
    return figures
