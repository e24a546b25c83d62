"""Errors of Postgres as LedgerErrors. https://www.postgresql.org/docs/current/errcodes-appendix.html."""

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from ledger.errors import CannotOpen, Contradiction, Corrupt, DiskFull, LedgerError, Unanswered, Unavailable

_RETRY = (
    "40",  # transaction rollback: serialization failure, deadlock
    "53",  # insufficient resources: connections, memory
    "55",  # lock timeout
    "57",  # statement timeout, or the server shuts down
    "25006",  # read-only transaction: a standby, or a former primary
    "26000",  # a prepared statement that a pooler's session does not have
    "42P05",  # or has already
)
_NEEDS_OPERATOR = ("28", "3D000", "42501", "42P01")
"""Password, database name, permission, missing table: trying again will not help."""


def fault_of(error: Exception) -> LedgerError:
    """Convert an error of Postgres. The message has its text on one line, without its detail, which quotes the row."""
    diagnosis = getattr(error, "diag", None)
    words = " ".join((getattr(diagnosis, "message_primary", None) or str(error)).split())
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, PoolTimeout | PoolClosed):
        return Unavailable(f"no connection to the database was free in time: {words}")
    code = getattr(error, "sqlstate", None) or ""
    if code == "53100":
        return DiskFull(f"the database's disk is full: {words}; free some space")
    if code in {"XX001", "XX002"}:
        return Corrupt(f"the database is damaged: {words}; restore a backup")
    if code.startswith("57P0"):  # it shuts down or restarts, perhaps before it confirmed a commit
        return Unanswered(f"the connection to the database was lost: {words}")
    if code.startswith(_RETRY):
        return Unavailable(f"the database did not answer: {words}")
    if code.startswith(_NEEDS_OPERATOR):
        return CannotOpen(f"the database refused the connection or a statement: {words}")
    if code.startswith(("22", "23")) or isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return Contradiction(f"the database rejected a row: {words}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError | OSError):
        return Unanswered(f"the connection to the database was lost: {words}")
    return Contradiction(f"the database rejected a statement: {words}")


def concerns_one_transaction(fault: LedgerError) -> bool:
    """Return whether the rest of the batch may succeed without the transaction that failed."""
    return not isinstance(fault, CannotOpen | DiskFull | Unanswered)
