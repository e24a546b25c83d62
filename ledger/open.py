"""Opens the database of DATABASE_URL: a SQLite file or a Postgres database."""

from collections.abc import Collection
from pathlib import Path

from ledger.clock import Clock, wall_clock
from ledger.errors import CannotOpen
from ledger.ledger import Ledger
from ledger.sqlite.store import open_sqlite
from ledger.urls import NEEDS_PSYCOPG, SQLITE, on_postgres


async def open_ledger(
    url: str,
    *,
    providers: Collection[str],
    clock: Clock = wall_clock,
    waiting_limit: int,
    connections: int,
    seconds: float,
    alone: bool = False,
) -> Ledger:
    """Open the ledger at `url`, migrated to the newest schema.

    `providers` are the names that jobs may have. `waiting_limit` bounds the writes that wait. `connections`, and
    `seconds` for each response, are limits of Postgres. With `alone` it is refused while another process has it open,
    as SQLite always does. Raises `CannotOpen` if an operator must act, `Unavailable` if the database does not answer.
    """
    if not on_postgres(url):
        path = Path(url.removeprefix(SQLITE))
        return Ledger(await open_sqlite(path, now=clock(), providers=providers, waiting_limit=waiting_limit), clock)
    try:
        from ledger.postgres.store import open_postgres  # noqa: PLC0415 - an extra that SQLite does not need
    except ImportError as error:
        raise CannotOpen(f"DATABASE_URL: {NEEDS_PSYCOPG.format(error=error)}") from error
    store = await open_postgres(
        url,
        now=clock(),
        providers=providers,
        connections=connections,
        seconds=seconds,
        waiting_limit=waiting_limit,
        alone=alone,
    )
    return Ledger(store, clock)
