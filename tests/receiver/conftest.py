"""The receiver on an empty database, and endpoints that listen on loopback."""

from collections.abc import AsyncIterator, Callable

import pytest

from ledger.sqlite.store import SQLiteStore
from outbound.targets import Targets
from tests.conftest import Clock, Heard
from tests.receiver.endpoints import Endpoint, Outbox, guarded_client
from tests.receiver.harness import Receiver

MakeReceiver = Callable[..., Receiver]


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    """SQLite: what transactions do on each database is tested in tests/ledger."""
    return sqlite_store


@pytest.fixture
async def make_receiver(store: SQLiteStore, clock: Clock, heard: Heard) -> AsyncIterator[MakeReceiver]:
    made: list[Receiver] = []

    def make(**environment: str) -> Receiver:
        made.append(Receiver(store, clock, heard, **environment))
        return made[-1]

    yield make
    for receiver in made:
        await receiver.keys.close()
        await receiver.http.aclose()


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> Receiver:
    return make_receiver()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint().listening() as opened:
        yield opened


@pytest.fixture
async def outbox(store: SQLiteStore, clock: Clock, heard: Heard) -> AsyncIterator[Outbox]:
    targets = Targets(["127.0.0.1"])
    async with guarded_client(targets) as send:
        yield Outbox(store, clock, heard, send, targets)
