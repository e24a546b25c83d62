"""Migrations on Postgres: ours and Procrastinate's, by one process at a time while others may be at work."""

from pathlib import Path

import psycopg
from procrastinate.schema import SchemaManager
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

_PROCRASTINATES_BOOKKEEPING = (
    "CREATE TABLE IF NOT EXISTS procrastinate_migrations (name TEXT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"
)


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
            await connection.execute(_PROCRASTINATES_BOOKKEEPING)
            done = await _apply_procrastinate(connection, now)
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
    """Tell whether there is anything to apply, without a lock: mostly there is not. Raises as `migrate` does."""
    try:
        made = "SELECT to_regclass('moved_to') IS NULL OR to_regclass('procrastinate_migrations') IS NULL"
        row = await (await connection.execute(made)).fetchone()
        if row is None or row[0]:
            return True
        return bool(await _new(connection)) or bool(await _new_of_procrastinate(connection))
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


async def _new_of_procrastinate(connection: Connection) -> list[Path]:
    rows = await (await connection.execute("SELECT name FROM procrastinate_migrations")).fetchall()
    applied = {row[0] for row in rows}
    return [file for file in _files_of_procrastinate() if file.stem not in applied]


def _files_of_procrastinate() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


async def _apply_procrastinate(connection: Connection, now: int) -> list[str]:
    """Make its schema, or bring it up to date: https://procrastinate.readthedocs.io/en/stable/howto/production/migrations.html."""
    new = await _new_of_procrastinate(connection)
    row = await (await connection.execute("SELECT to_regclass('procrastinate_jobs') IS NULL")).fetchone()
    if row is not None and row[0]:
        await connection.execute(sql.SQL(SchemaManager.get_schema()))  # has all of its migrations in it
    else:
        for file in new:
            await connection.execute(sql.SQL(file.read_text(encoding="utf-8")))
    for file in new:
        await connection.execute(
            "INSERT INTO procrastinate_migrations (name, applied_at) VALUES (%s, %s)", (file.stem, now)
        )
    return [f"procrastinate {file.stem}" for file in new]
