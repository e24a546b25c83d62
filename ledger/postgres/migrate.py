"""Migrations on Postgres, where other processes may be running."""

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ledger.errors import CannotOpen, Contradiction
from ledger.postgres.connections import Connection
from ledger.postgres.faults import fault_of
from ledger.storage.migrations import (
    READ_APPLIED,
    READ_MOVED,
    RECORD,
    Migration,
    bookkeeping,
    migrations,
    new_migrations,
)

_LOCK = 0x72656E646572  # "render" in ASCII: the key of an advisory lock
LOCK_MS = 10_000
"""How long to wait for another process that migrates, or that uses a table to be changed."""


async def migrate(connection: Connection, now: int) -> list[str]:
    """Apply the new migrations and return their names. `now` is ms.

    They run in one transaction under one lock, so a second process waits and finds none left. Raises `Unavailable` if
    the lock is not free in time, `CannotOpen` as `new_migrations` does, and other LedgerErrors of the database.
    """
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await connection.execute(sql.SQL(bookkeeping("postgres")))
            done = list[str]()
            for migration in await _new(connection):
                await _apply(connection, migration, now)
                done.append(f"{migration.number:04} {migration.name}")
            return done
    except psycopg.Error as error:
        fault = fault_of(error)
        if isinstance(fault, Contradiction):  # the schema is not what its list of migrations says
            fault = CannotOpen(f"cannot migrate the ledger's database: {fault}")
        raise fault from error


async def is_behind(connection: Connection) -> bool:
    """Return whether there are new migrations, without a lock. Raises as `migrate` does."""
    try:
        row = await (await connection.execute("SELECT to_regclass('moved_to') IS NULL")).fetchone()
        if row is None or row[0]:
            return True
        return bool(await _new(connection))
    except psycopg.Error as error:
        raise fault_of(error) from error


async def _new(connection: Connection) -> list[Migration]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        applied = await (await cursor.execute(READ_APPLIED)).fetchall()
        moved = await (await cursor.execute(READ_MOVED)).fetchall()
    return new_migrations(applied, moved, migrations("postgres"))


async def _apply(connection: Connection, migration: Migration, now: int) -> None:
    await connection.execute(sql.SQL(migration.sql))
    await connection.execute(RECORD, migration.record(now))
