"""What stands on the other side of the sandbox in its tests."""

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
BOUND_SECONDS = 8.0
T = TypeVar("T")


def wait_until(condition: Callable[[], T | None]) -> T:
    """Look until there is something, and return it."""
    end = time.monotonic() + BOUND_SECONDS
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"nothing came within {BOUND_SECONDS:.0f} s")
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
        thread.join(BOUND_SECONDS)


class Mailbox:
    """What came to one test's address, and the statuses to answer with before 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.letters: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []

    def wait(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.letters) >= count)
        return [json.loads(body) for _, body in self.letters]


class PostOffice:
    """A receiver with an address for each test, so that no late callback reaches another one."""

    def __init__(self) -> None:
        self.url = ""
        self.boxes: dict[str, Mailbox] = {}

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{box}", self.receive, methods=["GET", "POST"])])

    async def receive(self, request: Request) -> Response:
        box = self.boxes[request.path_params["box"]]
        box.letters.append((dict(request.headers), await request.body()))
        status = box.statuses.pop(0) if box.statuses else 200
        return Response(status_code=status, headers={"location": box.url} if status == 301 else {})

    def open(self) -> Mailbox:
        name = f"box-{len(self.boxes)}"
        self.boxes[name] = Mailbox(f"{self.url}/{name}")
        return self.boxes[name]


class Client:
    """What the tests ask a sandbox."""

    def __init__(self, url: str, http: httpx.Client, mailbox: Mailbox) -> None:
        self.url = url
        self.http = http
        self.mailbox = mailbox

    def submit(self, faults: str = "", *, model: str = VIDEO_SWAP, **extra: Any) -> httpx.Response:
        fragment = f"#fault={faults}" if faults else ""
        body = {
            "source_face_url": "https://example.com/face.jpg",
            "target_video_url": f"https://example.com/a.mp4{fragment}",
        }
        return self.http.post(f"/fal/{model}", params={"fal_webhook": self.mailbox.url}, json=body | extra)

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
        def look() -> dict[str, Any] | None:
            found = self.submission(job_id)
            return found if found["state"] in {"completed", "failed", "canceled"} else None

        return wait_until(look)

    def attempts(self, job_id: str, count: int) -> list[dict[str, Any]]:
        def look() -> list[dict[str, Any]] | None:
            found = self.submission(job_id)["callbacks"]
            return found if len(found) >= count else None

        return wait_until(look)


def verified(keys: list[dict[str, str]], headers: dict[str, str], body: bytes) -> bool:
    telemetry = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    message = "\n".join([*telemetry, hashlib.sha256(body).hexdigest()]).encode()
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
