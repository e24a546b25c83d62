"""Verbs in one transaction of SQLite: together while all goes well, each apart from the others when one fails."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from ledger.errors import Contradiction, Corrupt, DiskFull, LedgerError, Unavailable
from ledger.storage.statements import statements
from ledger.storage.transaction import Rows, Transaction


class Ran(NamedTuple):
    """The result of a transaction: the rows of each statement, and the kinds of work and endpoints that became due."""

    rows: Sequence[Rows]
    due: Sequence[str]


Result = Ran | LedgerError


def run_batch(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
    """Run a batch in one database transaction and commit it. Return the result or error of each; each fails alone."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        results = _together(connection, transactions)
        if results is None:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            results = _apart(connection, transactions)
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - whatever it was, no transaction may stay open and every caller must hear
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [fault_of(error)] * len(transactions)
    return results


def _together(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result] | None:
    """Run them one after another; None when one failed, whose traces are still there.

    A savepoint around each would let the others stand, but costs each of them a copy of every page that it changes.
    """
    cursor = connection.cursor()
    try:
        return [_run(cursor, transaction) for transaction in transactions]
    except Exception:  # noqa: BLE001 - a value that SQLite cannot hold (OverflowError, UnicodeError) is met again apart, and told
        return None


def _apart(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
    """Run each in a savepoint. Raises what made SQLite give up the whole transaction."""
    cursor = connection.cursor()
    results: list[Result] = []
    for transaction in transactions:
        cursor.execute("SAVEPOINT one")
        try:
            results.append(_run(cursor, transaction))
        except Exception as error:  # whatever fails a transaction, even a value that SQLite cannot hold, fails it alone
            if not connection.in_transaction:  # what came before is gone too
                raise
            cursor.execute("ROLLBACK TO one")
            results.append(fault_of(error))
        cursor.execute("RELEASE one")
    return results


def _run(cursor: sqlite3.Cursor, transaction: Transaction[Any]) -> Ran:
    named, values = statements(), transaction.values
    rows: list[Rows] = []
    due: list[str] = []
    for step in transaction.steps:
        statement = named[step.statement]
        found = cursor.execute(statement.text, statement.pick(step.values or values)).fetchall()
        rows.append(found)
        if step.wakes and cursor.rowcount > 0:
            due += step.wakes
        if step.wakes_each:
            due += [row[step.wakes_each] for row in found]
    return Ran(rows, due)


def fault_of(error: Exception) -> LedgerError:
    """Sort a database's error by what comes next. The message keeps the database's own words."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"no room for the ledger: {error}; free some disk space")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Corrupt(f"the ledger's file is damaged, or not a ledger: {error}; restore it from a backup")
    if isinstance(error, sqlite3.OperationalError):
        return Unavailable(f"the ledger did not answer: {error}")
    return Contradiction(f"the ledger refused a row: {error}")
