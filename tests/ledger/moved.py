"""A ledger to move, the ways to move it, and what is then on either side."""

import sqlite3
from collections.abc import Awaitable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.copying import source as sources
from ledger.copying.copy import Copied, copy, take_back
from ledger.copying.source import Table, Values, as_copied, read_tables
from ledger.errors import CannotOpen
from ledger.postgres.store import PostgresStore, open_postgres
from ledger.requests import Attempted
from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import SQLiteStore, _DictConnection, open_sqlite
from ledger.transitions import deliveries, endpoints
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import BROKEN, Story

LATER = NOON + 3_600_000
ODD = "tab\there, 3:comma, \\N, 'quote', \0 after NUL, \x1f, é 🎬"
TABLES_MADE = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make even a small ledger one of many chunks."""
    monkeypatch.setattr(sources, "CHUNK_ROWS", 2)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A ledger that nobody has open, with something in every table and jobs in most states."""
    path = tmp_path / "old.db"
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    await tell(Story(store))
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE jobs SET warning = ?, processing_time_ms = ? WHERE state = 'completed'", (ODD, -(2**63))
        )
        connection.execute("UPDATE inputs SET metadata = ''")
        connection.execute("UPDATE receipts SET body = ?", (bytes(range(256)),))
        connection.execute("UPDATE attempts SET response = x''")
    return path


async def tell(story: Story) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://u.example/", now=NOON))
    done = await story.submit("req-done", notify=("https://job.example/",), idempotency_key="once")
    await story.report(done, request_id="req-done")
    broken = await story.submit("req-broken")
    await story.report(broken, BROKEN, request_id="req-broken")
    await story.report("job_nobody_knows_of", request_id="req-orphan")
    await story.accept()
    await story.submit("req-open")
    await story.begin(await story.accept(), until=7200)
    told = (await deliveries.list_deliveries_of_subject(story.store, done))[0]
    attempted = Attempted(at=LATER, status=503, latency_ms=7, error="busy", response=b"busy")
    await story.store.write(deliveries.retry(told.id, attempted, due_at=LATER + 60_000))


def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def pass_over(path: Path, target: str, *, while_running: bool = False, now: int = LATER) -> Copied:
    return await copy(url(path), target, now=now, while_running=while_running, report=lambda _: None)


def rows_of_source(path: Path) -> dict[str, list[Values]]:
    """Every row, by its table, as Postgres is to keep it."""
    with closing(sqlite3.connect(path)) as connection:
        return {table.name: sorted(_as_copied(connection, table), key=repr) for table in read_tables(connection)}


def rows_of_target(target: str) -> dict[str, list[Values]]:
    """Every row, by its table."""
    with psycopg.connect(target) as connection:
        return {
            table.name: sorted(connection.execute(_all_of(table).encode()), key=repr) for table in tables_of_a_ledger()
        }


def tables_of_a_ledger() -> Sequence[Table]:
    """The tables that move, as a new file has them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=_DictConnection)) as connection:
        migrate(connection, 1)
        connection.row_factory = None
        return read_tables(connection)


def _as_copied(connection: sqlite3.Connection, table: Table) -> list[Values]:
    return [as_copied(row)[0] for row in connection.execute(_all_of(table))]


def _all_of(table: Table) -> str:
    return f"SELECT {', '.join(table.columns)} FROM {table.name}"


def ask(target: str, statement: str) -> list[Any]:
    with psycopg.connect(target, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def opens(target: str) -> bool:
    """Tell whether a receiver would start on Postgres."""
    return await _opens(
        open_postgres(target, now=LATER, connections=1, seconds=5, providers=PROVIDERS), "a copy that is not finished"
    )


async def opens_file(path: Path) -> bool:
    """Tell whether a receiver would start on the file."""
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
    await take_back(url(path), target, now=LATER, report=lambda _: None)


def open_job(path: Path) -> str:
    """The id of the job whose callback has not come."""
    return next(str(row[0]) for row in rows_of_source(path)["jobs"] if "req-open" in row)
