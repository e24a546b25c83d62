"""Refused callbacks: each changes nothing, and its reason is in the log and the metrics but not in the response."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest
from nacl.signing import SigningKey

from receiver.callbacks.bodies import READ_ON
from tests.receiver.harness import LIMIT, SENT, Headers, Receiver, callback_body

Sending = Callable[[Receiver, str], Awaitable[httpx.Response]]


class Bad(NamedTuple):
    reason: str
    status: int
    send: Sending


def at(path: str, *, method: str = "POST", slash: str = "") -> Sending:
    async def send(receiver: Receiver, job_id: str) -> httpx.Response:
        body = callback_body()
        place = path.format(
            token=receiver.tokens.sign(job_id), job=job_id, other=receiver.tokens.sign(job_id)[:-1] + "!"
        )
        return await receiver.http.request(method, place + slash, content=body, headers=receiver.fal.sign(body))

    return send


def signed(body: bytes | None = None, **changes: Any) -> Sending:
    """Send a callback with fal's signature."""

    async def send(receiver: Receiver, job_id: str) -> httpx.Response:
        return await receiver.call_back(job_id, body, **changes)

    return send


def with_headers(change: Callable[[Headers], Headers]) -> Sending:
    """Sign, and change the headers after that."""

    async def send(receiver: Receiver, job_id: str) -> httpx.Response:
        return await receiver.call_back(job_id, headers=change(receiver.fal.sign(callback_body())))

    return send


def without(name: str) -> Sending:
    return with_headers(lambda headers: [pair for pair in headers if pair[0] != name])


def doubled(name: str) -> Sending:
    return with_headers(lambda headers: [*headers, (name, "another")])


def changed(name: str, value: str) -> Sending:
    return with_headers(lambda headers: [(each, value if each == name else said) for each, said in headers])


async def changed_body(receiver: Receiver, job_id: str) -> httpx.Response:
    return await receiver.call_back(job_id, callback_body() + b" ", headers=receiver.fal.sign(callback_body()))


async def to_another_job(receiver: Receiver, _: str) -> httpx.Response:
    other = await receiver.scenario.submit("req-other")
    receiver.before = await receiver.dump()
    return await receiver.call_back(other)


async def to_another_job_without_request(receiver: Receiver, _: str) -> httpx.Response:
    other = await receiver.scenario.accept()
    receiver.before = await receiver.dump()
    return await receiver.call_back(other)


async def declared_too_long(receiver: Receiver, job_id: str) -> httpx.Response:
    async def never_read() -> AsyncIterator[bytes]:
        raise AssertionError("a body that says it is too long must not be read")
        yield b""

    headers = [*receiver.fal.sign(b""), ("content-length", str(READ_ON * LIMIT + 1))]
    path = f"/callbacks/fal/{receiver.tokens.sign(job_id)}"
    return await receiver.http.post(path, content=never_read(), headers=headers)


async def chunked_too_long(receiver: Receiver, job_id: str) -> httpx.Response:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b" " * (READ_ON * LIMIT // 4)

    path = f"/callbacks/fal/{receiver.tokens.sign(job_id)}"
    response = await receiver.http.post(path, content=chunks(), headers=receiver.fal.sign(b""))
    assert read == 5, "reading must stop as soon as the body is too long"
    return response


ID, USER, TIME, SIGNATURE = (f"x-fal-webhook-{name}" for name in ("request-id", "user-id", "timestamp", "signature"))
FOREIGN_TOKEN = "job_0dhqk2v41s." + "A" * 43

BAD = {
    "no token": Bad("token_missing", 404, at("/callbacks/fal")),
    "no token but a slash": Bad("token_missing", 404, at("/callbacks/fal/")),
    "a bare job id for a token": Bad("token_foreign", 404, at("/callbacks/fal/{job}")),
    "a token that we did not sign": Bad("token_foreign", 404, at(f"/callbacks/fal/{FOREIGN_TOKEN}")),
    "a token with one character changed": Bad("token_foreign", 404, at("/callbacks/fal/{other}")),
    "a token with something below it": Bad("token_foreign", 404, at("/callbacks/fal/{token}/more")),
    "a token that is not ASCII": Bad("token_foreign", 404, at("/callbacks/fal/%C3%A9%FF")),
    "the token of another job": Bad("request_of_another_job", 401, to_another_job),
    "the token of a job without a request yet": Bad("request_of_another_job", 401, to_another_job_without_request),
    **{f"no {name}": Bad("header_missing", 401, without(name)) for name in (ID, USER, TIME, SIGNATURE)},
    **{f"two values of {name}": Bad("header_doubled", 401, doubled(name)) for name in (ID, USER, TIME, SIGNATURE)},
    "an empty request id": Bad("header_malformed", 401, changed(ID, "")),
    "a signature too short": Bad("signature_malformed", 401, changed(SIGNATURE, "ab" * 63)),
    "a signature too long": Bad("signature_malformed", 401, changed(SIGNATURE, "ab" * 65)),
    "a signature that is not hexadecimal": Bad("signature_malformed", 401, changed(SIGNATURE, "zz" * 64)),
    "a huge timestamp": Bad("timestamp_malformed", 401, changed(TIME, "9" * 400)),
    "a negative timestamp": Bad("timestamp_malformed", 401, changed(TIME, f"-{SENT}")),
    "a timestamp that is not decimal": Bad("timestamp_malformed", 401, changed(TIME, "17672256e5")),
    "an empty timestamp": Bad("timestamp_malformed", 401, changed(TIME, "")),
    "twelve nines for a timestamp": Bad("timestamp_ahead", 401, signed(timestamp="9" * 12)),
    "301 s old": Bad("timestamp_too_old", 401, signed(timestamp=SENT - 301)),
    "301 s ahead": Bad("timestamp_ahead", 401, signed(timestamp=SENT + 301)),
    "a changed body": Bad("no_key_matches", 401, changed_body),
    "a changed request id": Bad("no_key_matches", 401, changed(ID, "req-2")),
    "a changed user id": Bad("other_account", 401, changed(USER, "user-2")),
    "a changed timestamp": Bad("no_key_matches", 401, changed(TIME, str(SENT + 1))),
    "a changed signature": Bad("no_key_matches", 401, changed(SIGNATURE, "ab" * 64)),
    "another account": Bad("other_account", 401, signed(user_id="user-2")),
    "an unknown key": Bad("no_key_matches", 401, signed(key=SigningKey(b"x" * 32))),
    "a header about another request than the body": Bad("request_id_differs", 400, signed(callback_body("req-2"))),
    "a body that says it is too long": Bad("body_too_long", 413, declared_too_long),
    "a body that turns out too long": Bad("body_too_long", 413, chunked_too_long),
    **{
        f"{method} instead of POST": Bad("wrong_method", 405, at("/callbacks/fal/{token}", method=method))
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
    },
    "GET with a trailing slash": Bad("wrong_method", 405, at("/callbacks/fal/{token}", method="GET", slash="/")),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_refused_callback_changes_nothing_and_its_reason_is_only_logged(receiver: Receiver, name: str) -> None:
    bad = BAD[name]
    job_id = await receiver.scenario.submit()
    receiver.before = await receiver.dump()
    response = await bad.send(receiver, job_id)
    assert response.status_code == bad.status
    assert await receiver.dump() == receiver.before
    [refused] = receiver.emitted.named("callback.refused")
    assert refused["reason"] == bad.reason
    assert receiver.counted("callback.refused", provider="fal", reason=bad.reason) == 1
    assert f'reason="{bad.reason}"'.encode() in (await receiver.http.get("/metrics")).content
    assert bad.reason not in response.text
    assert not receiver.emitted.named("callback.recorded")


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad.status in {400, 401}])
async def test_every_refused_callback_gets_the_same_detail(receiver: Receiver, name: str) -> None:
    response = await BAD[name].send(receiver, await receiver.scenario.submit())
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "the callback was not accepted"


async def test_a_wrong_method_gets_405_with_allow(receiver: Receiver) -> None:
    response = await at("/callbacks/fal/{token}", method="GET")(receiver, "job_1")
    assert response.headers["allow"] == "POST"


async def test_a_malformed_content_length_is_refused(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    headers = [*receiver.fal.sign(b""), ("content-length", "many")]
    response = await receiver.call_back(job_id, b"", headers=headers)
    assert response.status_code == 400
    assert [fact["reason"] for fact in receiver.emitted.named("callback.refused")] == ["content_length_malformed"]


async def test_forged_callbacks_cause_at_most_one_fetch_of_keys_a_minute(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    for _ in range(50):
        assert (await receiver.call_back(job_id, key=SigningKey(b"x" * 32))).status_code == 401
    assert receiver.fal.fetches == 1


async def test_a_callback_that_fails_a_cheap_check_causes_no_fetch_of_keys(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    for name in ("no token", f"no {SIGNATURE}", "another account", "301 s old", "a body that says it is too long"):
        await BAD[name].send(receiver, job_id)
    assert receiver.fal.fetches == 0


async def test_the_reason_is_the_first_failed_check(receiver: Receiver) -> None:
    """Every check fails at first; each step corrects the one that was reported."""
    job_id = await receiver.scenario.submit()
    wrong = SigningKey(b"x" * 32)
    other, good = callback_body("req-2"), callback_body()

    async def reason_of(body: bytes, token: str, headers: Headers) -> str:
        receiver.emitted.clear()
        await receiver.http.post(f"/callbacks/fal/{token}", content=body, headers=headers)
        return str(receiver.emitted.named("callback.refused")[0]["reason"])

    token, sign = receiver.tokens.sign(job_id), receiver.fal.sign
    assert await reason_of(b" " * (READ_ON * LIMIT + 1), "x", []) == "body_too_long"
    assert await reason_of(other, "x", []) == "token_foreign"
    assert await reason_of(other, token, []) == "header_missing"
    both_wrong = sign(other, user_id="user-2", timestamp=SENT - 301, key=wrong)
    assert await reason_of(other, token, both_wrong) == "other_account"
    assert await reason_of(other, token, sign(other, timestamp=SENT - 301, key=wrong)) == "timestamp_too_old"
    assert await reason_of(other, token, sign(other, key=wrong)) == "no_key_matches"
    assert await reason_of(other, token, sign(other)) == "request_id_differs"
    response = await receiver.http.post(f"/callbacks/fal/{token}", content=good, headers=sign(good))
    assert response.json() == {"result": "recorded"}
