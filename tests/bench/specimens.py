"""One job of each kind, brought to its state by the transactions that bring every job there."""

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
FAR_AWAY_MS = 24 * 3600 * 1000


class Specimen(NamedTuple):
    """The names by which its rows are known."""

    job_id: str
    request_id: str


async def submitted(path: Path) -> Specimen:
    """Bring a job to where fal has it; nobody is told of that."""
    async with _store(path) as store:
        return await _submitted(store)


async def pending(path: Path) -> Specimen:
    """Bring a job to its end, of which the settings' endpoint is still to be told."""
    async with _store(path) as store:
        specimen = await _submitted(store)
        await store.write(endpoints.put_settings_endpoint("https://example.com/hooks", now=_now()))
        await _recorded(store, specimen)
        return specimen


async def finished(path: Path) -> Specimen:
    """Bring a job to its end, the settings' endpoint told of submission and end, each at the first attempt."""
    async with _store(path) as store:
        await store.write(endpoints.put_settings_endpoint("https://example.com/hooks", now=_now()))
        specimen = await _submitted(store)
        await _recorded(store, specimen)
        for delivery in await deliveries.list_deliveries_of_subject(store, specimen.job_id):
            attempted = Attempted(at=_now(), latency_ms=12, status=200, error=None, response=b"ok")
            await store.write(deliveries.finish(delivery.id, attempted, "delivered", now=_now()))
        return specimen


@contextlib.asynccontextmanager
async def _store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = await open_sqlite(path, now=_now(), providers=PROVIDERS)
    try:
        await ask(store, "UPDATE endpoints SET removed_at = %s", _now())  # no endpoint hears of what follows
        yield store
    finally:
        await store.close()


async def _submitted(store: SQLiteStore) -> Specimen:
    now, request_id = _now(), str(uuid.uuid4())
    new = NewJob(provider="fal", model=MODEL, input=INPUT, metadata='{"order":"A-4711"}')
    accepted = await store.write(jobs.accept(new, now=now))
    await store.write(submissions.claim(accepted.job_id, now=now, until=now + 60_000))
    base = f"https://queue.fal.run/half-moon-ai/ai-face-swap/requests/{request_id}"
    handle = ProviderRequest(
        request_id=request_id, status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel"
    )
    await store.write(submissions.confirm(accepted.job_id, "fal", handle, now=now, poll_at=now + FAR_AWAY_MS))
    return Specimen(accepted.job_id, request_id)


async def _recorded(store: SQLiteStore, specimen: Specimen) -> None:
    output = Output(
        url=f"https://v3.fal.media/files/lion/{specimen.job_id[4:]}_output.mp4",
        content_type="video/mp4",
        file_name="output.mp4",
        file_size=4_404_019,
    )
    body = {"request_id": specimen.request_id, "status": "OK", "payload": {"video": {"url": output.url}}}
    report = Report(
        job_id=specimen.job_id,
        provider="fal",
        source="callback",
        request_id=specimen.request_id,
        outcome=Outcome.completed((output,), processing_time_ms=41_230),
        headers=json.dumps({"x-fal-webhook-signature": "0" * 128, "x-fal-webhook-timestamp": "1795258947"}),
        body=json.dumps(body).encode(),
    )
    await store.write(outcomes.record(report, now=_now()))


def _now() -> int:
    return time.time_ns() // 1_000_000
