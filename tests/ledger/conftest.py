"""Short ways to bring a job where a test needs it."""

from collections.abc import Awaitable, Callable

import pytest

from ledger import jobs, outcomes, submissions, work
from ledger.jobs import NewJob
from ledger.outcomes import Report
from ledger.records import Fault, JobError, Outcome, Output, RecordResult
from ledger.rows import Job
from ledger.sqlite import SQLiteStore
from ledger.submissions import Handle
from ledger.work import Kind, Task
from tests.conftest import NOON

DONE = Outcome.completed((Output(url="https://v3b.fal.media/files/a/b.mp4", content_type="video/mp4", file_size=7),))
BROKEN = Outcome.failed(JobError(fault=Fault.INPUT, code="face_detection_error", message="no face"))


class Story:
    """Tells a job's life in verbs, at times given in seconds after noon."""

    def __init__(self, store: SQLiteStore) -> None:
        self.store = store

    async def accept(self, at: float = 0, **fields: object) -> str:
        new = NewJob(**({"provider": "fal", "model": "a/b", "input": "{}"} | fields))  # type: ignore[arg-type]  # tests name the fields
        return (await self.store.write(jobs.accept(new, now=ms(at)))).job_id

    async def begin(self, job_id: str, at: float = 1, until: float = 61) -> str:
        begun = await self.store.write(submissions.begin(job_id, now=ms(at), until=ms(until)))
        assert begun.claim is not None
        return begun.claim

    async def submit(self, request_id: str = "req-1", at: float = 1, **fields: object) -> str:
        job_id = await self.accept(at, **fields)
        await self.begin(job_id, at)
        assert await self.confirm(job_id, request_id, at)
        return job_id

    async def confirm(self, job_id: str, request_id: str = "req-1", at: float = 2) -> bool:
        verb = submissions.confirm(job_id, "fal", Handle(request_id=request_id), now=ms(at), check_at=ms(at + 60))
        return await self.store.write(verb)

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

    async def fetch(self, kind: Kind, at: float, until: float | None = None) -> list[Task]:
        until = at + 60 if until is None else until
        return list(await self.store.write(work.fetch(kind, now=ms(at), until=ms(until), limit=100)))

    async def job(self, job_id: str) -> Job:
        job = await jobs.read_job(self.store, job_id)
        assert job is not None
        return job

    async def events(self, job_id: str) -> list[str]:
        return [event.type for event in await jobs.list_events(self.store, job_id)]


def ms(seconds: float) -> int:
    return NOON + round(seconds * 1000)


@pytest.fixture
def story(store: SQLiteStore) -> Story:
    return Story(store)


@pytest.fixture
def count(store: SQLiteStore) -> Callable[[str], Awaitable[int]]:
    """Count the rows of a table, past the ledger's own statements."""

    async def rows(table: str) -> int:
        found = await store._reader.execute_fetchall(f"SELECT count(*) AS number FROM {table}")
        return int(next(iter(found))["number"])

    return rows
