"""Copies a dataset's database to Postgres, row by row."""

import asyncio
import sqlite3

import psycopg

from ledger.postgres.connections import connect
from ledger.postgres.migrate import migrate
from tests.bench.dataset import Dataset

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
    """Create the tables."""
    connection = await connect(url)
    await migrate(connection, 1)
    await connection.close()


def copy_to_postgres(dataset: Dataset, url: str) -> int:
    """Copy the dataset into an empty database, and return the number of its jobs."""
    asyncio.run(make_schema(url))
    source = sqlite3.connect(dataset.folder / "ledger.db")
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
