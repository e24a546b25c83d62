"""Opens the database of DATABASE_URL: a SQLite file or a Postgres database."""

from collections.abc import Collection
from pathlib import Path

from ledger.clock import Clock, wall_clock
from ledger.errors import CannotOpen
from ledger.ledger import Ledger
from ledger.sqlite.store import open_sqlite
from ledger.urls import SQLITE, on_postgres


async def open_ledger(
    url: str,
    *,
    providers: Collection[str],
    clock: Clock = wall_clock,
    waiting_limit: int,
    connections: int,
    seconds: float,
) -> Ledger:
    """Open the ledger at `url`, migrated to the newest schema.

    `providers` are the names that jobs may have. `waiting_limit` bounds the writes that wait. `connections`, and
    `seconds` for each response, are limits of Postgres. Raises `CannotOpen` if an operator must act, `Unavailable` if
    the database does not answer.
    """
    if not on_postgres(url):
        path = Path(url.removeprefix(SQLITE))
        return Ledger(await open_sqlite(path, now=clock(), providers=providers, waiting_limit=waiting_limit), clock)
    try:
        from ledger.postgres.store import open_postgres  # noqa: PLC0415 - an extra that SQLite does not need
    except ImportError as error:
        raise CannotOpen(
            f"DATABASE_URL names Postgres, which needs more packages ({error}): pip install 'renderhook[postgres]'"
        ) from error
    store = await open_postgres(
        url, now=clock(), providers=providers, connections=connections, seconds=seconds, waiting_limit=waiting_limit
    )
    return Ledger(store, clock)
