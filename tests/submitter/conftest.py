"""Fixtures of the submitter's tests: a harness, and HTTP clients that are closed at the end."""

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from ledger.storage.store import Store
from outbound.client import Client, open_transport
from tests.conftest import Clock, EmittedEvents
from tests.database import Database
from tests.submitter.gated_handler import FetchCounter
from tests.submitter.harness import Harness

Opening = Callable[..., Client]


one_context = functools.cache(ssl.create_default_context)
"""Reading the machine's certificates takes longer than most tests."""


@pytest.fixture
async def opening(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opening]:
    """Open HTTP clients that are closed at the end."""
    monkeypatch.setattr(ssl, "create_default_context", one_context)
    async with contextlib.AsyncExitStack() as clients:

        def opened(
            *,
            seconds: float = 5.0,
            max_bytes: int = 65536,
            status_suffices: bool = False,
            connections: int = 10,
            **client: object,
        ) -> Client:
            http = open_transport(connections=connections, **client)  # type: ignore[arg-type]  # tests name the rest
            clients.push_async_callback(http.aclose)
            return Client(http, seconds=seconds, max_bytes=max_bytes, status_suffices=status_suffices)

        yield opened


@pytest.fixture
def store(request: pytest.FixtureRequest, database: Database) -> Store:
    """The store on the test's database: most modules are marked `ON_BOTH_DATABASES`."""
    opened: Store = request.getfixturevalue(f"{database.kind}_store")
    return opened


@pytest.fixture
def harness(store: Store, clock: Clock, emitted: EmittedEvents) -> Harness:
    return Harness(store, clock, emitted)


@pytest.fixture
def fetch_counter(store: Store, monkeypatch: pytest.MonkeyPatch) -> FetchCounter:
    return FetchCounter(store, monkeypatch)
