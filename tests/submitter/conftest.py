"""Fixtures of the submitter's tests: a harness, and HTTP clients that are closed at the end."""

import contextlib
import functools
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from ledger.sqlite.store import SQLiteStore
from outbound.client import Client, open_transport
from tests.conftest import Clock, Heard
from tests.submitter.bench import Counting
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
            *, seconds: float = 5.0, max_bytes: int = 65536, cut: bool = False, connections: int = 10, **client: object
        ) -> Client:
            http = open_transport(connections=connections, **client)  # type: ignore[arg-type]  # tests name the rest
            clients.push_async_callback(http.aclose)
            return Client(http, seconds=seconds, max_bytes=max_bytes, cut=cut)

        yield opened


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    """SQLite: the ledger's behaviour on both databases is tested in tests/ledger."""
    return sqlite_store


@pytest.fixture
def harness(store: SQLiteStore, clock: Clock, heard: Heard) -> Harness:
    return Harness(store, clock, heard)


@pytest.fixture
def counting(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(store, monkeypatch)
