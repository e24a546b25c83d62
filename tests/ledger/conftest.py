"""Fixtures of the ledger's tests, and `Scenario`, which brings jobs into the states that tests need."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.records import Fault, JobError, Outcome, Output, RecordResult
from ledger.requests import Kind, NewJob, ProviderRequest, Report, Task
from ledger.rows import Job
from ledger.storage.store import Store
from ledger.transitions import events, jobs, outcomes, submissions
from ledger.transitions import queue as work
from tests.conftest import NOON, PROVIDERS
from tests.ledger import queues
from tests.postgres.databases import fresh_database
from tests.postgres.servers import PostgresServer, serving

DONE = Outcome.completed((Output(url="https://v3b.fal.media/files/a/b.mp4", content_type="video/mp4", file_size=7),))
BROKEN = Outcome.failed(JobError(fault=Fault.INPUT, code="face_detection_error", message="no face"))
UNREAD = JobError(fault=Fault.NETWORK, code="answer_unread", message="it is unknown whether fal runs this job")


class Scenario:
    """Moves jobs through their states by the ledger's own transactions. Times are seconds after `NOON`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def accept(self, at: float = 0, **fields: object) -> str:
        new = NewJob(**({"provider": "fal", "model": "a/b", "input": "{}"} | fields))  # type: ignore[arg-type]  # tests name the fields
        return (await self.store.write(jobs.accept(new, now=ms(at)))).job_id

    async def begin(self, job_id: str, at: float = 1, until: float = 61) -> str:
        claimed = await self.store.write(submissions.claim(job_id, now=ms(at), until=ms(until)))
        assert claimed.claim is not None
        return claimed.claim

    async def submit(self, request_id: str = "req-1", at: float = 1, **fields: object) -> str:
        job_id = await self.accept(at, **fields)
        await self.begin(job_id, at)
        assert await self.confirm(job_id, request_id, at)
        return job_id

    async def confirm(self, job_id: str, request_id: str = "req-1", at: float = 2) -> bool:
        transaction = submissions.confirm(
            job_id, "fal", ProviderRequest(request_id=request_id), now=ms(at), poll_at=ms(at + 60)
        )
        return await self.store.write(transaction)

    async def report(
        self,
        job_id: str,
        outcome: Outcome | None = DONE,
        *,
        request_id: str = "req-1",
        source: str = "callback",
        at: float = 30,
    ) -> RecordResult:
        report = Report(
            job_id=job_id,
            provider="fal",
            source=source,  # type: ignore[arg-type]  # tests say callback or poll
            request_id=request_id,
            outcome=outcome,
            headers="{}",
            body=b'{"raw": true}',
        )
        return await self.store.write(outcomes.record(report, now=ms(at)))

    async def fetch(self, kind: Kind, at: float, until: float | None = None, limit: int = 100) -> list[Task]:
        """Lease what is due at `at` until `until`, by default for a minute."""
        until = at + 60 if until is None else until
        return list(await self.store.write(work.fetch(kind, now=ms(at), until=ms(until), limit=limit)))

    async def job(self, job_id: str) -> Job:
        job = await jobs.read_job(self.store, job_id)
        assert job is not None
        return job

    async def events(self, job_id: str) -> list[str]:
        return [event.type for event in await events.list_events(self.store, job_id)]


def ms(seconds: float) -> int:
    return NOON + round(seconds * 1000)


@pytest.fixture
def scenario(store: Store) -> Scenario:
    return Scenario(store)


@pytest.fixture
def count(store: Store) -> Callable[[str], Awaitable[int]]:
    """Return a function that counts the rows of a table."""

    async def rows(table: str) -> int:
        [found] = await queues.ask(store, f"SELECT count(*) AS number FROM {table}")
        return int(found["number"])

    return rows


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A Postgres server for one test module, which its tests may stop and damage."""
    with serving(fsync=False) as started:
        yield started


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """An empty database on `server`."""
    with fresh_database(server) as made:
        yield made


Opening = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
async def opening(url: str) -> AsyncIterator[Opening]:
    """Return a function that opens a store on a database. All are closed at the end, in bounded time."""
    opened: list[PostgresStore] = []

    async def open_one(at: str = url, *, connections: int = 5, seconds: float = 1.0) -> PostgresStore:
        opened.append(await open_postgres(at, now=NOON, connections=connections, seconds=seconds, providers=PROVIDERS))
        return opened[-1]

    yield open_one
    async with asyncio.timeout(10):
        await asyncio.gather(*(store.close() for store in opened))
