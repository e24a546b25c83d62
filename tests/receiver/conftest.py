"""The receiver on an empty database, and endpoints that listen on loopback."""

from collections.abc import AsyncIterator, Callable

import pytest

from ledger.storage.store import Store
from outbound.targets import Targets
from tests.conftest import Clock, EmittedEvents
from tests.database import Database
from tests.receiver.endpoints import Endpoint, Outbox, guarded_client
from tests.receiver.harness import Receiver

MakeReceiver = Callable[..., Receiver]


@pytest.fixture
def store(request: pytest.FixtureRequest, database: Database) -> Store:
    """The store on the test's database.

    Tests of what is recorded, listed, leased or delivered are marked `ON_BOTH_DATABASES`. Tests of the shape of HTTP
    (bodies, problems, keys, settings) only need some store: SQLite, once.
    """
    opened: Store = request.getfixturevalue(f"{database.kind}_store")
    return opened


@pytest.fixture
async def make_receiver(
    store: Store, database: Database, clock: Clock, emitted: EmittedEvents
) -> AsyncIterator[MakeReceiver]:
    made: list[Receiver] = []

    def make(**environment: str) -> Receiver:
        made.append(Receiver(store, database, clock, emitted, **environment))
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
async def outbox(store: Store, clock: Clock, emitted: EmittedEvents) -> AsyncIterator[Outbox]:
    targets = Targets(["127.0.0.1"])
    async with guarded_client(targets) as send:
        yield Outbox(store, clock, emitted, send, targets)
