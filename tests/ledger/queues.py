"""The queue as workers use it: SQLite's leases, and on Postgres Procrastinate's functions, at a time of the test's."""

from typing import Any

from psycopg.rows import dict_row

from ledger.postgres.store import PostgresStore
from ledger.postgres.upkeep import promote
from ledger.requests import Kind, Task
from ledger.sqlite.store import SQLiteStore
from ledger.storage.store import Store
from ledger.transitions import queue as work

FETCH = "SELECT id, args FROM procrastinate_fetch_job_v2(ARRAY[%s]::varchar[], %s) WHERE id IS NOT NULL"
FINISH = "SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)"


async def ask(store: Store, query: str, *values: object) -> list[dict[str, Any]]:
    """Run one statement past the ledger's own, written with %s for its values."""
    if isinstance(store, SQLiteStore):
        rows = await store._writer.execute_fetchall(query.replace("%s", "?"), values)
        return [dict(row) for row in rows]
    assert isinstance(store, PostgresStore)
    async with store.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []


async def fetch(store: Store, kind: Kind, *, now: int, until: int, limit: int = 100) -> list[Task]:
    """Take what is due at `now` (ms); leases, which only SQLite has, last to `until`."""
    if isinstance(store, SQLiteStore):
        return list(await store.write(work.fetch(kind, now=now, until=until, limit=limit)))
    while await store.write(promote(now=now)):
        pass
    [worker] = await ask(store, "SELECT worker_id FROM procrastinate_register_worker_v1()")
    found: list[Task] = []
    while len(found) < limit and (rows := await ask(store, FETCH, kind, worker["worker_id"])):
        found += [Task(kind=kind, lease=str(row["id"]), **row["args"]) for row in rows]
    return found


async def end(store: Store, task: Task) -> None:
    """Return from the handler: on Postgres the task's worker takes it off the queue, whatever the handler did."""
    if isinstance(store, PostgresStore):
        await ask(store, FINISH, int(task.lease))


async def bury_workers(store: Store) -> None:
    """Have all of Procrastinate's workers be dead for as long as it takes to notice."""
    await ask(store, "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")


async def queued(store: Store) -> list[tuple[str, str]]:
    """List what is waiting or being done on Postgres, as (lock, status), the oldest first."""
    rows = await ask(store, "SELECT lock, status FROM procrastinate_jobs ORDER BY id")
    return [(row["lock"], row["status"]) for row in rows]
