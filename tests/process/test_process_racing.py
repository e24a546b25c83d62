"""A callback and a poll of the same job at once, 200 times."""

import asyncio
import base64
import contextlib
import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest
from nacl.signing import SigningKey

from ledger.ledger import Ledger
from ledger.requests import NewJob, ProviderRequest
from ledger.sqlite.store import SQLiteStore
from ledger.transitions import deliveries, endpoints, events, jobs, submissions
from ledger.transitions import queue as work
from providers.callback_tokens import CallbackTokens
from providers.fal.callbacks import FalWebhook, published_keys
from providers.fal.provider import FalAccount
from providers.http import Request, Response
from providers.provider import Context
from receiver.callbacks.application import Callbacks
from receiver.callbacks.sources import open_sources
from submitter.poll import Poller
from tests.conftest import Clock, EmittedEvents
from tests.ledger import queues

RACES = 200
PAYLOAD = {"image": {"url": "https://files.example/a.png", "content_type": "image/png"}}
FAILURE = {"detail": [{"loc": ["body"], "msg": "no face", "type": "face_detection_error"}]}


class Fal:
    """A fal that has finished every request: responds to polls after a moment, and signs callbacks."""

    def __init__(self, clock: Clock) -> None:
        self.key = SigningKey.generate()
        self.dice = random.Random(7)
        self._clock = clock

    async def __call__(self, request: Request) -> Response:
        await self.moment()
        if request.url.endswith("/status"):
            return Response(status=200, body=b'{"status": "COMPLETED"}')
        number = int(request.url.rpartition("/")[2].partition("-")[2])
        payload = PAYLOAD if number % 2 else FAILURE  # half the polls contradict the callback
        return Response(status=200 if number % 2 else 422, body=json.dumps(payload).encode())

    async def moment(self, longest: int = 12) -> None:
        for _ in range(self.dice.randrange(longest)):
            await asyncio.sleep(0)

    def callback(self, request_id: str) -> tuple[dict[str, str], bytes]:
        content = {"request_id": request_id, "gateway_request_id": request_id, "status": "OK", "payload": PAYLOAD}
        body = json.dumps(content).encode()
        timestamp = str(self._clock() // 1000)
        message = "\n".join([request_id, "us", timestamp, hashlib.sha256(body).hexdigest()])
        signed = {"Request-Id": request_id, "User-Id": "us", "Timestamp": timestamp}
        signed["Signature"] = self.key.sign(message.encode()).signature.hex()
        return {f"X-Fal-Webhook-{name}": value for name, value in signed.items()}, body

    async def jwks(self, request: Request) -> Response:
        x = base64.urlsafe_b64encode(bytes(self.key.verify_key)).rstrip(b"=").decode()
        return Response(status=200, body=json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).encode())


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    """SQLite: one process with one writer."""
    return sqlite_store


async def test_callback_and_poll_racing_leave_one_outcome_and_one_delivery_each(
    store: SQLiteStore, clock: Clock, emitted: EmittedEvents, tmp_path: Path
) -> None:
    fal, tokens = Fal(clock), CallbackTokens(["a key of sixteen"])
    webhook = FalWebhook(user_id="us", tolerance_seconds=300, keys=published_keys("https://keys.example"))
    account = FalAccount(
        queue_url="https://queue.example",
        key="k",
        context=Context(provider="fal", public_url="https://us.example", tokens=tokens),
        poll_every=1000,
        reconcile_every=1000,
        give_up_after=60_000,
    )
    poller = Poller(Ledger(store, clock), {"fal": account}, fal, clock=clock, emit=emitted)
    await store.write(endpoints.put_settings_endpoint("https://all.example", now=clock()))
    won: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    async with contextlib.AsyncExitStack() as stack:
        opening = open_sources({"fal": webhook}, fal.jwks, prefetch=False, emit=emitted)
        sources = await stack.enter_async_context(opening)
        callbacks = Callbacks(
            Ledger(store, clock), sources, tokens, clock=clock, emit=emitted, max_result_bytes=1 << 20
        )
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=callbacks), base_url="http://us")
        http = await stack.enter_async_context(client)
        for number in range(RACES):
            job_id = await submitted(store, clock, f"request-{number}")
            (task,) = await store.write(work.fetch("poll", now=clock(), until=clock() + 60_000, limit=1))

            async def call(job_id: str = job_id, number: int = number) -> httpx.Response:
                headers, body = fal.callback(f"request-{number}")
                await fal.moment(120)  # the poll needs two answers, and reads the job before
                return await http.post(f"/callbacks/fal/{tokens.sign(job_id)}", content=body, headers=headers)

            answer, _ = await asyncio.gather(call(), poller.handle(task))
            assert answer.status_code == 200
            job = await jobs.read_job(store, job_id)
            assert job is not None
            won[str(job.source)] += 1
            results = Counter(receipt.result for receipt in await jobs.list_receipts(store, job_id))
            assert results.pop("recorded") == 1
            lost.update(results)
            types = [event.type for event in await events.list_events(store, job_id)]
            assert types == ["job.accepted", "job.submitted", f"job.{job.state.value}"]
            [named] = [row["id"] for row in await queues.ask(store, "SELECT id FROM endpoints WHERE source = 'job'")]
            made = await deliveries.list_deliveries_of_subject(store, job_id)
            assert sorted((each.sequence, each.endpoint_id) for each in made) == sorted(
                (sequence, endpoint) for sequence in (2, 3) for endpoint in ("ep_settings", named)
            )
    assert won["callback"] + won["poll"] == RACES
    assert min(won["callback"], won["poll"]) > RACES // 10, won
    assert min(lost["duplicate"], lost["conflict"]) > 0, lost
    assert await store.read("next_due", {"kind": "poll"}) == [{"due_at": None}]


async def submitted(store: SQLiteStore, clock: Clock, request_id: str) -> str:
    new = NewJob(provider="fal", model="a/b", input="{}", notify=("https://one.example",))
    accepted = await store.write(jobs.accept(new, now=clock()))
    await store.write(submissions.claim(accepted.job_id, now=clock(), until=clock() + 1000))
    handle = ProviderRequest(request_id=request_id)
    assert await store.write(submissions.confirm(accepted.job_id, "fal", handle, now=clock(), poll_at=clock()))
    return accepted.job_id
