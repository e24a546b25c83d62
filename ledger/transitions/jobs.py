"""Jobs: accepting and reading them."""

from collections.abc import Sequence

from ledger.identifiers import new_identifier
from ledger.records import EventType, JobState
from ledger.requests import AFTER_ALL_IDENTIFIERS, Accepted, NewJob
from ledger.rows import Job, Receipt, jobs_from_rows
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction
from ledger.transitions.events import event_values, publish


def accept(job: NewJob, *, now: int) -> Transaction[Accepted]:
    """Insert a job in state `accepted`, with its event and its `submit` task."""
    job_id = new_identifier("job", now)
    values = event_values(EventType.JOB_ACCEPTED, job_id, new_identifier("tran", now), now=now) | {
        "job_id": job_id,
        "provider": job.provider,
        "model": job.model,
        "input": job.input,
        "short_input": job.short_input,
        "metadata": job.metadata,
        "idempotency_key": job.idempotency_key,
        "request_digest": job.digest,
        "kind": "submit",
        "due_at": now,
    }
    endpoints = [
        Call(statement, values | {"endpoint_id": new_identifier("ep", now), "url": url})
        for url in sorted(set(job.notify))  # always in this order, or two transactions could deadlock
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
        *publish(EventType.JOB_ACCEPTED),
        Call("enqueue_job_work", wakes=("submit",)),
        Call("read_accepted"),
    )
    return Transaction(steps=steps, values=values, read=read)


async def read_job(store: Store, job_id: str) -> Job | None:
    """Read one job with its outputs, or None."""
    rows = await store.read("read_job", {"job_id": job_id})
    return Job.from_rows(rows) if rows else None


async def read_input(store: Store, job_id: str) -> str | None:
    """Read the whole input of a job, or None when there is no such job."""
    rows = await store.read("read_input", {"job_id": job_id})
    return rows[0]["input"] if rows else None


async def list_jobs(
    store: Store,
    *,
    limit: int,
    before: str = AFTER_ALL_IDENTIFIERS,
    provider: str | None = None,
    state: JobState | None = None,
) -> list[Job]:
    """Read at most `limit` jobs, newest first, with identifiers before `before`."""
    statement = "list_jobs"
    if provider and state:
        statement = "list_jobs_by_provider_and_state"
    elif provider:
        statement = "list_jobs_by_provider"
    elif state:
        statement = "list_jobs_by_state"
    values = {"before": before, "limit": limit, "provider": provider, "state": state and state.value}
    return list(jobs_from_rows(await store.read(statement, values)))


async def list_receipts(store: Store, job_id: str) -> list[Receipt]:
    """Read every receipt that names the job, oldest first."""
    return [Receipt(**row) for row in await store.read("list_receipts", {"job_id": job_id})]


async def list_named_requests(store: Store, job_id: str, *, limit: int) -> list[str]:
    """Read the request ids that pending callbacks of a job named, oldest first."""
    rows = await store.read("list_named_requests", {"job_id": job_id, "limit": limit})
    return [row["request_id"] for row in rows]
