"""Statements on either database that are not the ledger's own."""

from typing import Any

from psycopg.rows import dict_row

from ledger.postgres.store import PostgresStore
from ledger.sqlite.store import SQLiteStore
from ledger.storage.store import Store


async def ask(store: Store, query: str, *values: object) -> list[dict[str, Any]]:
    """Run one statement with `%s` placeholders, and return its rows."""
    if isinstance(store, SQLiteStore):
        rows = await store._writer.execute_fetchall(query.replace("%s", "?"), values)
        return [dict(row) for row in rows]
    assert isinstance(store, PostgresStore)
    async with store.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []


async def queued(store: Store) -> list[tuple[str, str]]:
    """List the queue as (kind, subject), the first due first."""
    rows = await ask(store, "SELECT kind, subject FROM work ORDER BY due_at, kind, subject")
    return [(row["kind"], row["subject"]) for row in rows]
