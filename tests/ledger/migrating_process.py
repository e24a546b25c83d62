"""A process that migrates: `python -m tests.ledger.migrating_process DATABASE SCHEMA_FOLDER [POINT]`.

On SQLite it kills itself at POINT: when a statement of the migration begins with that text, or, with `~` before it,
while it runs.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

from ledger.postgres.store import open_postgres
from ledger.sqlite import store
from ledger.sqlite.migrate import migrate
from ledger.storage import migrations

STEPS = 200_000
"""SQLite's instructions before a statement counts as running."""


def main(database: str, schema: str, point: str = "") -> None:
    migrations.SCHEMA = Path(schema)
    if database.startswith("postgres"):
        asyncio.run(migrate_postgres(database))
    else:
        migrate_sqlite(database, point)


async def migrate_postgres(url: str) -> None:
    await (await open_postgres(url, now=2, connections=4, seconds=30)).close()


def migrate_sqlite(path: str, point: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None, factory=store._DictConnection)
    for pragma in store._PRAGMAS:
        connection.execute(pragma)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    begun = False

    def trace(statement: str) -> None:
        nonlocal begun
        begun = begun or statement.startswith("PRAGMA foreign_keys = OFF")  # after the bookkeeping
        if begun and statement.startswith(point.removeprefix("~")):
            if point.startswith("~"):
                connection.set_progress_handler(die, STEPS)
            else:
                die()

    connection.set_trace_callback(trace)
    migrate(connection, 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
