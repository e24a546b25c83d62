"""The cost of one job on Postgres, from its acceptance to its last delivery: statements, CPU, bytes.

Each job is accepted, fetched, claimed, confirmed, recorded and delivered by the ledger's own transitions, many at once,
without a provider or an endpoint.
"""

import asyncio
import time
import uuid
from typing import Any

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.records import Outcome, Output
from ledger.requests import Attempted, NewJob, ProviderRequest, Report
from ledger.storage.statements import statements
from ledger.storage.transaction import Transaction
from ledger.transitions import deliveries, endpoints, jobs, outcomes, submissions
from ledger.transitions import queue as work
from tests.bench.postgres_usage import cpu_seconds, wal_bytes_written
from tests.bench.sample_jobs import INPUT, MODEL
from tests.conftest import PROVIDERS
from tests.postgres.servers import PostgresServer

JOBS = 2_000
AT_ONCE = 64


class _Counted:
    """A store that counts its statements."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store
        self.statements = 0

    async def write(self, transaction: Transaction[Any]) -> Any:
        named = statements("postgres")
        self.statements += sum(bool(named[step.statement].text) for step in transaction.steps)
        return await self.store.write(transaction)


def measure(server: PostgresServer) -> dict[str, Any]:
    """Take `JOBS` jobs from acceptance to their last delivery, in a database of their own."""
    url = server.create_database("job_cost")
    found = asyncio.run(_measure(server, url))
    server.drop_database("job_cost")
    return found


async def _measure(server: PostgresServer, url: str) -> dict[str, Any]:
    store = await open_postgres(url, now=_now(), connections=5, seconds=30, providers=PROVIDERS)
    counted = _Counted(store)
    await store.write(endpoints.put_settings_endpoint("https://example.com/hooks", now=_now()))
    [[empty]] = server.query("SELECT pg_database_size('job_cost')")
    used, written, ours, began = cpu_seconds(server), wal_bytes_written(server), time.process_time(), time.monotonic()
    for _ in range(JOBS // AT_ONCE):
        await asyncio.gather(*(_one_job(counted) for _ in range(AT_ONCE)))
    number = JOBS // AT_ONCE * AT_ONCE
    figures = {
        "jobs": number,
        "statements": round(counted.statements / number, 1),
        "seconds": round(time.monotonic() - began, 1),
        "ours_cpu_us": round(1e6 * (time.process_time() - ours) / number),
        "postgres_cpu_us": round(1e6 * (cpu_seconds(server) - used) / number),
        "wal_bytes": round((wal_bytes_written(server) - written) / number),
    }
    await store.close()
    server.query("VACUUM FULL", database="job_cost")
    [[full]] = server.query("SELECT pg_database_size('job_cost')")
    return figures | {"bytes": round((full - empty) / number)}


async def _one_job(ledger: _Counted) -> None:
    now, request_id = _now(), str(uuid.uuid4())
    accepted = await ledger.write(
        jobs.accept(NewJob(provider="fal", model=MODEL, input=INPUT, metadata='{"order":"A-4711"}'), now=now)
    )
    await ledger.write(work.fetch("submit", now=now, until=now + 20_000, limit=1))
    await ledger.write(submissions.claim(accepted.job_id, now=now, until=now + 60_000))
    base = f"https://queue.fal.run/half-moon-ai/ai-face-swap/requests/{request_id}"
    handle = ProviderRequest(
        request_id=request_id, status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel"
    )
    await ledger.write(submissions.confirm(accepted.job_id, "fal", handle, now=now, poll_at=now + 3_600_000))
    output = Output(url=f"https://v3.fal.media/files/lion/{accepted.job_id[4:]}_output.mp4", content_type="video/mp4")
    report = Report(
        job_id=accepted.job_id,
        provider="fal",
        source="callback",
        request_id=request_id,
        outcome=Outcome.completed((output,), processing_time_ms=41_230),
        headers='{"x-fal-webhook-signature":"' + "0" * 128 + '"}',
        body=b'{"payload":{"video":{"url":"' + output.url.encode() + b'"}}}',
    )
    await ledger.write(outcomes.record(report, now=now))
    for delivery in await deliveries.list_deliveries_of_subject(ledger.store, accepted.job_id):
        attempted = Attempted(at=now, latency_ms=12, status=200, error=None, response=b"ok")
        await ledger.write(deliveries.finish(delivery.id, attempted, "delivered", now=now))


def _now() -> int:
    return time.time_ns() // 1_000_000
