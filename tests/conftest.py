"""What every test may use: a fixed date, a clock that tests move, the ledger on both databases, emitted events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.sqlite.store import SQLiteStore, open_sqlite
from ledger.storage.store import Store
from telemetry.events import EVENTS
from tests.database import Database
from tests.postgres.databases import Databases, fresh_database
from tests.postgres.servers import database_url, postgres_server

__all__ = ["database_url", "postgres_server"]

NOON = 1_767_225_600_000
"""2026-01-01T00:00:00Z in ms: when every test begins."""

PROVIDERS = ("fal", "heygen")
"""The providers that are registered in every test's ledger."""


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


class EmittedEvents(list[tuple[str, dict[str, object]]]):
    """An `Emit` that keeps the events, and accepts only those of telemetry/events.py."""

    def __call__(self, event: str, /, **fields: object) -> None:
        assert event in EVENTS, f"{event} is not in telemetry/events.py"
        self.append((event, fields))

    def named(self, event: str) -> list[dict[str, object]]:
        """Return the fields of each event of this name."""
        return [fields for name, fields in self if name == event]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emitted() -> EmittedEvents:
    return EmittedEvents()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """The database of the test: SQLite's, and Postgres' too where the test is marked `ON_BOTH_DATABASES`."""
    on_postgres = getattr(request, "param", "sqlite") == "postgres"
    return Database(request.getfixturevalue("ledger_url") if on_postgres else tmp_path / "ledger.db")


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    """A store on SQLite: for tests that only need some store, and for what only SQLite does."""
    opened = await open_sqlite(tmp_path / "ledger.db", now=NOON, providers=PROVIDERS)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def migrated(postgres_server: Databases) -> Iterator[str]:
    """The name of a database with the ledger's schema, which is copied for each test in about 20 ms."""
    with fresh_database(postgres_server) as url:
        asyncio.run(_migrate(url))
        yield urlsplit(url).path.removeprefix("/")


async def _migrate(url: str) -> None:
    store = await open_postgres(url, now=NOON, connections=1, seconds=30, providers=PROVIDERS)
    await store.close()


@pytest.fixture
def ledger_url(postgres_server: Databases, migrated: str) -> Iterator[str]:
    """The URL of a Postgres database with the ledger's schema and no rows."""
    with fresh_database(postgres_server, template=migrated) as url:
        yield url


@pytest.fixture
async def postgres_store(ledger_url: str) -> AsyncIterator[PostgresStore]:
    """A store on Postgres: for what only Postgres does."""
    opened = await open_postgres(ledger_url, now=NOON, connections=5, seconds=20, providers=PROVIDERS)
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store on each database in turn: both behave alike."""
    opened: Store = request.getfixturevalue(f"{request.param}_store")
    return opened
