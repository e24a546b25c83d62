"""Run a batch in one transaction of Postgres, as one pipeline; if one part fails, each part by itself."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncPipeline, AsyncRawCursor
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8

from ledger.errors import LedgerError, Unanswered
from ledger.postgres.connections import Connection, SessionSettings
from ledger.postgres.faults import concerns_one_transaction, fault_of
from ledger.storage.statements import Statement, statements
from ledger.storage.transaction import Ran, Result, Row, Rows, Transaction, due_after

Cursor = AsyncRawCursor[Row]

_AT_ONCE = 100
"""Statements in one turn of the event loop: an outcome of 2,000 files has as many, which would take 150 ms."""

_CLOSING = ("SET LOCAL statement_timeout = 0", "COMMIT")
"""Without the timeout: a COMMIT that it interrupts while waiting for a standby succeeds with a warning."""


async def run_batch(
    connection: Connection, transactions: Sequence[Transaction[Any]], session: SessionSettings
) -> Sequence[Result]:
    """Run a batch in one database transaction and commit it. Return the result or error of each; each fails alone."""
    results = await _attempt(connection, transactions, session)
    if not isinstance(results, LedgerError):
        return results
    if not concerns_one_transaction(results) or connection.closed:
        return [results] * len(transactions)
    return [await _alone(connection, transaction, session) for transaction in transactions]


_RACED = {"23505", "40001", "40P01"}
"""Unique violation, serialization failure, deadlock: a second run sees what the other transaction wrote."""


async def _alone(connection: Connection, transaction: Transaction[Any], session: SessionSettings) -> Result:
    """Run one transaction by itself, and once more if a concurrent one caused its failure."""
    results = await _attempt(connection, [transaction], session)
    if isinstance(results, LedgerError) and getattr(results.__cause__, "sqlstate", None) in _RACED:
        results = await _attempt(connection, [transaction], session)
    return results if isinstance(results, LedgerError) else results[0]


async def _attempt(
    connection: Connection, transactions: Sequence[Transaction[Any]], session: SessionSettings
) -> Sequence[Result] | LedgerError:
    try:
        return await _transaction(connection, transactions, session)
    except Exception as error:  # noqa: BLE001 - every caller gets the error
        fault = fault_of(error)
        fault.__cause__ = error
    except BaseException:  # cancelled: the state of the connection is unknown
        await connection.close()
        raise
    await _roll_back(connection)
    return fault


async def read(
    connection: Connection, statement: Statement, values: Mapping[str, object], session: SessionSettings
) -> Rows:
    """Run one reading statement in its own transaction. Raises psycopg.Error."""
    if not session.pooled:
        return await (await _execute(connection, statement, values, session)).fetchall()
    async with connection.pipeline():
        for words in session.opening:
            await connection.execute(words)
        cursor = await _execute(connection, statement, values, session)
        await connection.execute("COMMIT")
    return await cursor.fetchall()


async def _transaction(
    connection: Connection, transactions: Sequence[Transaction[Any]], session: SessionSettings
) -> Sequence[Result]:
    warnings: list[str] = []
    connection.add_notice_handler(collect := lambda notice: _warned(notice, warnings))
    sent: list[list[Cursor | None]] = []
    try:
        async with connection.pipeline() as pipeline:
            for words in session.opening:
                await connection.execute(words)
            sent += [await _send(connection, pipeline, transaction, session) for transaction in transactions]
            for words in _CLOSING:
                await connection.execute(words)
    finally:
        connection.remove_notice_handler(collect)
    if warnings:  # the wait for a standby was cancelled: the commit may be on this server only
        raise Unanswered(f"committed here, and perhaps not on the standby: {warnings[0]}")
    return [await _ran(transaction, steps) for transaction, steps in zip(transactions, sent, strict=True)]


async def _send(
    connection: Connection, pipeline: AsyncPipeline, transaction: Transaction[Any], session: SessionSettings
) -> list[Cursor | None]:
    named, sent = statements("postgres"), list[Cursor | None]()
    for number, step in enumerate(transaction.steps, start=1):
        if number % _AT_ONCE == 0:
            await pipeline.sync()  # reads the results, all of which would be read in one turn at the end
            await asyncio.sleep(0)
        statement = named[step.statement]
        if statement.text:
            sent.append(await _execute(connection, statement, transaction.values_of(step), session))
        else:  # Postgres needs no such statement
            sent.append(None)
    return sent


async def _execute(
    connection: Connection, statement: Statement, values: Mapping[str, object], session: SessionSettings
) -> Cursor:
    cursor = AsyncRawCursor(connection, row_factory=dict_row)
    bound = [_bound(value) for value in statement.pick(values)]
    await cursor.execute(statement.text, bound, prepare=not session.pooled)
    return cursor


async def _ran(transaction: Transaction[Any], cursors: Sequence[Cursor | None]) -> Ran:
    rows: list[Rows] = []
    due: list[str] = []
    for number, (step, cursor) in enumerate(zip(transaction.steps, cursors, strict=True), start=1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        found = await cursor.fetchall() if cursor and cursor.description else []
        rows.append(found)
        due += due_after(step, found, cursor.rowcount if cursor else 0)
    return Ran(rows, due)


def _bound(value: object) -> object:
    """Convert a value for Postgres: integers as BIGINT, and NUL, which its text cannot hold, replaced."""
    if type(value) is int:
        return Int8(value)
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\ufffd")  # the receipt has the original bytes
    return value


def _warned(notice: Any, warnings: list[str]) -> None:
    if notice.severity_nonlocalized == "WARNING":
        warnings.append(" ".join(str(notice.message_primary).split()))


async def _roll_back(connection: Connection) -> None:
    try:
        began = connection.info.transaction_status is not TransactionStatus.IDLE
        if not began or connection.info.pipeline_status is not PipelineStatus.OFF:
            await connection.close()
        if not connection.closed:
            # Of a transaction that began, this also forgets every prepared statement, here and at the server. After a
            # pipeline that failed, psycopg takes some for prepared that never were.
            await connection.rollback()
    except Exception:  # noqa: BLE001 - whatever it is, the connection is broken: closed, it is not used again
        await connection.close()
