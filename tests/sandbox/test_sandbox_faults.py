import json
import time

import fal_client
import httpx
import pytest

from sandbox.faults import UnknownFaultError, faults_in, parse_faults
from tests.sandbox.doubles import Client, jwks, verified


def submit_id(sandbox: Client, faults: str) -> str:
    job_id: str = sandbox.submit(faults).json()["request_id"]
    return job_id


def result(sandbox: Client, job_id: str) -> httpx.Response:
    response: httpx.Response = sandbox.http.get(f"/fal/half-moon-ai/ai-face-swap/requests/{job_id}")
    return response


def test_faults_are_found_in_every_url_of_an_input() -> None:
    deep = {"a": [{"b": "https://example.com/x.mp4?y=1#fault=duplicate,slow=3"}], "c": "#fault=lost", "d": 1}
    assert faults_in(deep) == {"duplicate": None, "slow": 3.0, "lost": None}
    assert faults_in({"a": "https://example.com/x#t=3"}) == {}


@pytest.mark.parametrize("text", ["typo", "late=soon"])
def test_an_unknown_fault_gets_400(sandbox: Client, text: str) -> None:
    with pytest.raises(UnknownFaultError):
        parse_faults(text)
    assert sandbox.submit(text).status_code == 400
    assert sandbox.execute(text).status_code == 400
    assert sandbox.http.post("/sandbox/faults", json={"faults": text}).status_code == 400


def test_lost(sandbox: Client) -> None:
    lost = submit_id(sandbox, "lost")
    sandbox.submit()
    assert [each["request_id"] == lost for each in sandbox.callbacks.wait(1)] == [False]
    assert result(sandbox, lost).status_code == 200


def test_late(sandbox: Client) -> None:
    late = submit_id(sandbox, "late=0.5")
    prompt = submit_id(sandbox, "")
    assert [each["request_id"] for each in sandbox.callbacks.wait(2)] == [prompt, late]


def test_reordered(sandbox: Client) -> None:
    first = submit_id(sandbox, "reordered")
    sandbox.ended(first)
    second = submit_id(sandbox, "")
    assert [each["request_id"] for each in sandbox.callbacks.wait(2)] == [second, first]


def test_reordered_waits_for_a_limited_time(sandbox: Client) -> None:
    only = submit_id(sandbox, "reordered=0.05")
    assert [each["request_id"] for each in sandbox.callbacks.wait(1)] == [only]


@pytest.mark.parametrize(("faults", "count"), [("duplicate", 2), ("duplicate=3", 3)])
def test_duplicate(sandbox: Client, faults: str, count: int) -> None:
    sandbox.callbacks.statuses = [503]
    job = submit_id(sandbox, faults)
    callbacks = sandbox.callbacks.wait(count + 1)
    assert all(each == callbacks[0] for each in callbacks)
    assert [each["status"] for each in sandbox.attempts(job, count + 1)] == [503] + [200] * count


@pytest.mark.parametrize("faults", ["tampered=1", "tampered=1,failed"])
def test_tampered(sandbox: Client, faults: str) -> None:
    sandbox.callbacks.statuses = [401]
    submit_id(sandbox, faults)
    changed, honest = sandbox.callbacks.wait(2)
    assert {changed["status"], honest["status"]} == {"OK", "ERROR"}
    assert [verified(jwks(sandbox), *request) for request in sandbox.callbacks.requests] == [False, True]


def test_stale(sandbox: Client) -> None:
    submit_id(sandbox, "stale")
    sandbox.callbacks.wait(1)
    headers, body = sandbox.callbacks.requests[0]
    assert verified(jwks(sandbox), headers, body)
    assert 301 <= time.time() - int(headers["x-fal-webhook-timestamp"]) < 310


def test_other_account(sandbox: Client) -> None:
    sandbox.callbacks.statuses = [401]
    submit_id(sandbox, "other-account=1")
    sandbox.callbacks.wait(2)
    users = [headers["x-fal-webhook-user-id"] for headers, _ in sandbox.callbacks.requests]
    assert users == ["not-sandbox-user", "sandbox-user"]
    assert all(verified(jwks(sandbox), *request) for request in sandbox.callbacks.requests)


def test_huge(sandbox: Client) -> None:
    job = submit_id(sandbox, "huge")
    sandbox.callbacks.wait(1)
    assert len(sandbox.callbacks.requests[0][1]) > 10 * 1024 * 1024
    assert len(result(sandbox, job).content) < 1000


def test_null_payload(sandbox: Client) -> None:
    job = submit_id(sandbox, "null-payload")
    callback = sandbox.callbacks.wait(1)[0]
    assert (callback["status"], callback["payload"]) == ("OK", None)
    assert callback["payload_error"]
    assert result(sandbox, job).json()["video"]


def test_failed_at_fal(sandbox: Client) -> None:
    submitted = sandbox.submit("failed").json()
    callback = sandbox.callbacks.wait(1)[0]
    assert (callback["status"], callback["error"]) == ("ERROR", "Invalid status code: 422")
    assert sandbox.http.get(submitted["status_url"]).json()["status"] == "COMPLETED"
    response = result(sandbox, submitted["request_id"])
    assert (response.status_code, response.json()) == (422, callback["payload"])
    assert callback["payload"]["detail"][0]["type"] == "face_detection_error"


def test_failed_at_heygen(sandbox: Client) -> None:
    execution_id = sandbox.execute("failed").json()["data"]["execution_id"]
    assert sandbox.ended(execution_id)["state"] == "failed"
    polled = sandbox.http.get(f"/heygen/v1/workflows/executions/{execution_id}").json()["data"]
    assert polled["status"] == "failed"
    assert polled["error"]["message"] == "No face was detected in the source image"


@pytest.mark.parametrize(("faults", "statuses"), [("conflict", ["OK", "ERROR"]), ("conflict,failed", ["ERROR", "OK"])])
def test_conflict(sandbox: Client, faults: str, statuses: list[str]) -> None:
    submit_id(sandbox, faults)
    assert [each["status"] for each in sandbox.callbacks.wait(2)] == statuses


def test_key_rotated(sandbox: Client) -> None:
    old = jwks(sandbox)
    submit_id(sandbox, "key-rotated")
    sandbox.callbacks.wait(1)
    assert not verified(old, *sandbox.callbacks.requests[0])
    assert verified(jwks(sandbox), *sandbox.callbacks.requests[0])


def test_jwks_down_for_some_reads_after_a_job(sandbox: Client) -> None:
    assert jwks(sandbox)
    submit_id(sandbox, "jwks-down")
    sandbox.callbacks.wait(1)
    statuses = [sandbox.http.get("/fal/.well-known/jwks.json").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]


def test_jwks_down_for_all_jobs_until_it_is_cleared(sandbox: Client) -> None:
    sandbox.http.post("/sandbox/faults", json={"faults": "jwks-down"})
    submit_id(sandbox, "")
    sandbox.callbacks.wait(1)
    assert {sandbox.http.get("/fal/.well-known/jwks.json").status_code for _ in range(5)} == {503}
    sandbox.http.post("/sandbox/faults", json={"faults": ""})
    assert jwks(sandbox)


def test_slow(sandbox: Client) -> None:
    before = time.monotonic()
    job = submit_id(sandbox, "slow=0.4")
    assert time.monotonic() - before >= 0.4
    assert [each["request_id"] for each in sandbox.callbacks.wait(1)] == [job]
    assert sandbox.submission(job)["state"] == "completed"


@pytest.mark.parametrize(("faults", "status"), [("429", 429), ("5xx=1", 503)])
def test_429_and_5xx(sandbox: Client, faults: str, status: int) -> None:
    times = 2 if status == 429 else 1
    for _ in range(2):
        assert [sandbox.submit(faults).status_code for _ in range(times)] == [status] * times
        job = submit_id(sandbox, faults)
        assert [result(sandbox, job).status_code for _ in range(times)] == [status] * times
        sandbox.ended(job)
        assert result(sandbox, job).status_code == 200


def test_429_and_5xx_at_heygen(sandbox: Client) -> None:
    responses = [sandbox.execute("429") for _ in range(3)]
    assert [each.status_code for each in responses] == [429, 429, 200]
    assert responses[0].headers["retry-after"] == "1"
    execution_id = sandbox.execute("5xx=0").json()["data"]["execution_id"]
    assert sandbox.http.get(f"/heygen/v1/workflows/executions/{execution_id}").status_code == 200
    assert sandbox.execute("5xx=1").json()["error"]["code"] == "service_unavailable"


def test_the_official_client_retries_429(fal: fal_client.SyncClient) -> None:
    swap = {"source_face_url": "https://example.com/f.jpg", "target_video_url": "https://example.com/a.mp4#fault=429=1"}
    assert fal.submit("half-moon-ai/ai-face-swap/faceswapvideo", swap).get()["video"]


def test_refused(sandbox: Client) -> None:
    before = sandbox.http.get("/sandbox/submissions").json()
    assert sandbox.submit("refused").status_code == 422
    assert sandbox.execute("refused").status_code == 400
    assert len(sandbox.http.get("/sandbox/submissions").json()) == len(before)


def test_silent(sandbox: Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        sandbox.submit("silent")
    callback = sandbox.callbacks.wait(1)[0]
    assert sandbox.submission(callback["request_id"])["state"] == "completed"
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        sandbox.execute("silent")
    assert sandbox.http.get("/sandbox/submissions").json()[-1]["provider"] == "heygen"


def test_early(sandbox: Client) -> None:
    job = submit_id(sandbox, "early")
    assert [json.loads(body)["request_id"] for _, body in sandbox.callbacks.requests] == [job]


def test_long(sandbox: Client) -> None:
    before = time.monotonic()
    sandbox.ended(submit_id(sandbox, "long=0.4"))
    assert time.monotonic() - before >= 0.4


def test_cancel_ignored(sandbox: Client) -> None:
    submitted = sandbox.submit("cancel-ignored").json()
    assert sandbox.http.put(submitted["cancel_url"]).status_code == 202
    assert [each["request_id"] for each in sandbox.callbacks.wait(1)] == [submitted["request_id"]]


def test_sunset(sandbox: Client) -> None:
    assert sandbox.execute("sunset").headers["deprecation"] == "true"
    assert "sunset" not in sandbox.execute().headers


def test_faults_for_all_jobs_are_merged_with_those_of_the_input(sandbox: Client) -> None:
    sandbox.http.post("/sandbox/faults", json={"faults": "failed,duplicate=3"})
    submit_id(sandbox, "duplicate=2,conflict")
    assert [each["status"] for each in sandbox.callbacks.wait(3)] == ["ERROR", "ERROR", "OK"]
