"""Opening the ledger that a URL names: a file of SQLite's, or a database of Postgres'."""

from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import CannotOpen
from ledger.sqlite.store import SQLiteStore, open_sqlite

if TYPE_CHECKING:
    from ledger.postgres.store import PostgresStore

SQLITE = "sqlite:///"
POSTGRES = ("postgres://", "postgresql://")


UNREADABLE = (
    "DATABASE_URL cannot be read as postgres://user:password@host:port/name?option=value, with options of libpq: "
    "in user and password, what is no letter, digit or one of -._~ must be written as %XX"
)
"""What is said of a URL that is not quoted: it may hold a password."""


def is_ambiguous(url: str) -> bool:
    """Tell whether libpq would take a part of the password for the host: one with a raw `@` or `/`."""
    user, at, rest = url.partition("://")[2].partition("?")[0].partition("@")
    return bool(at) and ("/" in user or "@" in rest)


def on_postgres(url: str) -> bool:
    """Tell whether the ledger is one that many processes may open."""
    return url.startswith(POSTGRES)


async def open_ledger(
    url: str, *, now: int, waiting_limit: int, connections: int, seconds: float
) -> "SQLiteStore | PostgresStore":
    """Open the ledger at `url`, migrated to the newest schema.

    `waiting_limit` bounds the writes that wait; `connections` and `seconds`, the longest wait for an answer, are for
    Postgres. Raises `CannotOpen` when an operator must act, `Unavailable` when the database is not there just now.
    """
    if not on_postgres(url):
        return await open_sqlite(Path(url.removeprefix(SQLITE)), now=now, waiting_limit=waiting_limit)
    try:
        from ledger.postgres.store import open_postgres  # noqa: PLC0415 - an extra, which SQLite does without
    except ImportError as error:
        raise CannotOpen(
            f"DATABASE_URL is Postgres', which needs more packages ({error}): pip install 'renderhook[postgres]'"
        ) from error
    return await open_postgres(url, now=now, connections=connections, seconds=seconds, waiting_limit=waiting_limit)
