import json
from pathlib import Path

import fal_client
import httpx
import pytest

from tests.sandbox.doubles import Client

VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
APP = "half-moon-ai/ai-face-swap"
SWAP = {"source_face_url": "https://example.com/face.jpg", "target_video_url": "https://example.com/a.mp4"}
LONG_SWAP = SWAP | {"source_face_url": "https://example.com/face.jpg#fault=long=0.5"}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_the_official_client_follows_a_job_to_its_result(fal: fal_client.SyncClient, http: httpx.Client) -> None:
    handle = fal.submit(VIDEO_SWAP, LONG_SWAP, priority="low")
    seen = [type(event) for event in handle.iter_events(with_logs=True, interval=0.01)]
    assert seen[0] is fal_client.Queued
    assert fal_client.InProgress in seen
    assert seen[-1] is fal_client.Completed
    video = handle.get()["video"]
    assert video["content_type"] == "video/mp4"
    assert len(http.get(video["url"]).content) == video["file_size"]


async def test_the_official_async_client_subscribes(fal: fal_client.SyncClient) -> None:
    client = fal_client.AsyncClient(key="kid:secret")
    result = await client.subscribe(f"{APP}/faceswapimage", SWAP | {"target_image_url": "https://example.com/b.png"})
    assert (result["image"]["width"], result["image"]["height"]) == (160, 90)
    await (await client._client).aclose()


def test_the_official_client_reads_a_status_by_id_and_cancels(fal: fal_client.SyncClient, sandbox: Client) -> None:
    handle = fal.submit(VIDEO_SWAP, LONG_SWAP, webhook_url=sandbox.callbacks.url)
    assert isinstance(fal.status(VIDEO_SWAP, handle.request_id), fal_client.Queued)
    fal.cancel(VIDEO_SWAP, handle.request_id)
    status = handle.status()
    assert isinstance(status, fal_client.Completed)
    assert status.error_type == "client_cancelled"
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.get()
    assert caught.value.status_code == 499
    assert sandbox.submission(handle.request_id)["canceled"]


def test_the_official_client_reads_the_model_s_error(fal: fal_client.SyncClient) -> None:
    handle = fal.submit(VIDEO_SWAP, {"source_face_url": "https://example.com/face.jpg"})
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.get()
    assert caught.value.status_code == 422
    detail = json.loads(caught.value.response.text)["detail"]
    assert detail[0]["loc"] == ["body", "target_video_url"]
    assert detail[0]["type"] == "missing"


def test_the_official_client_uploads(
    fal: fal_client.SyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: httpx.Client
) -> None:
    (tmp_path / "face 1.png").write_bytes(b"\x89PNG")
    with fal._get_cdn_client() as opened:
        # The client leaves this connection to the garbage collector, which is a warning and so an error here.
        monkeypatch.setattr(fal_client.SyncClient, "_get_cdn_client", lambda _: opened)
        url = fal.upload_file(tmp_path / "face 1.png")
    response = http.get(url)
    assert response.content == b"\x89PNG"
    assert response.headers["content-type"] == "image/png"


def test_a_file_is_uploaded_to_the_url_of_initiate(sandbox: Client, http: httpx.Client) -> None:
    file = {"file_name": "face.png", "content_type": "image/png"}
    urls = sandbox.http.post("/fal/storage/upload/initiate?storage_type=fal-cdn-v3", json=file).json()
    assert http.put(urls["upload_url"], content=b"\x89PNG").status_code == 200
    assert http.get(urls["file_url"]).content == b"\x89PNG"
    assert http.put(f"{urls['upload_url']}.exe", content=b"").status_code == 403


def test_the_urls_of_a_submitted_job_contain_its_app_only(sandbox: Client) -> None:
    submitted = sandbox.submit().json()
    url = f"{sandbox.url}/fal/{APP}/requests/{submitted['request_id']}"
    assert submitted["status"] == "IN_QUEUE"
    assert submitted["queue_position"] == 0
    assert [submitted[f"{name}_url"] for name in ("response", "status", "cancel")] == [
        url,
        f"{url}/status",
        f"{url}/cancel",
    ]


@pytest.mark.parametrize("app", [APP, VIDEO_SWAP])
def test_a_job_is_found_by_app_and_by_full_id(sandbox: Client, app: str) -> None:
    job = sandbox.submit("long=0.5").json()["request_id"]
    url = f"/fal/{app}/requests/{job}"
    early = sandbox.http.get(f"{url}/status")
    assert (early.status_code, early.json()["status"]) == (202, "IN_QUEUE")
    assert sandbox.http.get(url).status_code == 400
    sandbox.ended(job)
    late = sandbox.http.get(f"{url}/status?logs=1")
    assert (late.status_code, late.json()["status"]) == (200, "COMPLETED")
    assert late.json()["logs"][0]["source"] == "USER"
    assert late.json()["metrics"]["inference_time"] > 0
    result = sandbox.http.get(url)
    assert result.headers["x-fal-request-id"] == job
    assert result.json() == sandbox.http.get(f"{url}/response").json()
    assert sandbox.http.put(f"{url}/cancel").json() == {"status": "ALREADY_COMPLETED"}


def test_the_stream_sends_each_status_once(sandbox: Client) -> None:
    job = sandbox.submit("long=0.5").json()["request_id"]
    with sandbox.http.stream("GET", f"/fal/{APP}/requests/{job}/status/stream") as response:
        events = [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]
    assert [each["status"] for each in events] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


def test_the_stream_sends_each_log_line_once(sandbox: Client) -> None:
    job = sandbox.submit("long=0.5").json()["request_id"]
    with sandbox.http.stream("GET", f"/fal/{APP}/requests/{job}/status/stream?logs=1") as response:
        events = [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]
    assert [len(each["logs"]) for each in events if "logs" in each] == [1, 0]
    polled = sandbox.http.get(f"/fal/{APP}/requests/{job}/status?logs=1").json()
    assert len(polled["logs"]) == 1


def test_the_official_client_runs_a_model_and_gets_its_output(fal: fal_client.SyncClient, sandbox: Client) -> None:
    assert fal.run(VIDEO_SWAP, SWAP)["video"]["content_type"] == "video/mp4"
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        fal.run(VIDEO_SWAP, {"source_face_url": "https://example.com/face.jpg"})
    assert caught.value.status_code == 422
    assert [each["webhook_url"] for each in sandbox.http.get("/sandbox/submissions").json()[-2:]] == [None, None]


def test_the_official_client_streams_a_model_s_output(fal: fal_client.SyncClient) -> None:
    *progress, output = list(fal.stream(VIDEO_SWAP, SWAP))
    assert progress == [{"progress": 0}]
    assert output["video"]["content_type"] == "video/mp4"


@pytest.mark.parametrize("app", [APP, "workflows/someone/swap"])
def test_an_unknown_request_gets_404(sandbox: Client, app: str) -> None:
    for method, path in (("GET", "/status"), ("GET", ""), ("GET", "/status/stream"), ("PUT", "/cancel")):
        response = sandbox.http.request(method, f"/fal/{app}/requests/{UNKNOWN}{path}")
        assert (response.status_code, response.json()) == (404, {"status": "NOT_FOUND"})


def test_a_request_of_another_app_gets_404(sandbox: Client) -> None:
    job = sandbox.submit().json()["request_id"]
    assert sandbox.http.get(f"/fal/someone/else/requests/{job}").status_code == 404


def test_requests_without_a_key_get_401(sandbox: Client, http: httpx.Client) -> None:
    for method, path in (("POST", f"/fal/{VIDEO_SWAP}"), ("GET", f"/fal/{APP}/requests/{UNKNOWN}")):
        response = http.request(method, f"{sandbox.url}{path}", json={})
        assert (response.status_code, response.json()) == (401, {"detail": "invalid key credentials"})


def test_a_body_that_is_not_a_json_object_gets_422(sandbox: Client) -> None:
    for body in (b"{", b"[]"):
        assert sandbox.http.post(f"/fal/{VIDEO_SWAP}", content=body).status_code == 422


@pytest.mark.parametrize(
    ("model", "field", "content_type"),
    [
        (f"{APP}/faceswapimagemulti", "image", "image/jpeg"),
        ("workflows/someone/text-to-video", "video", "video/mp4"),
        ("fal-ai/flux/dev", "images", "image/png"),
    ],
)
def test_each_kind_of_model_has_its_result_format(sandbox: Client, model: str, field: str, content_type: str) -> None:
    submitted = sandbox.submit(
        model=model, source_face_url_1="f", source_gender_1="male", target_image_url="https://example.com/b.png"
    ).json()
    sandbox.ended(submitted["request_id"])
    output = sandbox.http.get(submitted["response_url"]).json()[field]
    output = output[0] if isinstance(output, list) else output
    assert output["content_type"] == content_type
