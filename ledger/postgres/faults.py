"""Postgres' errors, sorted by what comes next. https://www.postgresql.org/docs/current/errcodes-appendix.html."""

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from ledger.errors import CannotOpen, Contradiction, Corrupt, DiskFull, LedgerError, Unanswered, Unavailable

_AGAIN = (
    "40",  # rolled back: a deadlock, or two that cannot both be first
    "53",  # no room: connections, memory
    "55",  # a lock that was not had in time
    "57",  # cancelled by a timeout, or the server is going down
    "25006",  # read-only: a standby, or a primary that has become one
    "26000",  # a prepared statement that a pooler has lost
    "42P05",  # or has already
)
_OPERATORS = ("28", "3D000", "42501", "42P01")
"""Passwords, the database's name, rights, and tables that are not there: asking again will not help."""


def fault_of(error: Exception) -> LedgerError:
    """Make of a database's error what the ledger says. The message keeps the database's own words, on one line."""
    words = " ".join(str(error).split())
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, PoolTimeout | PoolClosed):
        return Unavailable(f"no connection to the ledger was free in time: {words}")
    code = getattr(error, "sqlstate", None) or ""
    if code == "53100":
        return DiskFull(f"no room for the ledger: {words}; free some disk space at the database")
    if code in {"XX001", "XX002"}:
        return Corrupt(f"the ledger's database is damaged: {words}; restore it from a backup")
    if code.startswith("57P0"):  # it ends or restarts, perhaps with a commit half answered
        return Unanswered(f"the ledger went away before it answered: {words}")
    if code.startswith(_AGAIN):
        return Unavailable(f"the ledger did not answer: {words}")
    if code.startswith(_OPERATORS):
        return CannotOpen(f"the ledger's database refuses us: {words}")
    if code.startswith(("22", "23")) or isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return Contradiction(f"the ledger refused a row: {words}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError | OSError):
        return Unanswered(f"the ledger went away before it answered: {words}")
    return Contradiction(f"the ledger refused a statement: {words}")


def concerns_one_verb(fault: LedgerError) -> bool:
    """Whether the others that were asked with it may well succeed without it."""
    return not isinstance(fault, CannotOpen | DiskFull | Unanswered)
