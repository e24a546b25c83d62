"""A job's whole life on Postgres: what it asks of the database, leaves in it, and costs on either side.

Accepted, fetched, claimed, confirmed, called back, its two deliveries made: by the ledger's own transactions, many jobs
queue's, many jobs at once, with no provider and no endpoint in between.
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
from tests.bench.postmaster import used_by, written_by
from tests.bench.specimens import INPUT, MODEL
from tests.conftest import PROVIDERS
from tests.postgres.servers import PostgresServer

JOBS = 2_000
AT_ONCE = 64


class _Counted:
    """The store, and how many statements went through it."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store
        self.statements = 0

    async def write(self, transaction: Transaction[Any]) -> Any:
        named = statements("postgres")
        self.statements += sum(bool(named[step.statement].text) for step in transaction.steps)
        return await self.store.write(transaction)


def measure(server: PostgresServer) -> dict[str, Any]:
    """Lead `JOBS` jobs through their lives in a database of their own."""
    url = server.create_database("lives")
    found = asyncio.run(_lead(server, url))
    server.drop_database("lives")
    return found


async def _lead(server: PostgresServer, url: str) -> dict[str, Any]:
    store = await open_postgres(url, now=_now(), connections=5, seconds=30, providers=PROVIDERS)
    counted = _Counted(store)
    await store.write(endpoints.put_settings_endpoint("https://example.com/hooks", now=_now()))
    [[empty]] = server.ask("SELECT pg_database_size('lives')")
    used, written, ours, began = used_by(server), written_by(server), time.process_time(), time.monotonic()
    for _ in range(JOBS // AT_ONCE):
        await asyncio.gather(*(_life(counted) for _ in range(AT_ONCE)))
    number = JOBS // AT_ONCE * AT_ONCE
    figures = {
        "jobs": number,
        "statements": round(counted.statements / number, 1),
        "seconds": round(time.monotonic() - began, 1),
        "ours_cpu_us": round(1e6 * (time.process_time() - ours) / number),
        "postgres_cpu_us": round(1e6 * (used_by(server) - used) / number),
        "wal_bytes": round((written_by(server) - written) / number),
    }
    await store.close()
    server.ask("VACUUM FULL", database="lives")
    [[full]] = server.ask("SELECT pg_database_size('lives')")
    return figures | {"bytes": round((full - empty) / number)}


async def _life(ledger: _Counted) -> None:
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
