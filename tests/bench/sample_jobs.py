"""One job in each state, brought there by the ledger's own transitions."""

import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from ledger.records import Outcome, Output
from ledger.requests import Attempted, NewJob, ProviderRequest, Report
from ledger.sqlite.store import SQLiteStore, open_sqlite
from ledger.transitions import deliveries, endpoints, jobs, outcomes, submissions
from tests.conftest import PROVIDERS
from tests.ledger.queues import ask

MODEL = "half-moon-ai/ai-face-swap/faceswapvideo"
INPUT = json.dumps(
    {
        "source_face_url": "https://storage.example.com/faces/0f9d2c1b-7a5e-4f0a-9c3d.jpg",
        "target_video_url": "https://storage.example.com/videos/5b1a9e70-3c44-4d1e-8f6a.mp4",
    }
)
A_DAY_MS = 24 * 3600 * 1000


class SampleJob(NamedTuple):
    """The ids that its rows contain."""

    job_id: str
    request_id: str


async def submitted(path: Path) -> SampleJob:
    """Create a job that fal has accepted, without deliveries."""
    async with _store(path) as store:
        return await _submitted(store)


async def pending(path: Path) -> SampleJob:
    """Create a completed job with a pending delivery to the settings' endpoint."""
    async with _store(path) as store:
        sample = await _submitted(store)
        await store.write(endpoints.put_settings_endpoint("https://example.com/hooks", now=_now()))
        await _recorded(store, sample)
        return sample


async def finished(path: Path) -> SampleJob:
    """Create a completed job whose events were delivered to the settings' endpoint, each at the first attempt."""
    async with _store(path) as store:
        await store.write(endpoints.put_settings_endpoint("https://example.com/hooks", now=_now()))
        sample = await _submitted(store)
        await _recorded(store, sample)
        for delivery in await deliveries.list_deliveries_of_subject(store, sample.job_id):
            attempted = Attempted(at=_now(), latency_ms=12, status=200, error=None, response=b"ok")
            await store.write(deliveries.finish(delivery.id, attempted, "delivered", now=_now()))
        return sample


@contextlib.asynccontextmanager
async def _store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = await open_sqlite(path, now=_now(), providers=PROVIDERS)
    try:
        await ask(store, "UPDATE endpoints SET removed_at = %s", _now())  # no endpoint receives later events
        yield store
    finally:
        await store.close()


async def _submitted(store: SQLiteStore) -> SampleJob:
    now, request_id = _now(), str(uuid.uuid4())
    new = NewJob(provider="fal", model=MODEL, input=INPUT, metadata='{"order":"A-4711"}')
    accepted = await store.write(jobs.accept(new, now=now))
    await store.write(submissions.claim(accepted.job_id, now=now, until=now + 60_000))
    base = f"https://queue.fal.run/half-moon-ai/ai-face-swap/requests/{request_id}"
    handle = ProviderRequest(
        request_id=request_id, status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel"
    )
    await store.write(submissions.confirm(accepted.job_id, "fal", handle, now=now, poll_at=now + A_DAY_MS))
    return SampleJob(accepted.job_id, request_id)


async def _recorded(store: SQLiteStore, sample: SampleJob) -> None:
    output = Output(
        url=f"https://v3.fal.media/files/lion/{sample.job_id[4:]}_output.mp4",
        content_type="video/mp4",
        file_name="output.mp4",
        file_size=4_404_019,
    )
    body = {"request_id": sample.request_id, "status": "OK", "payload": {"video": {"url": output.url}}}
    report = Report(
        job_id=sample.job_id,
        provider="fal",
        source="callback",
        request_id=sample.request_id,
        outcome=Outcome.completed((output,), processing_time_ms=41_230),
        headers=json.dumps({"x-fal-webhook-signature": "0" * 128, "x-fal-webhook-timestamp": "1795258947"}),
        body=json.dumps(body).encode(),
    )
    await store.write(outcomes.record(report, now=_now()))


def _now() -> int:
    return time.time_ns() // 1_000_000
