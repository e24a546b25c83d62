"""Migrations on Postgres: by one process at a time while others may be at work."""

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
    Applied,
    Migration,
    Moved,
    bookkeeping,
    migrations,
    new_migrations,
)

_LOCK = 0x72656E646572  # "render": any number, so long as it is always this one
LOCK_MS = 10_000
"""How long to wait for another process that migrates, or for whoever uses a table that must change."""


async def migrate(connection: Connection, now: int) -> list[str]:
    """Bring the schema up to date and return the names of what was applied. `now` is ms.

    All of it is one transaction under one lock: a second process waits, and finds nothing left to do. Raises
    `Unavailable` when the lock was not had in time, `CannotOpen` as `new_migrations` does, `LedgerError` for what the
    database says.
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
        if isinstance(fault, Contradiction):  # what is there is not what its list of migrations says
            fault = CannotOpen(f"cannot migrate the ledger's database: {fault}")
        raise fault from error


async def is_behind(connection: Connection) -> bool:
    """Return whether there is anything to apply, without a lock: mostly there is not. Raises as `migrate` does."""
    try:
        row = await (await connection.execute("SELECT to_regclass('moved_to') IS NULL")).fetchone()
        if row is None or row[0]:
            return True
        return bool(await _new(connection))
    except psycopg.Error as error:
        raise fault_of(error) from error


async def _new(connection: Connection) -> list[Migration]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        applied = [Applied(**row) for row in await (await cursor.execute(READ_APPLIED)).fetchall()]
        moved = [Moved(**row) for row in await (await cursor.execute(READ_MOVED)).fetchall()]
    return new_migrations(applied, moved[0] if moved else None, migrations("postgres"))


async def _apply(connection: Connection, migration: Migration, now: int) -> None:
    await connection.execute(sql.SQL(migration.sql))
    await connection.execute(RECORD, migration.record(now))
