"""The servers and clients on the other side of the sandbox in its tests."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
TIMEOUT_SECONDS = 8.0
T = TypeVar("T")


def wait_until(condition: Callable[[], T | None]) -> T:
    """Poll until `condition` returns something true, and return it."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"the condition was not met within {TIMEOUT_SECONDS:.0f} s")
        time.sleep(0.005)
    return found


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Run an app on a free loopback port, in a thread."""
    config = uvicorn.Config(app, port=0, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_SECONDS)


class Callbacks:
    """The callbacks that arrived at one test's URL, and the statuses to answer with before 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[dict[str, str], bytes]] = []
        """Headers and body of each."""
        self.statuses: list[int] = []

    def wait(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.requests) >= count)
        return [json.loads(body) for _, body in self.requests]


class CallbackServer:
    """A receiver of callbacks with a URL for each test, so that a late callback does not reach another test."""

    def __init__(self) -> None:
        self.url = ""
        self._callbacks: dict[str, Callbacks] = {}

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{name}", self.receive, methods=["GET", "POST"])])

    async def receive(self, request: Request) -> Response:
        callbacks = self._callbacks[request.path_params["name"]]
        callbacks.requests.append((dict(request.headers), await request.body()))
        status = callbacks.statuses.pop(0) if callbacks.statuses else 200
        return Response(status_code=status, headers={"location": callbacks.url} if status == 301 else {})

    def open(self) -> Callbacks:
        name = f"test-{len(self._callbacks)}"
        self._callbacks[name] = Callbacks(f"{self.url}/{name}")
        return self._callbacks[name]


class Client:
    """Requests to a sandbox."""

    def __init__(self, url: str, http: httpx.Client, callbacks: Callbacks) -> None:
        self.url = url
        self.http = http
        self.callbacks = callbacks

    def submit(self, faults: str = "", *, model: str = VIDEO_SWAP, **extra: Any) -> httpx.Response:
        fragment = f"#fault={faults}" if faults else ""
        body = {
            "source_face_url": "https://example.com/face.jpg",
            "target_video_url": f"https://example.com/a.mp4{fragment}",
        }
        return self.http.post(f"/fal/{model}", params={"fal_webhook": self.callbacks.url}, json=body | extra)

    def execute(self, faults: str = "", workflow: str = "FaceswapNode", **job_input: Any) -> httpx.Response:
        fragment = f"#fault={faults}" if faults else ""
        swap = {
            "source_image_url": "https://example.com/face.jpg",
            "target_video_url": f"https://example.com/a.mp4{fragment}",
        }
        body = {"workflow_type": workflow, "input": job_input or swap}
        return self.http.post("/heygen/v1/workflows/executions", json=body)

    def submission(self, job_id: str) -> dict[str, Any]:
        submissions = self.http.get("/sandbox/submissions").json()
        return next(each for each in submissions if each["id"] == job_id)

    def ended(self, job_id: str) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            found = self.submission(job_id)
            return found if found["state"] in {"completed", "failed", "canceled"} else None

        return wait_until(find)

    def attempts(self, job_id: str, count: int) -> list[dict[str, Any]]:
        def find() -> list[dict[str, Any]] | None:
            found = self.submission(job_id)["callbacks"]
            return found if len(found) >= count else None

        return wait_until(find)


def verified(keys: list[dict[str, str]], headers: dict[str, str], body: bytes) -> bool:
    signed = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    message = "\n".join([*signed, hashlib.sha256(body).hexdigest()]).encode()
    for key in keys:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        try:
            public.verify(bytes.fromhex(headers["x-fal-webhook-signature"]), message)
        except InvalidSignature:
            continue
        return True
    return False


def jwks(sandbox: Client) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = sandbox.http.get("/fal/.well-known/jwks.json").json()["keys"]
    return keys
