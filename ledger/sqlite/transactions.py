"""Run a batch in one transaction of SQLite; if one part fails, again with a savepoint for each."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from ledger.errors import Contradiction, Corrupt, DiskFull, LedgerError, Unavailable
from ledger.storage.statements import statements
from ledger.storage.transaction import Ran, Result, Rows, Transaction, due_after


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
    except Exception as error:  # noqa: BLE001 - no transaction may stay open, and every caller gets the error
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [fault_of(error)] * len(transactions)
    return results


def _together(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result] | None:
    """Run them one after another. Returns None if one failed; the changes are not rolled back yet.

    Savepoints would keep the others, but cost each transaction a copy of every page that it changes.
    """
    cursor = connection.cursor()
    try:
        return [_run(cursor, transaction) for transaction in transactions]
    except Exception:  # noqa: BLE001 - a value that SQLite cannot hold (OverflowError, UnicodeError) fails again in its savepoint, and is reported
        return None


def _apart(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
    """Run each in a savepoint. Raises the error that made SQLite roll back the whole transaction."""
    cursor = connection.cursor()
    results: list[Result] = []
    for transaction in transactions:
        cursor.execute("SAVEPOINT one")
        try:
            results.append(_run(cursor, transaction))
        except Exception as error:  # also values that SQLite cannot store
            if not connection.in_transaction:  # SQLite rolled back all of the batch
                raise
            cursor.execute("ROLLBACK TO one")
            results.append(fault_of(error))
        cursor.execute("RELEASE one")
    return results


def _run(cursor: sqlite3.Cursor, transaction: Transaction[Any]) -> Ran:
    named = statements()
    rows: list[Rows] = []
    due: list[str] = []
    for step in transaction.steps:
        statement = named[step.statement]
        found = cursor.execute(statement.text, statement.pick(transaction.values_of(step))).fetchall()
        rows.append(found)
        if step.wakes or step.wakes_each:
            due += due_after(step, found, cursor.rowcount)
    return Ran(rows, due)


def fault_of(error: Exception) -> LedgerError:
    """Convert an error of SQLite. The message has the original text."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"the disk is full: {error}; free some disk space")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Corrupt(f"the database file is damaged, or not a database of Renderhook: {error}; restore a backup")
    if isinstance(error, sqlite3.OperationalError):
        return Unavailable(f"the database did not answer: {error}")
    return Contradiction(f"the database rejected a row: {error}")
