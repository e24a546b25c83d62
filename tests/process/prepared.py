"""Jobs that the ledger holds to be with fal already, and the callback of each, signed by tests as fal would."""

import asyncio
import time
import uuid
from dataclasses import dataclass

from nacl.signing import SigningKey

from ledger.postgres.store import PostgresStore, open_postgres
from ledger.requests import NewJob, ProviderRequest
from ledger.transitions import jobs, submissions
from providers.callback_tokens import CallbackTokens
from tests.bench.ground import Signed, sign
from tests.conftest import PROVIDERS

FAR_AWAY_MS = 24 * 3600 * 1000
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Prepared:
    """A submitted job of the ledger's, which no sandbox knows."""

    job_id: str
    request_id: str

    def callback(self, key: SigningKey, secret_key: str) -> Signed:
        """Sign it, dated now."""
        return sign(key, self.job_id, CallbackTokens([secret_key]).sign(self.job_id), self.request_id)


async def prepare(url: str, count: int) -> list[Prepared]:
    """Make `count` submitted fal jobs by the ledger's own transactions, before any worker runs."""
    store = await open_postgres(url, now=_now(), connections=4, seconds=PATIENCE_SECONDS, providers=PROVIDERS)
    try:
        return list(await asyncio.gather(*(_submitted(store) for _ in range(count))))
    finally:
        await store.close()


async def _submitted(store: PostgresStore) -> Prepared:
    now = _now()
    accepted = await store.write(jobs.accept(NewJob(provider="fal", model="a/model", input="{}"), now=now))
    prepared = Prepared(accepted.job_id, str(uuid.uuid4()))
    await store.write(submissions.claim(prepared.job_id, now=now, until=now + FAR_AWAY_MS))
    handle = ProviderRequest(request_id=prepared.request_id)
    await store.write(submissions.confirm(prepared.job_id, "fal", handle, now=now, poll_at=now + FAR_AWAY_MS))
    return prepared


def _now() -> int:
    return time.time_ns() // 1_000_000
