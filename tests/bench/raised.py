"""A ground's ledger, brought to Postgres as it is: every row, and the work that is due far away."""

import asyncio
import sqlite3

import psycopg

from ledger.postgres.connections import connect
from ledger.postgres.migrate import migrate
from tests.bench.ground import Ground

TABLES = (
    "jobs",
    "inputs",
    "outputs",
    "events",
    "receipts",
    "endpoints",
    "subscriptions",
    "deliveries",
    "attempts",
    "work",
)


async def make_schema(url: str) -> None:
    """Make the tables."""
    connection = await connect(url)
    await migrate(connection, 1)
    await connection.close()


def raise_ledger(ground: Ground, url: str) -> int:
    """Copy the ledger into an empty database. Returns how many jobs it has."""
    asyncio.run(make_schema(url))
    source = sqlite3.connect(ground.folder / "ledger.db")
    with psycopg.connect(url) as target:
        for table in TABLES:
            columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})") if row[1] != "lease"]
            with target.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in source.execute(f"SELECT {', '.join(columns)} FROM {table}"):
                    copy.write_row(row)
        target.commit()
        target.autocommit = True
        target.execute("VACUUM ANALYZE")
        [jobs] = target.execute("SELECT count(*) FROM jobs").fetchone() or (0,)
    source.close()
    return int(jobs)
