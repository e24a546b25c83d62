"""`python -m sandbox.demo.consumer`: receives notifications and keeps them in memory.

It verifies Standard Webhooks 1.0 with the standard library alone:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any

import click
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.serving import serve

TOLERANCE_SECONDS = 300


class Consumer:
    """Keeps each notification once, by its `webhook-id`, and counts its attempts."""

    def __init__(self, secret: str, *, fail_first: int = 0, status: int = 204) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._failures_left = fail_first
        self._status = status
        self._received: dict[str, dict[str, Any]] = {}

    async def receive(self, request: Request) -> Response:
        """Receive a notification: 204 if its signature is valid, else 401."""
        body = await request.body()
        verified = self._verify(request, body)
        self._record(request.headers.get("webhook-id", ""), body, verified=verified)
        if not verified:
            return Response(status_code=401)
        if self._failures_left > 0:
            self._failures_left -= 1
            return Response(status_code=500)
        return Response(status_code=self._status)

    async def received(self, _: Request) -> Response:
        """List the notifications in the order of their first attempts."""
        return JSONResponse(list(self._received.values()))

    def _verify(self, request: Request, body: bytes) -> bool:
        message_id, timestamp, signatures = (
            request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
        )
        if not message_id or not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
            return False
        content = b".".join([message_id.encode(), timestamp.encode(), body])
        expected = base64.b64encode(hmac.digest(self._key, content, hashlib.sha256)).decode()
        return any(
            hmac.compare_digest(f"v1,{expected}".encode(), signature.encode()) for signature in signatures.split()
        )

    def _record(self, webhook_id: str, body: bytes, *, verified: bool) -> None:
        entry = self._received.setdefault(webhook_id, {"webhook_id": webhook_id, "attempts": 0, "verified": False})
        entry["attempts"] += 1
        if entry["verified"]:
            return
        entry |= {"verified": verified} | _summary(body)


def _summary(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    event = _mapping(content)
    data = _mapping(event.get("data"))
    job = _mapping(data.get("job"))
    return {"type": event.get("type"), "sequence": data.get("sequence"), "job_id": job.get("id"), "body": content}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def create_consumer(secret: str, *, fail_first: int = 0, status: int = 204) -> Starlette:
    """Build a consumer that receives notifications on every path and lists them at GET /received.

    The first `fail_first` notifications with a valid signature are answered with 500.
    """
    consumer = Consumer(secret, fail_first=fail_first, status=status)
    return Starlette(
        routes=[
            Route("/received", consumer.received, methods=["GET"]),
            Route("/{path:path}", consumer.receive, methods=["POST"]),
        ]
    )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9100, show_default=True, help="0 takes a free port.")
@click.option("--secret", required=True, help="whsec_ and base64, as the receiver's NOTIFY_SECRET.")
@click.option("--fail-first", default=0, show_default=True, help="Answer this many notifications with 500 first.")
@click.option("--status", default=204, show_default=True, help="The status that answers a verified notification.")
def main(*, host: str, port: int, secret: str, fail_first: int, status: int) -> None:
    """Receive signed notifications, on any path."""
    try:
        app = create_consumer(secret, fail_first=fail_first, status=status)
    except binascii.Error:
        raise click.BadParameter("whsec_ and base64 are needed", param_hint="--secret") from None
    serve(app, "consumer", host, port)


if __name__ == "__main__":
    main()
