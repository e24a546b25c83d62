"""Jobs that the database has as submitted to fal, and the callback of each, signed as fal signs."""

import asyncio
import time
import uuid
from dataclasses import dataclass

from nacl.signing import SigningKey

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.requests import NewJob, ProviderRequest
from ledger.transitions import jobs, submissions
from providers.callback_tokens import CallbackTokens
from tests.bench.dataset import Signed, sign
from tests.conftest import PROVIDERS

A_DAY_MS = 24 * 3600 * 1000
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class SubmittedJob:
    """A submitted job, which no sandbox knows."""

    job_id: str
    request_id: str

    def callback(self, key: SigningKey, secret_key: str) -> Signed:
        """Sign it, dated now."""
        return sign(key, self.job_id, CallbackTokens([secret_key]).sign(self.job_id), self.request_id)


async def create_submitted_jobs(url: str, count: int) -> list[SubmittedJob]:
    """Create `count` submitted fal jobs by the ledger's own transitions, before any worker runs."""
    store = await open_postgres(url, now=_now(), connections=4, seconds=TIMEOUT_SECONDS, providers=PROVIDERS)
    try:
        return list(await asyncio.gather(*(_submitted(store) for _ in range(count))))
    finally:
        await store.close()


async def _submitted(store: PostgresStore) -> SubmittedJob:
    now = _now()
    accepted = await store.write(jobs.accept(NewJob(provider="fal", model="a/model", input="{}"), now=now))
    submitted_job = SubmittedJob(accepted.job_id, str(uuid.uuid4()))
    await store.write(submissions.claim(submitted_job.job_id, now=now, until=now + A_DAY_MS))
    handle = ProviderRequest(request_id=submitted_job.request_id)
    await store.write(submissions.confirm(submitted_job.job_id, "fal", handle, now=now, poll_at=now + A_DAY_MS))
    return submitted_job


def _now() -> int:
    return time.time_ns() // 1_000_000
