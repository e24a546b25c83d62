"""The receiver as the tests need it: put together on a fresh ledger, and endpoints that really listen."""

from collections.abc import AsyncIterator, Callable

import pytest

from ledger.sqlite.store import SQLiteStore
from outbound.targets import Targets
from tests.conftest import Clock, Heard
from tests.receiver.endpoints import Endpoint, Office, guarded_exchange
from tests.receiver.house import House

MakeHouse = Callable[..., House]


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    """Only a place here: what the ledger's transactions do on each database is tested in tests/ledger."""
    return sqlite_store


@pytest.fixture
async def make_house(store: SQLiteStore, clock: Clock, heard: Heard) -> AsyncIterator[MakeHouse]:
    made: list[House] = []

    def make(**options: object) -> House:
        made.append(House(store, clock, heard, **options))
        return made[-1]

    yield make
    for house in made:
        await house.keys.close()
        await house.http.aclose()


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    return make_house()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint().listening() as opened:
        yield opened


@pytest.fixture
async def office(store: SQLiteStore, clock: Clock, heard: Heard) -> AsyncIterator[Office]:
    targets = Targets(["127.0.0.1"])
    async with guarded_exchange(targets) as send:
        yield Office(store, clock, heard, send, targets)
