import hashlib
import json
import time

import pytest

from sandbox.fal.keys import Keyring
from sandbox.options import Options
from tests.sandbox.doubles import Client, jwks, verified


def test_the_signature_matches_the_known_vector() -> None:
    body = (
        b'{"error": null, "gateway_request_id": "gw-1", "payload": {"video": {"url": '
        b'"https://v3b.fal.media/files/a/b.mp4"}}, "request_id": "req-1", "status": "OK"}'
    )
    message = f"req-1\nuser-1\n1767225600\n{hashlib.sha256(body).hexdigest()}"
    keyring = Keyring(bytes(range(32)))
    assert keyring.sign(message.encode()) == (
        "321b93af71dc182d69374e7532a9458c4d0f597ddc6eaab2fd65eedc99deec59"
        "92a6f30e37c9da70f508451644b2e260998dac459fdadbc2f108f33f7470dd09"
    )
    assert keyring.jwks()["keys"][0]["x"] == "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"


def test_a_callback_is_signed_and_has_fal_s_format(sandbox: Client) -> None:
    submitted = sandbox.submit().json()
    envelope = sandbox.callbacks.wait(1)[0]
    headers, body = sandbox.callbacks.requests[0]
    assert verified(jwks(sandbox), headers, body)
    assert headers["x-fal-webhook-request-id"] == envelope["request_id"] == submitted["request_id"]
    assert headers["x-fal-webhook-user-id"] == "sandbox-user"
    assert abs(int(headers["x-fal-webhook-timestamp"]) - time.time()) < 5
    assert len(headers["x-fal-webhook-signature"]) == 128
    assert list(envelope) == ["error", "gateway_request_id", "payload", "request_id", "status"]
    assert body == json.dumps(envelope).encode()
    assert envelope["payload"] == sandbox.http.get(submitted["response_url"]).json()


def test_a_rejected_callback_is_retried_until_it_is_accepted(sandbox: Client) -> None:
    sandbox.callbacks.statuses = [503, 401, 500, 204]
    job = sandbox.submit().json()["request_id"]
    attempts = sandbox.attempts(job, 4)
    assert [(each["attempt"], each["status"]) for each in attempts] == [(1, 503), (2, 401), (3, 500), (4, 204)]
    keys = jwks(sandbox)
    assert all(verified(keys, headers, body) for headers, body in sandbox.callbacks.requests)


def test_a_callback_to_an_unreachable_receiver_is_retried(sandbox: Client) -> None:
    sandbox.callbacks.url = "http://127.0.0.1:1/unreachable"
    job = sandbox.submit().json()["request_id"]
    attempts = sandbox.attempts(job, 2)
    assert attempts[0]["status"] is None
    assert attempts[0]["error"].startswith("ConnectError")


def test_a_redirected_callback_is_neither_followed_nor_retried(sandbox: Client) -> None:
    sandbox.callbacks.statuses = [301]
    moved = sandbox.submit().json()["request_id"]
    assert sandbox.attempts(moved, 1)[0]["status"] == 301
    sandbox.submit()
    assert [each["request_id"] == moved for each in sandbox.callbacks.wait(2)] == [True, False]


def test_a_canceled_job_sends_no_callback(sandbox: Client) -> None:
    canceled = sandbox.submit("long=0.5").json()
    response = sandbox.http.put(canceled["cancel_url"])
    assert (response.status_code, response.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    other = sandbox.submit("long=0.6").json()["request_id"]
    assert [each["request_id"] for each in sandbox.callbacks.wait(1)] == [other]
    assert sandbox.submission(canceled["request_id"])["callbacks"] == []


def test_rotating_the_key_keeps_the_previous_one_in_the_jwks(sandbox: Client) -> None:
    old = jwks(sandbox)
    new = sandbox.http.post("/sandbox/rotate-key").json()["keys"]
    assert new[0] == old[-1]
    assert len(new) == 2
    sandbox.submit()
    sandbox.callbacks.wait(1)
    headers, body = sandbox.callbacks.requests[0]
    assert not verified(old, headers, body)
    assert verified(new, headers, body)


@pytest.mark.parametrize(("name", "value"), [("first_timeout_seconds", 15), ("later_timeout_seconds", 120)])
def test_the_default_timeouts_are_fal_s(name: str, value: float) -> None:
    assert getattr(Options(), name) == value
