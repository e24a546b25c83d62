"""A database to copy, and helpers that copy it and read both sides."""

import sqlite3
from collections.abc import Awaitable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.copying import source as sources
from ledger.copying.copy import CopyResult, copy
from ledger.copying.copy import undo as undo_copy
from ledger.copying.source import Table, Values, as_copied, read_tables
from ledger.errors import CannotOpen
from ledger.postgres.store import PostgresStore, open_postgres
from ledger.requests import Attempted
from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import SQLiteStore, _DictConnection, open_sqlite
from ledger.transitions import deliveries, endpoints
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import BROKEN, Scenario

LATER = NOON + 3_600_000
ODD = "tab\there, 3:comma, \\N, 'quote', \0 after NUL, \x1f, é 🎬"
TABLES_MADE = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split even a small table into several chunks."""
    monkeypatch.setattr(sources, "CHUNK_ROWS", 2)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed database with rows in every table and jobs in most states."""
    path = tmp_path / "old.db"
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    await fill(Scenario(store))
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE jobs SET warning = ?, processing_time_ms = ? WHERE state = 'completed'", (ODD, -(2**63))
        )
        connection.execute("UPDATE inputs SET metadata = ''")
        connection.execute("UPDATE receipts SET body = ?", (bytes(range(256)),))
        connection.execute("UPDATE attempts SET response = x''")
    return path


async def fill(scenario: Scenario) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://u.example/", now=NOON))
    done = await scenario.submit("req-done", notify=("https://job.example/",), idempotency_key="once")
    await scenario.report(done, request_id="req-done")
    broken = await scenario.submit("req-broken")
    await scenario.report(broken, BROKEN, request_id="req-broken")
    await scenario.report("job_unknown", request_id="req-orphan")
    await scenario.accept()
    await scenario.submit("req-open")
    await scenario.begin(await scenario.accept(), until=7200)
    delivery = (await deliveries.list_deliveries_of_subject(scenario.store, done))[0]
    attempted = Attempted(at=LATER, status=503, latency_ms=7, error="busy", response=b"busy")
    await scenario.store.write(deliveries.retry(delivery.id, attempted, due_at=LATER + 60_000))


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def run_pass(path: Path, target: str, *, while_running: bool = False, now: int = LATER) -> CopyResult:
    return await copy(url(path), target, now=now, while_running=while_running, report=lambda _: None)


def rows_of_source(path: Path) -> dict[str, list[Values]]:
    """Return every row of each table, as Postgres stores it."""
    with closing(sqlite3.connect(path)) as connection:
        return {table.name: sorted(_as_copied(connection, table), key=repr) for table in read_tables(connection)}


def rows_of_target(target: str) -> dict[str, list[Values]]:
    """Return every row of each table."""
    with psycopg.connect(target) as connection:
        return {
            table.name: sorted(connection.execute(_all_of(table).encode()), key=repr) for table in tables_of_a_ledger()
        }


def tables_of_a_ledger() -> Sequence[Table]:
    """Return the tables that are copied, as a new file has them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=_DictConnection)) as connection:
        migrate(connection, 1)
        connection.row_factory = None
        return read_tables(connection)


def _as_copied(connection: sqlite3.Connection, table: Table) -> list[Values]:
    return [as_copied(row)[0] for row in connection.execute(_all_of(table))]


def _all_of(table: Table) -> str:
    return f"SELECT {', '.join(table.columns)} FROM {table.name}"


def execute(target: str, statement: str) -> list[Any]:
    with psycopg.connect(target, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def target_opens(target: str) -> bool:
    """Return whether a receiver could start on the target."""
    return await _opens(
        open_postgres(target, now=LATER, connections=1, seconds=5, providers=PROVIDERS), "a copy that is not finished"
    )


async def file_opens(path: Path) -> bool:
    """Return whether a receiver could start on the source."""
    return await _opens(open_sqlite(path, now=LATER, providers=PROVIDERS), "was moved to")


async def _opens(opening: Awaitable[SQLiteStore | PostgresStore], refusal: str) -> bool:
    refused = None
    try:
        await (await opening).close()
    except CannotOpen as error:
        refused = str(error)
    assert refused is None or refusal in refused
    return refused is None


async def undo(path: Path, target: str) -> None:
    await undo_copy(url(path), target, now=LATER, report=lambda _: None)


def open_job(path: Path) -> str:
    """Return the id of the submitted job."""
    return next(str(row[0]) for row in rows_of_source(path)["jobs"] if "req-open" in row)
