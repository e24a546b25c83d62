from typing import Any

import httpx

from tests.sandbox.doubles import Client

PATH = "/heygen/v1/workflows/executions"


def poll(sandbox: Client, execution_id: str) -> dict[str, Any]:
    data: dict[str, Any] = sandbox.http.get(f"{PATH}/{execution_id}").json()["data"]
    return data


def test_an_execution_goes_from_submitted_to_completed(sandbox: Client) -> None:
    submitted = sandbox.execute("long=0.5").json()["data"]
    assert submitted["status"] == "submitted"
    execution_id = submitted["execution_id"]
    seen = [poll(sandbox, execution_id)["status"]]
    while seen[-1] != "completed":
        seen.append(poll(sandbox, execution_id)["status"])
    assert list(dict.fromkeys(seen)) == ["pending", "processing", "completed"]


def test_each_poll_returns_a_url_with_a_new_signature(sandbox: Client, http: httpx.Client) -> None:
    execution_id = sandbox.execute().json()["data"]["execution_id"]
    sandbox.ended(execution_id)
    first, second = (poll(sandbox, execution_id)["output"]["video_url"] for _ in range(2))
    assert first != second
    assert first.partition("?")[0] == second.partition("?")[0]
    assert http.get(second).headers["content-type"] == "video/mp4"


def test_an_avatar_s_video_url_is_nested(sandbox: Client) -> None:
    response = sandbox.execute(
        workflow="AvatarInferenceNode",
        avatar={"avatar_id": "Angela"},
        audio_list=[{"audio_url": "https://example.com/a.mp3"}],
    )
    execution_id = response.json()["data"]["execution_id"]
    sandbox.ended(execution_id)
    assert poll(sandbox, execution_id)["output"]["video"]["video_url"].startswith(sandbox.url)


def test_an_unknown_execution_has_the_status_not_found(sandbox: Client) -> None:
    assert poll(sandbox, "node-gw-unknown") == {"execution_id": "node-gw-unknown", "status": "not_found"}


def test_requests_without_a_key_get_401(sandbox: Client, http: httpx.Client) -> None:
    for method, path in (("POST", PATH), ("GET", f"{PATH}/node-gw-1")):
        response = http.request(method, f"{sandbox.url}{path}", json={})
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")


def test_an_incomplete_submit_gets_400_and_creates_no_job(sandbox: Client) -> None:
    before = sandbox.http.get("/sandbox/submissions").json()
    incomplete = sandbox.execute(source_image_url="https://example.com/face.jpg")
    assert incomplete.status_code == 400
    assert incomplete.json()["error"]["message"] == "input.target_video_url is required"
    assert sandbox.http.post(PATH, json={"input": {}}).status_code == 400
    assert sandbox.http.post(PATH, content=b"{").status_code == 400
    assert sandbox.http.get("/sandbox/submissions").json() == before
