import hashlib
import json
import time

import pytest

from sandbox.fal.keys import Keyring
from sandbox.options import Options
from tests.sandbox.doubles import Client, jwks, verified


def test_the_signature_is_that_of_the_known_vector() -> None:
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


def test_a_callback_is_signed_and_in_fal_s_words(sandbox: Client) -> None:
    told = sandbox.submit().json()
    envelope = sandbox.mailbox.wait(1)[0]
    headers, body = sandbox.mailbox.letters[0]
    assert verified(jwks(sandbox), headers, body)
    assert headers["x-fal-webhook-request-id"] == envelope["request_id"] == told["request_id"]
    assert headers["x-fal-webhook-user-id"] == "sandbox-user"
    assert abs(int(headers["x-fal-webhook-timestamp"]) - time.time()) < 5
    assert len(headers["x-fal-webhook-signature"]) == 128
    assert list(envelope) == ["error", "gateway_request_id", "payload", "request_id", "status"]
    assert body == json.dumps(envelope).encode()
    assert envelope["payload"] == sandbox.http.get(told["response_url"]).json()


def test_a_refused_callback_is_sent_again_until_it_is_taken(sandbox: Client) -> None:
    sandbox.mailbox.statuses = [503, 401, 500, 204]
    job = sandbox.submit().json()["request_id"]
    attempts = sandbox.attempts(job, 4)
    assert [(each["attempt"], each["status"]) for each in attempts] == [(1, 503), (2, 401), (3, 500), (4, 204)]
    keys = jwks(sandbox)
    assert all(verified(keys, headers, body) for headers, body in sandbox.mailbox.letters)


def test_an_unreachable_receiver_is_a_retry(sandbox: Client) -> None:
    sandbox.mailbox.url = "http://127.0.0.1:1/nobody"
    job = sandbox.submit().json()["request_id"]
    attempts = sandbox.attempts(job, 2)
    assert attempts[0]["status"] is None
    assert attempts[0]["error"].startswith("ConnectError")


def test_a_redirect_is_never_followed_and_ends_it(sandbox: Client) -> None:
    sandbox.mailbox.statuses = [301]
    moved = sandbox.submit().json()["request_id"]
    assert sandbox.attempts(moved, 1)[0]["status"] == 301
    sandbox.submit()
    assert [each["request_id"] == moved for each in sandbox.mailbox.wait(2)] == [True, False]


def test_a_canceled_job_does_not_call(sandbox: Client) -> None:
    canceled = sandbox.submit("long=0.5").json()
    answer = sandbox.http.put(canceled["cancel_url"])
    assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    other = sandbox.submit("long=0.6").json()["request_id"]
    assert [each["request_id"] for each in sandbox.mailbox.wait(1)] == [other]
    assert sandbox.submission(canceled["request_id"])["callbacks"] == []


def test_rotating_the_key_keeps_the_one_before(sandbox: Client) -> None:
    old = jwks(sandbox)
    new = sandbox.http.post("/sandbox/rotate-key").json()["keys"]
    assert new[0] == old[-1]
    assert len(new) == 2
    sandbox.submit()
    sandbox.mailbox.wait(1)
    headers, body = sandbox.mailbox.letters[0]
    assert not verified(old, headers, body)
    assert verified(new, headers, body)


@pytest.mark.parametrize(("name", "value"), [("first_timeout_seconds", 15), ("later_timeout_seconds", 120)])
def test_fal_s_patience_is_the_default(name: str, value: float) -> None:
    assert getattr(Options(), name) == value
