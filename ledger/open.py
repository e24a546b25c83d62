"""Opening the ledger that a URL names: a file of SQLite's, or a database of Postgres'."""

from pathlib import Path

from ledger.clock import Clock, wall_clock
from ledger.errors import CannotOpen
from ledger.ledger import Ledger
from ledger.sqlite.store import open_sqlite
from ledger.urls import SQLITE, on_postgres


async def open_ledger(
    url: str, *, clock: Clock = wall_clock, waiting_limit: int, connections: int, seconds: float
) -> Ledger:
    """Open the ledger at `url`, migrated to the newest schema.

    `waiting_limit` bounds the writes that wait; `connections` and `seconds`, the longest wait for an answer, are for
    Postgres. Raises `CannotOpen` when an operator must act, `Unavailable` when the database is not there just now.
    """
    if not on_postgres(url):
        path = Path(url.removeprefix(SQLITE))
        return Ledger(await open_sqlite(path, now=clock(), waiting_limit=waiting_limit), clock)
    try:
        from ledger.postgres.store import open_postgres  # noqa: PLC0415 - an extra, which SQLite does without
    except ImportError as error:
        raise CannotOpen(
            f"DATABASE_URL is Postgres', which needs more packages ({error}): pip install 'renderhook[postgres]'"
        ) from error
    store = await open_postgres(url, now=clock(), connections=connections, seconds=seconds, waiting_limit=waiting_limit)
    return Ledger(store, clock)
