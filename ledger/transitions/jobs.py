"""Jobs: accepting and reading them."""

import hashlib
from collections.abc import Sequence

from ledger.identifiers import new_identifier
from ledger.records import JobState
from ledger.requests import AFTER_ALL_IDENTIFIERS, Accepted, NewJob
from ledger.rows import Event, Job, Receipt, jobs_from_rows
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction


def accept(job: NewJob, *, now: int) -> Transaction[Accepted]:
    """Make `job` durable, before anything else: state `accepted`, its event, and its turn to be submitted."""
    job_id, move = new_identifier("job", now), new_identifier("move", now)
    values = {
        "job_id": job_id,
        "move": move,
        "now": now,
        "provider": job.provider,
        "model": job.model,
        "input": job.input,
        "metadata": job.metadata,
        "idempotency_key": job.idempotency_key,
        "request_digest": job.digest,
        "event": "job.accepted",
        "kind": "submit",
        "due_at": now,
    }
    endpoints = [
        Call(statement, values | {"endpoint_id": endpoint_identifier(url), "url": url})
        for url in dict.fromkeys(job.notify)
        for statement in ("insert_job_endpoint", "enable_job_endpoint", "subscribe_job_endpoint")
    ]

    def read(rows: Sequence[Rows]) -> Accepted:
        found = rows[-1][0]
        return Accepted(
            job_id=found["id"], new=found["id"] == job_id, same_request=found["request_digest"] == job.digest
        )

    steps = (
        Call("insert_job"),
        Call("insert_input"),
        *endpoints,
        Call("insert_event"),
        Call("enqueue_job_work", wakes=("submit",)),
        Call("read_accepted"),
    )
    return Transaction(steps=steps, values=values, read=read)


def endpoint_identifier(url: str) -> str:
    """Name the endpoint of a `notify` URL: the same URL is the same endpoint."""
    return "ep_" + hashlib.sha256(url.encode()).hexdigest()[:24]


async def read_job(store: Store, job_id: str) -> Job | None:
    """Read one job with its outputs, or None when there is no such job."""
    rows = await store.read("read_job", {"job_id": job_id})
    return Job.from_rows(rows) if rows else None


async def list_jobs(
    store: Store,
    *,
    limit: int,
    before: str = AFTER_ALL_IDENTIFIERS,
    provider: str | None = None,
    state: JobState | None = None,
) -> list[Job]:
    """Read a page of at most `limit` jobs, newest first, of those with identifiers before `before`."""
    statement = "list_jobs"
    if provider and state:
        statement = "list_jobs_by_provider_and_state"
    elif provider:
        statement = "list_jobs_by_provider"
    elif state:
        statement = "list_jobs_by_state"
    values = {"before": before, "limit": limit, "provider": provider, "state": state and state.value}
    return list(jobs_from_rows(await store.read(statement, values)))


async def list_events(store: Store, job_id: str, *, after: int = 0) -> list[Event]:
    """Read what happened to a job, in order, after the sequence number `after`."""
    return [Event(**row) for row in await store.read("list_events", {"job_id": job_id, "after": after})]


async def list_receipts(store: Store, job_id: str) -> list[Receipt]:
    """Read every receipt that names the job, in the order they came."""
    return [Receipt(**row) for row in await store.read("list_receipts", {"job_id": job_id})]
