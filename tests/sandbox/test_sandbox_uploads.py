"""Uploads of the official clients, small and in parts: what is read back is what was sent, and nothing is submitted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import fal_client
import fal_client.client as fal_client_module
import httpx
import pytest

from tests.sandbox.doubles import Client

CONTENT = bytes(range(256)) * 11
PART = 1000


@pytest.fixture(autouse=True)
def nothing_is_submitted(sandbox: Client) -> Iterator[None]:
    before = len(sandbox.http.get("/sandbox/submissions").json())
    yield
    assert len(sandbox.http.get("/sandbox/submissions").json()) == before


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client sends files of more than a part in parts."""
    monkeypatch.setattr(fal_client_module, "MULTIPART_THRESHOLD", PART)
    monkeypatch.setattr(fal_client_module, "MULTIPART_CHUNK_SIZE", PART)


@pytest.mark.usefixtures("in_parts")
def test_the_official_client_uploads_a_large_file_in_parts(
    fal: fal_client.SyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: httpx.Client
) -> None:
    (tmp_path / "clip.mp4").write_bytes(CONTENT)
    with fal._get_cdn_client() as opened:  # as in test_the_official_client_uploads
        monkeypatch.setattr(fal_client.SyncClient, "_get_cdn_client", lambda _: opened)
        urls = [fal.upload_file(tmp_path / "clip.mp4"), fal.upload(CONTENT, "video/mp4", file_name="clip.mp4")]
    for url in urls:
        response = http.get(url)
        assert response.content == CONTENT
        assert response.headers["content-type"] == "video/mp4"


@pytest.mark.usefixtures("in_parts")
async def test_the_official_async_client_uploads_a_large_file_in_parts(
    fal: fal_client.SyncClient, tmp_path: Path, http: httpx.Client
) -> None:
    (tmp_path / "clip.mp4").write_bytes(CONTENT)
    client = fal_client.AsyncClient(key="kid:secret")
    url = await client.upload_file(tmp_path / "clip.mp4")
    await (await client._client).aclose()
    assert (await asyncio.to_thread(http.get, url)).content == CONTENT


def initiated(sandbox: Client) -> str:
    """Begin an upload as the JavaScript client does for a file of more than 90 MiB."""
    file = {"file_name": "clip.mp4", "content_type": "video/mp4"}
    urls = sandbox.http.post("/fal/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", json=file).json()
    assert urls["upload_url"] == urls["file_url"]
    return str(urls["upload_url"])


def test_a_file_is_uploaded_in_parts_as_the_javascript_client_does(sandbox: Client, http: httpx.Client) -> None:
    url = initiated(sandbox)
    parts = []
    for number, start in enumerate(range(0, len(CONTENT), PART), 1):
        answer = http.put(f"{url}/{number}", content=CONTENT[start : start + PART])
        assert answer.json() == {"partNumber": number, "etag": answer.headers["etag"]}
        parts.append(answer.json())
    assert http.get(url).status_code == 404
    assert http.post(f"{url}/complete", json={"parts": parts}).status_code == 200
    assert http.get(url).content == CONTENT


def test_parts_that_are_missing_or_were_not_sent_are_refused(sandbox: Client, http: httpx.Client) -> None:
    url = initiated(sandbox)
    part = http.put(f"{url}/1", content=b"one").json()
    http.put(f"{url}/2", content=b"two")
    for listed in ([part], [part, {"partNumber": 2, "etag": '"x"'}], []):
        assert http.post(f"{url}/complete", json={"parts": listed}).status_code == (400)
    for body in (b"", b"[]", b'{"parts": 1}', b'{"parts": [1]}', b'{"parts": [{"partNumber": "x", "etag": ""}]}'):
        assert http.post(f"{url}/complete", content=body).status_code == 422
    assert http.put(f"{url}/0", content=b"").status_code == 400
    assert http.put(f"{url[:-1]}/1", content=b"").status_code == 403


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"{", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("path", ["initiate", "initiate-multipart"])
def test_an_initiation_that_is_no_object_is_refused(path: str, body: bytes, sandbox: Client) -> None:
    assert sandbox.http.post(f"/fal/storage/upload/{path}", content=body).status_code == 422


@pytest.mark.parametrize("path", ["storage/upload/finish", "files/upload/elsewhere", "tokens/", "storage/x/y/z"])
def test_an_unknown_storage_path_is_no_submission(path: str, sandbox: Client) -> None:
    assert sandbox.http.post(f"/fal/{path}", json={}).status_code == 404
