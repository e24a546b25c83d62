"""What providers and endpoints quote of our requests is in no error, event, receipt or notification."""

import json

import pytest

from ledger.ledger import Ledger
from ledger.records import Fault, JobError, Outcome
from ledger.requests import Report
from ledger.storage.store import Store
from outbound.client import Client, open_transport
from providers.http import Request, Response
from settings.redaction import Redactor
from tests.conftest import Clock, EmittedEvents
from tests.database import ON_BOTH_DATABASES
from tests.receiver.endpoints import Endpoint, Outbox, answer
from tests.submitter.harness import KEY, TOKENS, Harness, response

TARGET = "https://u.example/hook?token=in-the-query-of-a-user"


class QuotingProvider:
    """Refuses a request, and quotes it whole."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.quoted = ""

    async def __call__(self, request: Request) -> Response:
        self.quoted = f"{request.method} {request.url} Authorization: {request.headers['Authorization']} for {TARGET}"
        return response(self.status, {"detail": self.quoted})


@ON_BOTH_DATABASES
@pytest.mark.parametrize("status", [400, 401, 403, 422, 500])
async def test_a_provider_that_quotes_the_request_reveals_nothing(
    store: Store, clock: Clock, emitted: EmittedEvents, status: int
) -> None:
    harness, provider = Harness(store, clock, emitted), QuotingProvider(status)
    submitter = harness.submitter(provider)
    job_id = await harness.accept()
    for _ in range(3):
        for task in await harness.due("submit"):
            await submitter.handle(task)
        clock.pass_seconds(86_400)
    kept = repr(await harness.ledger.job(job_id)) + repr(emitted)
    for secret in (KEY, TOKENS.sign(job_id), "in-the-query-of-a-user"):
        assert secret in provider.quoted
        assert secret not in kept


@ON_BOTH_DATABASES
async def test_a_poll_that_quotes_the_key_is_kept_without_it_and_a_callback_as_it_was_signed(
    store: Store, clock: Clock
) -> None:
    ledger = Ledger(store, clock, Redactor([KEY]))
    harness = Harness(store, clock, EmittedEvents())
    failed = Outcome.failed(JobError(fault=Fault.PROVIDER, code="failed", message=f"Key {KEY} at {TARGET}"))
    for source in ("poll", "callback"):
        job_id = await harness.submitted(request_id=f"req-{source}")
        body = json.dumps({"error": f"Key {KEY} at {TARGET}"}).encode()
        report = Report(
            job_id=job_id,
            provider="fal",
            source=source,
            request_id=f"req-{source}",
            outcome=failed,
            headers="{}",
            body=body,
        )
        await ledger.record(report)
        job = await ledger.job(job_id)
        assert job is not None
        assert job.error is not None
        assert job.error.message == "Key [redacted] at https://u.example/hook?[redacted]"
        [receipt] = await ledger.receipts(job_id)
        assert (receipt.body == body) == (source == "callback")
        assert (KEY.encode() in receipt.body) == (source == "callback")


async def test_an_endpoint_that_quotes_its_url_is_kept_without_the_query(outbox: Outbox, endpoint: Endpoint) -> None:
    endpoint.responses = lambda _: answer(500, body=f"no route {endpoint.url} Authorization: Key {KEY}".encode())
    job_id = await outbox.ended(endpoint.url)
    await outbox.deliver()
    [attempt] = await outbox.attempts(job_id)
    assert b"no route http://127.0.0.1" in (attempt.response or b"")
    assert b"in-the-query" not in (attempt.response or b"")


async def test_no_error_of_the_client_has_the_url_or_a_header() -> None:
    transport = open_transport(connections=1)
    send = Client(transport, seconds=1, max_bytes=10)
    urls = ["http://127.0.0.1:1/{}", "http://[{}", "http://127.0.0.1:1/{}\x00", "ftp://h/{}", "http://no.invalid/?{}"]
    for url in urls:
        with pytest.raises(Exception, match=r".") as caught:
            await send(Request(method="GET", url=url.format("the-token"), headers={"X": "the-header\n"}))
        assert "the-token" not in str(caught.value)
        assert "the-header" not in str(caught.value)
    await transport.aclose()
