"""What is verified is kept, whatever it holds and however long it is: recorded if it can be read, else polled."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from nacl.signing import SigningKey

from ledger.records import JobState, RecordResult
from ledger.rows import Receipt
from ledger.transitions import jobs
from providers.fal.callbacks import read_headers, verify_signature
from receiver.callbacks.bodies import READ_ON
from tests.database import ON_BOTH_DATABASES
from tests.providers.written_json import values, writers
from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import LIMIT, SENT, VIDEO, Receiver, callback_body, raw

NESTED = b"[" * 20_000 + b"]" * 20_000
URL = VIDEO["video"]["url"]

UNUSUAL = {
    "a lone surrogate": b'{"a":"\\ud800","video":{"url":"%s"}}',
    "NaN and Infinity": b'{"a":[NaN,-Infinity],"video":{"url":"%s"}}',
    "numbers beyond a double": b'{"a":1e400,"b":' + b"9" * 5000 + b',"video":{"url":"%s"}}',
    "20,000 levels": b'{"a":' + NESTED + b',"video":{"url":"%s"}}',
    "a file 3,000 levels down": b"[" * 3000 + b'{"url":"%s"}' + b"]" * 3000,
    "bytes that are no UTF-8": b'{"a":"\xff\xfe","video":{"url":"%s"}}',
    "line breaks in texts": b'{"a":"x\ny","video":{"url":"%s"}}',
    "NUL in texts": b'{"warning":"a\\u0000b","video":{"url":"%s","content_type":"\\u0000"}}',
}

UNREADABLE = {
    "bad JSON": b'{"request_id": "req-1", ',
    "no body": b"",
    "a page": b"<html>",
    "a list": b"[1, 2, 3]",
    "an unknown status": callback_body(status="MAYBE"),
    "200,000 nested arrays": NESTED * 10,
}


async def only_receipt(receiver: Receiver, job_id: str) -> Receipt:
    [receipt] = await jobs.list_receipts(receiver.store, job_id)
    return receipt


@ON_BOTH_DATABASES
@pytest.mark.parametrize("name", UNUSUAL)
async def test_a_callback_of_unusual_json_is_recorded_with_its_file(make_receiver: MakeReceiver, name: str) -> None:
    receiver = make_receiver(MAX_RESULT_BYTES="1000000")
    job_id = await receiver.scenario.submit()
    payload = UNUSUAL[name].replace(b"%s", str(URL).encode())
    body = b'\xef\xbb\xbf{"request_id":"req-1","status":"OK","payload":' + payload + b"}"
    response = await receiver.call_back(job_id, body)
    assert (response.status_code, response.json()) == (200, {"result": "recorded"})
    job = await receiver.scenario.job(job_id)
    assert (job.state, [output.url for output in job.outputs]) == (JobState.COMPLETED, [URL])
    assert (await only_receipt(receiver, job_id)).body == body


@ON_BOTH_DATABASES
@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_callback_that_cannot_be_read_is_kept_and_makes_a_poll_due(
    make_receiver: MakeReceiver, name: str
) -> None:
    receiver = make_receiver(MAX_RESULT_BYTES="1000000")
    job_id = await receiver.scenario.submit()
    response = await receiver.call_back(job_id, UNREADABLE[name])
    assert (response.status_code, response.json()) == (200, {"result": "pending"})
    receipt = await only_receipt(receiver, job_id)
    assert (receipt.body, receipt.request_id) == (UNREADABLE[name], "req-1")
    assert await receiver.ledger.queue.next_due("poll") == receiver.clock()
    [unread] = receiver.emitted.named("callback.unread")
    assert (unread["job"], unread["reason"]) == (job_id, "unreadable")


async def test_a_callback_that_cannot_be_read_confirms_a_submission_without_a_response(receiver: Receiver) -> None:
    job_id = await receiver.scenario.accept()
    await receiver.scenario.begin(job_id)
    await receiver.call_back(job_id, b"{")
    job = await receiver.scenario.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.SUBMITTED, "req-1")


async def test_providers_code_that_raises_loses_no_callback(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(receiver.sources["fal"].webhook), "parse", raises)
    job_id = await receiver.scenario.submit()
    assert (await receiver.call_back(job_id)).json() == {"result": "pending"}
    assert (await only_receipt(receiver, job_id)).body == callback_body()
    [unread] = receiver.emitted.named("callback.unread")
    assert (unread["reason"], unread["error"]) == ("provider_raised", "ZeroDivisionError")


async def post_in_pieces(
    receiver: Receiver, job_id: str, body: bytes, *, signed: bytes | None = None, key: SigningKey | None = None
) -> httpx.Response:
    """Send a callback in chunks, without declaring its length."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    headers = receiver.fal.sign(body if signed is None else signed, key=key, timestamp=SENT)
    path = f"/callbacks/fal/{receiver.tokens.sign(job_id)}"
    return await receiver.http.post(path, content=pieces(), headers=headers)


@pytest.fixture
def roomy_receiver(make_receiver: MakeReceiver) -> Receiver:
    """A receiver whose limit no generated callback reaches."""
    return make_receiver(MAX_RESULT_BYTES="100000000")


LONG = callback_body(payload=VIDEO | {"text": "x" * LIMIT})


async def test_a_callback_longer_than_requests_may_be_is_recorded(make_receiver: MakeReceiver) -> None:
    receiver = make_receiver(MAX_RESULT_BYTES=str(2 * LIMIT))
    job_id = await receiver.scenario.submit()
    assert (await post_in_pieces(receiver, job_id, LONG)).json() == {"result": "recorded"}
    assert (await only_receipt(receiver, job_id)).body == LONG


@ON_BOTH_DATABASES
@pytest.mark.parametrize("in_pieces", [True, False])
async def test_a_callback_longer_than_the_limit_is_verified_and_makes_a_poll_due(
    receiver: Receiver, in_pieces: bool
) -> None:
    job_id = await receiver.scenario.submit()
    send = post_in_pieces(receiver, job_id, LONG) if in_pieces else receiver.call_back(job_id, LONG)
    response = await send
    assert (response.status_code, response.json()) == (200, {"result": "pending"})
    receipt = await only_receipt(receiver, job_id)
    headers = msgspec.json.decode(receipt.headers)
    assert (receipt.body, headers.pop("content-length")) == (b"", str(len(LONG)))
    signed = read_headers(raw(headers.items()))
    verify_signature(signed, hashlib.sha256(LONG).hexdigest(), [receiver.fal.key.verify_key])
    assert await receiver.ledger.queue.next_due("poll") == receiver.clock()
    [unread] = receiver.emitted.named("callback.unread")
    assert (unread["reason"], unread["error"]) == ("too_long", f"{len(LONG)} bytes are more than MAX_RESULT_BYTES")


@pytest.mark.parametrize("in_pieces", [True, False])
async def test_a_forged_callback_longer_than_the_limit_is_refused(receiver: Receiver, in_pieces: bool) -> None:
    job_id = await receiver.scenario.submit()
    before = await receiver.dump()
    forged: dict[str, Any] = {"key": SigningKey(b"x" * 32)}
    send = post_in_pieces(receiver, job_id, LONG, **forged) if in_pieces else receiver.call_back(job_id, LONG, **forged)
    assert (await send).status_code == 401
    assert (await post_in_pieces(receiver, job_id, LONG + b" ", signed=LONG)).status_code == 401
    assert await receiver.dump() == before


async def test_a_callback_far_longer_than_the_limit_is_not_read_to_its_end(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    response = await post_in_pieces(receiver, job_id, b" " * (READ_ON * LIMIT + 1))
    assert response.status_code == 413
    assert "MAX_RESULT_BYTES" in response.json()["detail"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(tree=values, write=writers)
async def test_a_callback_of_any_writer_is_recorded_with_its_file(
    roomy_receiver: Receiver, tree: object, write: Any
) -> None:
    receiver = roomy_receiver
    number = len(receiver.emitted)
    job_id = await receiver.scenario.submit(f"req-{number}")
    body = write({"request_id": f"req-{number}", "status": "OK", "payload": {"x": tree, **VIDEO}, "error": None})
    response = await receiver.call_back(job_id, body, request_id=f"req-{number}")
    assert (response.status_code, response.json()) == (200, {"result": RecordResult.RECORDED})
    job = await receiver.scenario.job(job_id)
    assert job.state is JobState.COMPLETED
    assert URL in [output.url for output in job.outputs]
    assert (await only_receipt(receiver, job_id)).body == body
